"""What is aimed at, as ratios of minima in one run, and whether it is met."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bench.results import Run, ratio

OURS: Final = "gateway"
INTERPRETED: Final = "gateway, interpreted"
NO_PROXY: Final = "no proxy"  # the load without any
OVERLOADED: Final = 100_000.0  # microseconds
Value = Callable[[Run], float | None]


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure, and the most that it should be."""

    name: str
    limit: float
    unit: str  # "x" for ratios
    value: Value
    compiled: bool = True  # whether it is meant for the compiled gateway


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of an aim. `measured` is None where something that it needs is missing."""

    aim: Aim
    measured: float | None

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.measured is not None and self.measured <= self.aim.limit

    @property
    def word(self) -> str:
        """In one."""
        return "not measured" if self.measured is None else "met" if self.met else "NOT met"


def _against(key: str, theirs: str, ours: str = OURS) -> Value:
    return lambda run: ratio(run, (key, ours), (key, theirs))


def _among(key: str, ours: str, theirs: str) -> Value:
    return lambda run: ratio(run, (key, ours), (key, theirs))


def _itself(key: str, name: str = OURS) -> Value:
    def value(run: Run) -> float | None:
        line = result.line(name) if (result := run.result(key)) else None
        return line.best if line else None

    return value


def _added(run: Run) -> float | None:
    """The ratio of what the gateway adds to the latency without a proxy, and what Envoy does.

    None where one of them could not follow the rate: then it is the length of its queue that was measured.
    """
    result = run.result("latency-p99")
    ours, theirs, none = (result.line(name) if result else None for name in (OURS, "Envoy", NO_PROXY))
    if ours is None or theirs is None or none is None or theirs.best <= none.best:
        return None
    if max(ours.best, theirs.best) > OVERLOADED:
        return None
    return (ours.best - none.best) / (theirs.best - none.best)


AIMS: Final = (
    Aim("bare, to nginx", 2.2, "x", _against("bare", "nginx")),
    Aim("bare, to Envoy", 0.58, "x", _against("bare", "Envoy")),
    Aim("chain, to Envoy", 0.65, "x", _against("chain", "Envoy")),
    Aim("chain, to Caddy", 0.2, "x", _against("chain", "Caddy")),
    Aim("chain, to Traefik", 0.25, "x", _against("chain", "Traefik")),
    Aim("chain with backends and traffic watched, to Envoy", 0.75, "x", _against("everything", "Envoy")),
    Aim("interpreted: bare, to Envoy", 1.0, "x", _against("bare", "Envoy", INTERPRETED), compiled=False),
    Aim("interpreted: chain, to Envoy", 1.05, "x", _against("chain", "Envoy", INTERPRETED), compiled=False),
    Aim("chain with 14 headers of many clients, to Envoy", 0.7, "x", _against("browser", "Envoy")),
    Aim("10 MB down, to nginx", 0.8, "x", _against("down-10MB", "nginx")),
    Aim("10 MB up, to nginx", 1.15, "x", _against("up-10MB", "nginx")),
    Aim("WebSocket echo, to nginx", 2.0, "x", _against("websocket", "nginx")),
    Aim("server-sent event, to nginx", 1.4, "x", _against("sse", "nginx")),
    Aim("10,000 routes, to 10", 1.05, "x", _among("routes", "gateway, 10,000 routes", "gateway, 10 routes")),
    Aim("100,000 keys in use, to 10", 1.1, "x", _among("keys", "gateway, 100,000 keys", "gateway, 10 keys")),
    Aim("start with 100,000 keys", 4.0, "s", _itself("start", "gateway, 100,000 keys")),
    Aim("memory with 100,000 keys, once it serves", 140.0, "MB", _itself("memory-start", "gateway, 100,000 keys")),
    Aim("longest request during 20 reloads of 10,000 routes", 60.0, "ms", _itself("reload")),
    Aim("p99 added at 15,000 requests/s, to Envoy", 0.9, "x", _added),
    Aim("start to first request", 0.35, "s", _itself("start")),
    Aim("memory per idle connection", 6.0, "KiB", _itself("memory-idle")),
)


def judged(run: Run) -> Iterator[Judged]:
    """Every aim; without a compiled gateway, those that are not meant for it."""
    for aim in AIMS:
        if not aim.compiled or _has_compiled(run):
            yield Judged(aim, aim.value(run))


def text(run: Run) -> str:
    """For a terminal."""
    lines = [f"{'how it is judged':54}{'at most':>10}{'measured':>10}"]
    for one in judged(run):
        measured = "" if one.measured is None else f"{one.measured:.2f}"
        lines.append(f"{one.aim.name:54}{one.aim.limit:7g} {one.aim.unit:3}{measured:>9}  {one.word}")
    if not _has_compiled(run):
        others = sum(aim.compiled for aim in AIMS)
        lines.append(f"{others} other aims are meant for the compiled gateway, which was not there (make profiled)")
    return "\n".join(lines)


def _has_compiled(run: Run) -> bool:
    return "compiled" in run.versions.get(OURS, "")
