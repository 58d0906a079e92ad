"""The gateway beside nginx, HAProxy, Envoy, Caddy, Traefik and Python proxies. See bench/README.md."""

from __future__ import annotations

import argparse
import os
import platform
import pstats
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

from bench import contenders, interpreters, results, verdict
from bench.load import CONNECTIONS, send
from bench.machine import Cores, divide_cores, free_port
from bench.measure import FAILURES, Bench, Counter, Plan, said
from bench.programs import BenchError, end_on_termination, running
from bench.proxies import REWRITTEN, WITHOUT_C, Workshop, compiled_in
from bench.report import table
from bench.results import Run
from bench.scenarios import EXTRA, SCENARIOS, SMALL_REQUEST, Scenario

RESULTS = Path("build/bench.json")
MINUTES = 15.0
QUICK_MINUTES = 2.0
ROUND = 1.0  # seconds
QUICK_ROUND = 0.5
RESERVE = 0.06  # of the time, for what scenarios take beyond their share
PROFILE_LINES = 40
PROFILE_SECONDS = 5.0


def main() -> None:
    options = _options()
    end_on_termination()
    cores = divide_cores()
    os.sched_setaffinity(0, cores.others)
    _allow_descriptors()
    try:
        plan = Plan(options.seconds or (QUICK_ROUND if options.quick else ROUND), options.rounds, few=options.quick)
        with prepared(cores, plan, options.before, options.python) as bench:
            if options.profile:
                profile(bench)
            else:
                run = measure(bench, options)
                results.write(run, options.results)
                print(f"\n{verdict.text(run)}\n\nresults: {options.results} ({run.seconds:.0f} s)")
    except BenchError as error:
        sys.exit(f"bench: {error}")


def _options() -> argparse.Namespace:
    known = {scenario.key: scenario for scenario in (*SCENARIOS, *EXTRA)}
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"{__doc__} Without arguments all scenarios are measured, in {MINUTES:g} minutes.",
        epilog="scenarios:\n" + "\n".join(_lines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="some of those below (default: all)")
    parser.add_argument("--quick", action="store_true", help=f"a part of them, in {QUICK_MINUTES:g} minutes")
    parser.add_argument("--minutes", type=float, help=f"how long it may take (default {MINUTES:g})")
    parser.add_argument("--rounds", type=int, default=20, help="of each contender, at most (default 20)")
    parser.add_argument(
        "--seconds", type=float, help=f"length of one round (default {ROUND:g}; quick: {QUICK_ROUND:g})"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help=f"JSON (default {RESULTS})")
    parser.add_argument("--python", default=interpreters.preferred(), metavar="PATH", help="what runs the gateway")
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="a checkout of another commit, to measure in the same rounds"
    )
    parser.add_argument("--profile", action="store_true", help="where the gateway's time goes, by cProfile")
    options = parser.parse_args()
    unknown = set(options.scenarios) - set(known)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[key] for key in options.scenarios] or [one for one in SCENARIOS if one.quick or not options.quick]
    options.scenarios = [replace(one, share=one.quick or one.share) for one in chosen] if options.quick else chosen
    return options


def _lines() -> Iterator[str]:
    """One for each scenario."""
    for scenario in (*SCENARIOS, *EXTRA):
        alone = " (only where it is named)" if scenario in EXTRA else ""
        yield f"  {scenario.key:12}{(scenario.run.__doc__ or '').partition(chr(10))[0]}{alone}"


def _allow_descriptors() -> None:
    """For a thousand connections and more, here and in what is started."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def prepared(cores: Cores, plan: Plan, before: Path | None = None, python: str = sys.executable) -> Iterator[Bench]:
    """A backend that runs, on files that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # nginx reads it as another user
        workshop = Workshop(directory, free_port(), compiled_in(Path()), before.resolve() if before else None, python)
        with running(workshop.backend_program(), cores.others, directory, f"{REWRITTEN}/small"):
            yield Bench(workshop, Counter(workshop.backend), cores, plan)


def measure(bench: Bench, options: argparse.Namespace) -> Run:
    """All scenarios that were asked for, each for its share of the time that is left.

    One that fails, or for which no time is left, is left out, and said. What was found is kept after each.
    """
    began = time.monotonic()
    minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    ends = began + minutes * 60 * (1 - RESERVE)
    run = Run(date.today().isoformat(), 0.0, machine(bench), versions(bench), [])
    introduce(run)
    left = list(options.scenarios)
    try:
        while left:
            now, shares = time.monotonic(), sum(scenario.share for scenario in left)
            scenario = left.pop(0)
            if now > ends:
                run.left_out[scenario.key] = "no time was left"
                continue
            _one(bench, scenario, run, now + (ends - now) * scenario.share / shares)
            run = replace(run, seconds=round(time.monotonic() - began, 1))
            results.write(run, options.results)
    except KeyboardInterrupt:
        run.left_out.update(dict.fromkeys((scenario.key, *(other.key for other in left)), "it was interrupted"))
    return run


def _one(bench: Bench, scenario: Scenario, run: Run, ends: float) -> None:
    began = time.monotonic()
    inside = bench.inside(scenario.key)
    try:
        found = scenario.run(replace(inside, plan=replace(bench.plan, ends=ends)))
    except FAILURES as error:
        run.left_out[scenario.key] = said(error)
        print(f"\n{scenario.key} is left out: {said(error)}", flush=True)
        return
    run.results.extend(found)
    for result in found:
        print(f"\n{table(result)}", flush=True)
    print(f"({time.monotonic() - began:.0f} s)", flush=True)


def machine(bench: Bench) -> dict[str, str]:
    """What it ran on."""
    processors = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].partition("\n")[0]
    where = "everything on one core" if bench.cores.shared else "a core for the proxy, the others for load and backend"
    return {
        "processors": f"{os.cpu_count()} x {processors or platform.machine()}",
        "system": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f} at the start",
        "cores": where,
        "connections": str(CONNECTIONS),
    }


def versions(bench: Bench) -> dict[str, str]:
    """Of the contenders, and how the gateway is built, as `gateway --version` says."""
    workshop = bench.workshop
    ways = {
        verdict.OURS: [workshop.compiled] if workshop.compiled else [],
        verdict.INTERPRETED: [Path.cwd()],
        "gateway, no compiler": [WITHOUT_C.resolve(), Path.cwd()],
    }
    built = {way: interpreters.description(workshop.python, *sources) for way, sources in ways.items() if sources}
    return {**contenders.versions(), **built}


def introduce(run: Run) -> None:
    """What is compared, and where."""
    for name, value in run.machine.items():
        print(f"{name}: {value}")
    for name, value in run.versions.items():
        print(f"{name}: {value or 'not installed: it is left out'}")
    if verdict.OURS not in run.versions:
        print("no compiled gateway is there (make profiled): it is measured as it is interpreted")
    sys.stdout.flush()


def profile(bench: Bench) -> None:
    """The functions in which the gateway spends its time. The profiler itself makes short functions look dearer."""
    statistics = bench.workshop.directory / "profile"
    program = bench.workshop.profiled_gateway(statistics)
    with running(program, bench.cores.proxy, bench.workshop.directory, SMALL_REQUEST.path):
        load = send(program.port, SMALL_REQUEST, PROFILE_SECONDS)
    print(f"\n{load.requests} requests; ncalls / requests is the number of calls for each")
    pstats.Stats(str(statistics)).strip_dirs().sort_stats("tottime").print_stats(PROFILE_LINES)


if __name__ == "__main__":
    main()
