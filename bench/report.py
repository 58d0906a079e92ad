"""Tables, for a terminal."""

from __future__ import annotations

from bench.charts import figure
from bench.results import Result

YARDSTICKS = ("nginx", "Envoy")


def table(result: Result) -> str:
    """One line for each contender; ratios are those of the minima, to the yardsticks, or to the first line."""
    references = [line for name in YARDSTICKS if (line := result.line(name))]
    references = references or [line for line in result.lines if line.counts][:1]
    heads = "".join(f"{('x ' + reference.name)[:12]:>14}" for reference in references)
    rows = [f"{result.title} ({result.unit})", f"{'':26}{'min':>10}{'median':>10}{heads}"]
    for line in result.lines:
        if not line.counts:
            rows.append(f"{line.name:26}{'':10}{'':10}  left out: {line.spoiled}")
            continue
        ratios = "".join(f"{line.best / reference.best:14.2f}" for reference in references)
        rows.append(
            f"{line.name:26}{figure(line.best):>10}{figure(line.median):>10}{ratios}   ({len(line.values)} rounds)"
        )
    return "\n".join(rows)
