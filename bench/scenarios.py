"""The scenarios: what is measured, of whom, and how long it may take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from bench import footprint, steady
from bench.chain import REQUEST, Chains, verify
from bench.collector import collecting
from bench.load import Request, send_each
from bench.machine import free_port
from bench.measure import FAILURES, Bench, Counter, Measure, Runner, Sample, said
from bench.programs import BenchError, Program, running
from bench.proxies import PREFIX, SMALL
from bench.questions import Tokens, browsers, everything, numbered_keys, of_keys, refuses_others
from bench.reloading import reloads
from bench.results import Line, Result
from bench.streaming import EVENTS, WEBSOCKETS
from bench.verdict import NO_PROXY

COST: Final = "CPU us per request"
SMALL_REQUEST: Final = Request("200-byte JSON", f"{PREFIX}/small", len(SMALL))
BODY: Final = 10_000_000  # bytes
DOWN: Final = {
    "down-100KB": Request("Download of 100 KB", f"{PREFIX}/100KB", 100_000, connections=16),
    "down-10MB": Request("Download of 10 MB", f"{PREFIX}/10MB", BODY, connections=4),
}
UP: Final = {
    "up-100KB": Request("Upload of 100 KB", f"{PREFIX}/small", len(SMALL), body=b"x" * 100_000, connections=16),
    "up-10MB": Request("Upload of 10 MB", f"{PREFIX}/small", len(SMALL), body=b"x" * BODY, connections=4),
}
ROUTES: Final = (1, 10, 1_000, 10_000)
KEYS: Final = (10, 100_000)
EACH_KEY_SECONDS: Final = 30.0  # within which each of them is used once


def bare(bench: Bench) -> list[Result]:
    """All proxies, with a small response."""
    (lines,) = bench.compare(bench.workshop.compared(), [SMALL_REQUEST])
    return [Result("bare", "Bare: a prefix rewrite, 200 bytes of JSON", COST, lines)]


def chain(bench: Bench) -> list[Result]:
    """All policies that a request usually passes."""
    (lines,) = bench.compare(Chains(bench.workshop).compared(), [REQUEST], verify)
    note = (
        "Caddy has no rate limit without a plugin and looks keys up in a `map`; Traefik knows Basic passwords (SHA-1) "
        "instead of keys, and makes no request id; nginx and HAProxy begin a new trace with each request; the gateway "
        "knows keys by their SHA-256 only."
    )
    return [Result("chain", "Chain: a key, a limit, request id, trace, rewrite, access log", COST, lines, note)]


def tokens(bench: Bench) -> list[Result]:
    """Tokens in the place of keys."""
    request, programs = Tokens(bench.workshop).prepared()
    (lines,) = bench.compare(programs, [request], refuses_others)
    note = "RS256, 1,000 tokens in turn. The gateway and Envoy remember which they have verified; HAProxy does not."
    return [Result("jwt", "JSON Web Tokens", COST, lines, note)]


def browser(bench: Bench) -> list[Result]:
    """Long heads, of many clients."""
    chains = Chains(bench.workshop, proxied=True)
    programs = [chains.nginx(), *chains.haproxy(), *chains.envoy(), *chains.ours()]
    (lines,) = bench.compare(programs, [browsers()], verify)
    note = "20,000 addresses (`X-Forwarded-For` of a trusted proxy) and 100 consumers in turn."
    return [Result("browser", "Chain with 14 headers of a browser, many clients", COST, lines, note)]


def all_of_it(bench: Bench) -> list[Result]:
    """The chain, watched."""
    with collecting() as collector:
        programs = everything(bench.workshop, collector.server_port)
        (lines,) = bench.compare(programs, [REQUEST], verify, unasked=3)
    note = (
        "With active health checks, outlier detection, retries, limits or a breaker, all metrics, and 1% of the "
        "requests as spans at a collector over OTLP. The gateway keeps windows of its monitor beside that."
    )
    return [Result("everything", "Chain, with backends and traffic watched", COST, lines, note)]


def downloads(bench: Bench) -> list[Result]:
    """Large answers."""
    return _bodies(bench, DOWN)


def uploads(bench: Bench) -> list[Result]:
    """Large requests, to a backend that answers once it has read them."""
    with streaming_backend(bench) as inside:
        return _bodies(inside, UP)


def _bodies(bench: Bench, requests: Mapping[str, Request]) -> list[Result]:
    rows = bench.compare(_all(bench), list(requests.values()))
    return [
        Result(key, request.name, COST, lines) for (key, request), lines in zip(requests.items(), rows, strict=True)
    ]


def _all(bench: Bench) -> list[Program]:
    """All but those of Python."""
    workshop = bench.workshop
    others = [workshop.nginx(), *workshop.envoy()] if bench.plan.few else workshop.others()
    return [*others, workshop.gateway(), *workshop.interpreted()]


def routes(bench: Bench) -> list[Result]:
    """The gateway with few and with many routes."""
    names = {count: f"gateway, {count:,} routes" if count > 1 else "gateway, 1 route" for count in ROUTES}
    programs = [bench.workshop.gateway(name, routes=count) for count, name in names.items()]
    (lines,) = bench.compare(programs, [SMALL_REQUEST])
    return [Result("routes", "Bare, with many routes", COST, lines, "The route in the middle of them is asked for.")]


def keys(bench: Bench) -> list[Result]:
    """The gateway with few and with many keys, all of which are used."""
    chains = Chains(bench.workshop)
    sets = [numbered_keys(count) for count in KEYS]
    programs = [chains.gateway(f"gateway, {len(held):,} keys", keys=held) for held in sets]
    requests = {program.name: of_keys(held, max(KEYS)) for program, held in zip(programs, sets, strict=True)}
    programs = [replace(program, request=requests[program.name]) for program in programs]
    (lines,) = bench.compare(programs, [of_keys(sets[0], 1)], _use_each_key)
    return [
        Result(
            "keys",
            "Chain, with many keys in use",
            COST,
            lines,
            "Every key was used before, and is used in turn, by requests that take equally much memory of the load "
            "generator.",
        )
    ]


def _use_each_key(program: Program) -> None:
    """Keys are in use once each has come up. Raises BenchError."""
    request = program.of(SMALL_REQUEST)
    load = send_each(program.port, request, EACH_KEY_SECONDS)
    if load.failures or load.requests != len(request.variants):
        raise BenchError(f"{program.name} answered {load.requests} of {len(request.variants)} keys")


def streams(bench: Bench) -> list[Result]:
    """Events, and WebSockets."""
    kinds = {"sse": EVENTS, "websocket": WEBSOCKETS}
    measures = [kind.measure(bench.plan.seconds) for kind in kinds.values()]
    with streaming_backend(bench) as inside:
        events, sockets = inside.rounds(_all(inside), measures, SMALL_REQUEST)
    return [
        Result("sse", "Server-sent events of 100 bytes, 64 streams", "CPU us per event", events),
        Result("websocket", "WebSocket messages of 64 bytes, echoed", "CPU us per echo", sockets),
    ]


def latency(bench: Bench) -> list[Result]:
    """How long requests take while a proxy is not at its limit."""
    workshop = bench.workshop
    waiting = (sys.executable, "-c", "import signal; signal.pause()")
    nothing = Program(NO_PROXY, waiting, workshop.backend)
    programs = [nothing, *_all(bench)]
    half, most = bench.rounds(programs, steady.measures(SMALL_REQUEST, bench.plan.seconds), SMALL_REQUEST)
    note = "From when a request is due to the end of its answer, the load's own delay with it: see `no proxy`."
    rate = f"{steady.RATE:,} requests per second"
    return [
        Result("latency-p50", f"Latency at {rate}, p50", "us", half, note),
        Result("latency-p99", f"Latency at {rate}, p99", "us", most, note),
    ]


def memory(bench: Bench) -> list[Result]:
    """Memory for connections, each in a fresh process."""
    taken = {"idle": footprint.idle_connection, "waiting": footprint.waiting_request}
    rows: dict[str, list[Line]] = {}
    with streaming_backend(bench) as streaming:
        for number in range(1 if bench.plan.few else 2):
            for key, measure in taken.items():
                inside = streaming.inside(f"{key}-{number}")
                one = replace(inside, plan=replace(inside.plan, rounds=1))
                (lines,) = one.rounds(_all(inside), [_in_kibibytes(measure)], SMALL_REQUEST)
                rows[key] = _merged(rows.get(key), lines)
    return [
        Result("memory-idle", "Memory per idle connection", "KiB", rows["idle"], f"Of {footprint.IDLE:,} at once."),
        Result("memory-waiting", "Memory per request in flight", "KiB", rows["waiting"], f"Of {footprint.WAITING}."),
    ]


def start(bench: Bench) -> list[Result]:
    """From the start of a process to its first answer."""
    workshop, chains = bench.workshop, Chains(bench.workshop)
    many = numbered_keys(KEYS[1])
    loaded = replace(chains.gateway("gateway, 100,000 keys", keys=many), request=of_keys(many, len(many)))
    programs = [*_all(bench), loaded]
    begin, held = [Line(program.name) for program in programs], [Line(program.name) for program in programs]
    for number in range(bench.plan.rounds):
        if number >= 2 and time.monotonic() > bench.plan.ends:
            break
        for program, times, sizes in zip(programs, begin, held, strict=True):
            if times.spoiled:
                continue
            try:
                seconds, size = footprint.start(program, bench.cores, workshop, program.of(SMALL_REQUEST))
            except FAILURES as error:
                times.spoiled = sizes.spoiled = said(error)
                continue
            times.values.append(seconds)
            sizes.values.append(size / 1e6)
    return [
        Result("start", "Start to first answer", "s", begin),
        Result("memory-start", "Memory once it serves", "MB", held),
    ]


def observed(bench: Bench) -> list[Result]:
    """What it costs the gateway to see what the traffic looks like."""
    with collecting() as collector:
        programs = Chains(bench.workshop).observed(collector.server_port)
        (lines,) = bench.compare(programs, [REQUEST], verify)
    return [Result("observed", "Chain without counting, with it, and with 1% of the requests traced", COST, lines)]


@contextmanager
def streaming_backend(bench: Bench) -> Iterator[Bench]:
    """With the backend that streams."""
    port = free_port()
    command = (sys.executable, "-m", "bench.streaming", str(port))
    inside = bench.inside("streaming", port)
    with running(Program("streaming", command, port), bench.cores.others, inside.workshop.directory, "/"):
        yield replace(inside, counter=Counter(port))


def _in_kibibytes(measure: Measure) -> Measure:
    def measured(runner: Runner) -> Sample:
        sample = measure(runner)
        return replace(sample, value=sample.value / 1024)

    return measured


def _merged(before: Sequence[Line] | None, lines: list[Line]) -> list[Line]:
    for line, earlier in zip(lines, before or [], strict=False):
        line.values[:0] = earlier.values
        line.spoiled = line.spoiled or earlier.spoiled
        line.count += earlier.count
    return lines


@dataclass(frozen=True, slots=True)
class Scenario:
    """One of them, which may have several results."""

    key: str
    run: Callable[[Bench], list[Result]]
    share: float  # seconds of a whole run; it stops between two rounds
    quick: float = 0.0  # seconds of a quick one; 0: it is not in that


SCENARIOS: Final = (
    Scenario("bare", bare, 100, 24),
    Scenario("chain", chain, 110, 26),
    Scenario("browser", browser, 60),
    Scenario("everything", all_of_it, 45),
    Scenario("downloads", downloads, 50, 13),
    Scenario("uploads", uploads, 50, 13),
    Scenario("streams", streams, 70, 14),
    Scenario("latency", latency, 50, 10),
    Scenario("start", start, 60),
    Scenario("reload", reloads, 110),
    Scenario("routes", routes, 40),
    Scenario("keys", keys, 50),
    Scenario("memory", memory, 40),
    Scenario("jwt", tokens, 35),
)

EXTRA: Final = (Scenario("observed", observed, 60),)
"""What is run only where it is asked for by name."""
