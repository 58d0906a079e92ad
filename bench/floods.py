"""What one client with a thousand connections does to another one: `python -m bench.floods [NAME...]`.

See bench/README.md. The other client asks in a steady rhythm, while a process of its own floods the same port.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.flooder import FLOODS
from bench.machine import Cores, cpu_seconds, divide_cores, free_port, prefer
from bench.programs import BenchError, Program, end_on_termination, running
from bench.proxies import PREFIX, REWRITTEN, Workshop, compiled_in

KEPT = 4  # connections of the other client that it keeps
FRESH = 4  # and how many more it opens again and again, for one request each
PAUSE = 0.01  # seconds between its requests, on each
SETTLING = 1.0  # seconds between the begin of a flood and that of the measurement
FAILED = 10_000.0  # milliseconds; a request without an answer
NICE = -20  # of all but the flooder, so that neither it nor the rest of the machine is what is measured
FLOODER_NICE = -5
REST = 10.0  # seconds after which memory must be back

_PATH = f"{PREFIX}/small"
_LIMITS = """
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        access_log {log};
        client_max_body_size 10m;
        location {prefix}/ {{
            proxy_pass http://127.0.0.1:{backend}{rewritten}/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_max_temp_file_size 0;
            proxy_request_buffering off;
        }}
        location / {{ return 404; }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    seconds: float  # of one round
    rate: float  # connections that the flood opens in a second at the most
    address: str  # where it comes from
    rest: float  # seconds


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one flood."""

    kept: float  # p99 in milliseconds
    fresh: float  # p99 in milliseconds
    cpu: float  # seconds of the proxy in each second
    opened: float  # connections of the flood in each second
    failed: int


async def ask(port: int, seconds: float, *, keep: bool, count: int) -> list[float]:
    """Milliseconds from a request to its answer, with the connection to be made where none is kept."""
    latencies: list[float] = []
    request = b"GET %b HTTP/1.1\r\nHost: other\r\n\r\n" % _PATH.encode()

    async def client(number: int) -> None:
        await asyncio.sleep(PAUSE * number / count)
        deadline = time.monotonic() + seconds
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while time.monotonic() < deadline:
            started = time.perf_counter()
            try:
                async with asyncio.timeout(FAILED / 1000):
                    reader, writer = streams or await asyncio.open_connection("127.0.0.1", port)
                    streams = (reader, writer) if keep else None
                    writer.write(request)
                    await _answer(reader)
                latencies.append((time.perf_counter() - started) * 1000)
                if not keep:
                    writer.close()
            except (OSError, BenchError, TimeoutError, asyncio.IncompleteReadError):
                latencies.append(FAILED)
                streams = None
            await asyncio.sleep(PAUSE)

    await asyncio.gather(*(client(number) for number in range(count)))
    return latencies


async def _answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise BenchError(head.decode("latin-1"))
    await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def _ask_both_ways(port: int, seconds: float) -> tuple[list[float], list[float]]:
    kept, fresh = await asyncio.gather(
        ask(port, seconds, keep=True, count=KEPT), ask(port, seconds, keep=False, count=FRESH)
    )
    return kept, fresh


@contextlib.contextmanager
def preferred() -> Iterator[None]:
    """Run before the rest of the machine until the end of the block; what is started in it does so for good."""
    prefer(os.getpid(), NICE)
    try:
        yield
    finally:
        prefer(os.getpid(), 0)


def measure(port: int, pid: int, name: str, plan: Plan) -> Round:
    """Flood a proxy, and ask it."""
    arguments = [str(port), name, str(plan.seconds + SETTLING + 0.5), str(plan.rate), plan.address]
    command = [sys.executable, "-m", "bench.flooder", *arguments]
    with preferred():
        flooder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            prefer(flooder.pid, FLOODER_NICE)
            time.sleep(SETTLING)
            before = cpu_seconds(pid)
            kept, fresh = uvloop.run(_ask_both_ways(port, plan.seconds))
            used = cpu_seconds(pid) - before
        except BaseException:
            flooder.kill()
            flooder.wait()
            raise
    output, _ = flooder.communicate()
    if flooder.returncode:
        raise BenchError(f"the flood {name!r} ended with {flooder.returncode}: nothing was measured")
    opened = json.loads(output)["opened"]
    return Round(
        percentile(kept, 0.99),
        percentile(fresh, 0.99),
        used / plan.seconds,
        opened / (plan.seconds + SETTLING),
        sum(each >= FAILED for each in kept + fresh),
    )


def resident(pid: int) -> float:
    """MiB of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True)
class Site:
    """Both proxies."""

    nginx: tuple[int, int]  # port and process
    gateway: tuple[int, int]


