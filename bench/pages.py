"""Writes docs/benchmarks.md and its charts from the results of a run: `python -m bench.pages [RESULTS]`.

Without results it writes the page without figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import results
from bench.charts import chart, figure
from bench.results import Line, Result, Run
from bench.verdict import NO_PROXY, judged

PAGE = Path("docs/benchmarks.md")
DATA = Path("docs/benchmarks/results.json")
QUEUED = 10_000  # microseconds that half of the requests wait for longer only where a proxy cannot follow the rate
MARGIN = 0.03  # by which two figures must differ to be told apart

INTRODUCTION = """# Benchmarks

What the gateway costs beside nginx, HAProxy, Envoy, Caddy and Traefik, beside the same application on stock uvicorn,
and beside what one would write with Starlette and httpx2: where it is cheaper, and where it is not.
[bench/README.md](../bench/README.md) says what is measured, how, and what the contenders do differently.

## How to run it

```
make bench-quick    # 2 minutes: bare, chain, bodies, streams, latency
make bench          # 15 minutes: all scenarios
make bench-page     # writes this page and its charts from the results of the last run
```

Both print a table for each scenario while they run, then the figures beside what is aimed at, and write all values to
`build/bench.json`. A contender that is not installed is left out, and one that fails a single request has no figure in
that scenario; the others go on. Use a machine that does nothing else: the load at the start is among the results.
"""

NOTHING = """
## Results

There are none yet of a quiet machine. `make bench`, then `make bench-page`, writes them here.
"""


def page(run: Run | None) -> str:
    """The page in Markdown."""
    if run is None:
        return INTRODUCTION + NOTHING
    sections = [_machine(run), _aims(run), _compared(run), *(_scenario(result) for result in run.results)]
    return INTRODUCTION + "".join(f"\n{section}\n" for section in sections)


def charts(run: Run) -> dict[str, str]:
    """The pictures, by their file name."""
    return {f"{result.key}.svg": chart(result) for result in run.results if any(line.counts for line in result.lines)}


def _machine(run: Run) -> str:
    rows = [*run.machine.items(), ("minutes", f"{run.seconds / 60:.0f}")]
    rows += [(name, version or "not installed") for name, version in run.versions.items()]
    left_out = "".join(f"\n\nNot measured: {key}, {why}." for key, why in run.left_out.items())
    return f"## Results\n\nOf {run.day}.\n\n" + _table(("what", "value"), rows) + left_out


def _aims(run: Run) -> str:
    rows = [
        (
            one.aim.name,
            f"{one.aim.limit:g} {one.aim.unit}".replace(" x", "x"),
            "" if one.measured is None else f"{figure(one.measured)} {one.aim.unit}".replace(" x", "x"),
            one.word,
        )
        for one in judged(run)
    ]
    met = sum(one.met for one in judged(run))
    return (
        f"#### What is aimed at\n\nRatios are those of the minima of this run; the gateway is the compiled one unless "
        f"said. {met} of {len(rows)} are met.\n\n" + _table(("what", "at most", "measured", ""), rows)
    )


def _compared(run: Run) -> str:
    """Every ratio to another contender, on one side or the other."""
    losses, wins = [], []
    for result in run.results:
        shares = {line.name: share for line in result.lines if (share := _share(result, line))}
        losses.append((result.title, _said({name: share for name, share in shares.items() if share > 1 + MARGIN})))
        wins.append((result.title, _said({name: share for name, share in shares.items() if share < 1 - MARGIN})))
    heads = ("scenario", "ours to theirs")
    return (
        "#### Where it loses\n\nWhat the compiled gateway needs more of than others, so many times as much.\n\n"
        f"{_table(heads, [row for row in losses if row[1]])}\n\n"
        "#### Where it wins\n\nWhat it needs less of. What is within 3% is in neither table.\n\n"
        f"{_table(heads, [row for row in wins if row[1]])}"
        f"{_saturated(run)}"
    )


def _saturated(run: Run) -> str:
    """A sentence on those that have a queue at the rate of the latencies, where there are some."""
    result = run.result("latency-p50")
    late = [line.name for line in result.lines if line.counts and line.best > QUEUED] if result is not None else []
    if result is None or not late:
        return ""
    names, verb = " and ".join(late), "is" if len(late) == 1 else "are"
    title = result.title.removesuffix(", p50")
    waiting = "what is measured is how long requests wait in a queue that grows"
    return f"\n\n{title}: {names} {verb} saturated there; {waiting}."


def _share(result: Result, line: Line) -> float | None:
    ours = result.line("gateway")
    others = line.counts and not line.name.startswith("gateway") and line.name != NO_PROXY
    return ours.best / line.best if ours and others and line.best else None


def _said(shares: dict[str, float]) -> str:
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {share:.2f}x" for name, share in ordered)


def _scenario(result: Result) -> str:
    note = f"\n\n{result.note}" if result.note else ""
    picture = f"\n\n![{result.title}](benchmarks/{result.key}.svg)" if any(one.counts for one in result.lines) else ""
    return f"#### {result.title}{note}\n\n{_lines(result)}{picture}"


def _lines(result: Result) -> str:
    nginx, envoy = result.line("nginx"), result.line("Envoy")
    heads = (result.unit, "minimum", "median", "to nginx", "to Envoy", "rounds")
    return _table(heads, [tuple(_cells(line, nginx, envoy)) for line in result.lines])


def _cells(line: Line, nginx: Line | None, envoy: Line | None) -> Iterator[str]:
    yield line.name
    if not line.counts:
        yield from (f"spoiled: {line.spoiled.replace('|', '/')}", "", "", "", "")
        return
    yield figure(line.best)
    yield figure(line.median)
    for other in (nginx, envoy):
        yield f"{line.best / other.best:.2f}x" if other and other.best else ""
    yield str(len(line.values))


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write(run: Run | None, page_file: Path = PAGE) -> None:
    """Write the page, and beside it its charts and results."""
    page_file.write_text(page(run))
    if run is None:
        return
    folder = page_file.parent / DATA.parent.name
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.svg"):
        file.unlink()
    for name, picture in charts(run).items():
        (folder / name).write_text(picture)
    results.write(run, folder / DATA.name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, metavar="RESULTS", help=f"of a run (default {DATA})")
    named: Path | None = parser.parse_args().results
    file = named or DATA
    try:
        run = results.read(file) if named or file.is_file() else None
    except (OSError, ValueError, TypeError) as error:
        sys.exit(f"{file} has no results of `make bench`: {error}")
    write(run)


if __name__ == "__main__":
    main()