@contextlib.contextmanager
def site(cores: Cores, compiled: Path | None) -> Iterator[Site]:
    """nginx and the gateway in front of the same backend, with an access log and room for the connections."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-floods-")))
        directory.chmod(0o755)
        workshop = Workshop(directory, free_port(), compiled)
        backend = workshop.backend_program()
        with preferred():
            started = stack.enter_context(running(_roomy(backend), cores.others, directory, f"{REWRITTEN}/small"))
            prefer(started, NICE)
            proxies = []
            for each in (_roomy(_nginx(workshop)), workshop.gateway(log=True)):
                started = stack.enter_context(running(each, cores.proxy, directory, _PATH))
                prefer(started, NICE)
                proxies.append((each.port, started))
        yield Site(*proxies)


def _nginx(workshop: Workshop) -> Program:
    port = free_port()
    log = workshop.directory / "nginx-access.log"
    names = {"port": port, "log": log, "backend": workshop.backend, "prefix": PREFIX, "rewritten": REWRITTEN}
    return workshop.nginx_program("nginx", "nginx", port, _LIMITS.format(**names))


def _roomy(program: Program) -> Program:
    """An nginx with room for all connections of a flood, on both sides."""
    file = Path(program.command[-1])
    file.write_text(file.read_text().replace("worker_connections 1024", "worker_connections 16384"))
    return program


def compare(names: Sequence[str], plan: Plan, site: Site) -> None:
    """Flood both in turn, and print the best round of each."""
    print(
        f"{'':24}{'kept: nginx':>12}{'ours':>8}{'ratio':>7}{'fresh: nginx':>14}{'ours':>8}{'ratio':>7}"
        f"{'cpu: nginx':>12}{'ours':>6}{'conn/s: nginx':>15}{'ours':>8}{'MiB: peak':>11}{'kept':>7}  failed"
    )
    for name in names:
        before = resident(site.gateway[1])
        theirs: list[Round] = []
        ours: list[Round] = []
        peak = 0.0
        for _ in range(plan.rounds):
            theirs.append(measure(*site.nginx, name, plan))
            ours.append(measure(*site.gateway, name, plan))
            peak = max(peak, resident(site.gateway[1]) - before)
        time.sleep(plan.rest)
        left = resident(site.gateway[1]) - before
        print(_line(name, theirs, ours) + f"{peak:+11.1f}{left:+7.1f}  {_failed(theirs)}/{_failed(ours)}", flush=True)


def _failed(rounds: Sequence[Round]) -> int:
    return sum(each.failed for each in rounds)


def _line(name: str, theirs: Sequence[Round], ours: Sequence[Round]) -> str:
    kept = [min(each.kept for each in rounds) for rounds in (theirs, ours)]
    fresh = [min(each.fresh for each in rounds) for rounds in (theirs, ours)]
    cpu = [min(each.cpu for each in rounds) for rounds in (theirs, ours)]
    opened = [max(each.opened for each in rounds) for rounds in (theirs, ours)]
    return (
        f"{name:24}{kept[0]:12.1f}{kept[1]:8.1f}{kept[1] / kept[0]:7.1f}"
        f"{fresh[0]:14.1f}{fresh[1]:8.1f}{fresh[1] / fresh[0]:7.1f}"
        f"{cpu[0]:12.2f}{cpu[1]:6.2f}{opened[0]:15.0f}{opened[1]:8.0f}"
    )


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.floods", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(FLOODS)}; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round")
    parser.add_argument("--rate", type=float, default=4000.0, help="connections that the flood opens in a second")
    parser.add_argument("--address", default="127.0.0.2", help="where the flood comes from (the others: 127.0.0.1)")
    parser.add_argument("--rest", type=float, default=REST, help="seconds until the memory is looked at")
    parser.add_argument("--gateway", type=Path, help="where a compiled one is installed, if not in .venv")
    options = parser.parse_args()
    unknown = set(options.names) - set(FLOODS)
    if unknown:
        parser.error(f"no flood is called {', '.join(sorted(unknown))}; there are: {', '.join(FLOODS)}")
    end_on_termination()
    cores = divide_cores()
    os.sched_setaffinity(0, cores.others)
    compiled = options.gateway.resolve() if options.gateway else compiled_in(Path())
    plan = Plan(options.rounds, options.seconds, options.rate, options.address, options.rest)
    with site(cores, compiled) as both:
        quiet = [
            percentile(uvloop.run(ask(each[0], 2.0, keep=True, count=KEPT)), 0.99)
            for each in (both.nginx, both.gateway)
        ]
        print(f"quiet p99: nginx {quiet[0]:.1f} ms, ours {quiet[1]:.1f} ms")
        compare(options.names or list(FLOODS), plan, both)


if __name__ == "__main__":
    main()
