"""Results of requests, in windows and over time: `GET /monitor`, `/monitor/history`, `/monitor/live`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer
from gateway.admin.operations import Operation, Parameter
from gateway.admin.pages import PAGE, page_of
from gateway.algorithms.globs import MAX_LENGTH, Glob
from gateway.algorithms.percentiles import LOWEST, PER_OCTAVE
from gateway.config.problems import suggest
from gateway.config.values.instants import format_instant
from gateway.live import Owner
from gateway.live.paced import paced
from gateway.monitor.slices import Steps
from gateway.monitor.tallies import ALL, KINDS, Figures, Kind, Subject, Tally
from gateway.monitor.watch import Monitor
from gateway.monitor.windows import COARSE, FINE, MINUTE, Point

WINDOWS: Final = {"10s": 10, "1m": 60, "5m": 300, "1h": 3600}
HISTORIES: Final = {"5m": FINE, "1h": MINUTE, "3d": COARSE}
"""How long they are, and their step in seconds."""

SORTS: Final = ("requests", "throughput", "errors", "error_rate", "p50", "p90", "p95", "p99", "p999", "name")
ITEMS: Final = 50  # subjects of a table, unless more or fewer are asked for
SERIES: Final = 20  # of one history
_PERCENTILES: Final = ("p50", "p90", "p95", "p99", "p999")
_PER_BAND: Final = PER_OCTAVE // 2  # buckets, of a band of the heat map: two bands double the duration

_BY: Final = "`all`, `route`, `upstream` (a service), `endpoint`, or `tenant`; unless given, `route`."


def monitor_operations(owner: Owner) -> list[Operation]:
    """The API of the monitor that lives."""
    api = _Api(owner)
    off = {400: "the error of the query", 409: "the monitor is off"}
    table = (
        Parameter("by", _BY),
        Parameter("window", "`10s`, `1m`, `5m`, or `1h`; unless given, `1m`."),
        Parameter("name", "Only these; `*` stands for any text. The name of an endpoint is `service/host:port`."),
        Parameter("sort", f"Sort in descending order by: {', '.join(f'`{each}`' for each in SORTS)}."),
        *PAGE,
    )
    history = (
        Parameter("by", _BY),
        Parameter("name", f"Of these, up to {SERIES}. None: those with the most requests.", repeated=True),
        Parameter("window", "`5m` by 10 seconds, `1h` by minutes, or `3d` by five minutes; unless given, `1h`."),
    )
    return [
        Operation("GET", "/monitor", api.table, _TABLE, table, refusals=off, description=_TABLE_MORE),
        Operation("GET", "/monitor/history", api.history, _HISTORY, history, refusals=off, description=_HISTORY_MORE),
        Operation("GET", "/monitor/live", api.live, _LIVE, refusals=off, description=_LIVE_MORE),
    ]


_TABLE: Final = "Throughput, error rate and percentiles in a window, by route, service, endpoint or tenant."
_TABLE_MORE: Final = (
    "`all` is of all requests. Percentiles are within 1.1%; a tenant has none. Subjects are those with requests in the "
    "last hour. `gateways` are those whose figures these are, all with the same Redis; where that does not answer, "
    "`alone` says so. `left_out` says of how many, at most, something is not kept, because they are too many for the "
    "memory of the monitor: the least busy ones are without percentiles then, or counted together as `_other`."
)
_HISTORY: Final = "The same over time, in columns, with a heat map of durations."
_HISTORY_MORE: Final = (
    "`at` are the times (Unix) at which the points begin; a null is of a time that was not watched. In `heat`, "
    "`counts` has for each point how many requests were in each band of durations, up to the bound of the same place."
)
_LIVE: Final = "Requests and errors of every second of the last five minutes."
_LIVE_MORE: Final = "Of this gateway only."


@dataclass(frozen=True, slots=True)
class _Asked:
    """The parameters of a table."""

    kind: Kind
    seconds: int
    sort: str
    names: Glob | None

    def wants(self, name: str) -> bool:
        return self.names is None or self.names.matches(name.lower())


class _Api:
    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._busy = asyncio.Lock()  # one answer at a time: thousands of subjects are work

    def _monitor(self) -> Monitor:
        for monitor in self._owner.all(Monitor):
            if monitor.enabled:
                return monitor
        raise Refused(
            409,
            "nothing is watched here: monitor.enabled is false in middleware.yaml, or this process has not the role "
            "monitor; ask one that has it",
        )

    async def table(self, request: Request) -> Response:
        monitor, query, now = self._monitor(), request.query_params, time.time()
        page = page_of(query, ITEMS)
        await monitor.catch_up(now)
        asked = _Asked(_kind(query), _choice(query, "window", WINDOWS, "1m"), _sort(query), _names(query))
        async with self._busy:
            found = await paced(_found(monitor, asked, now))
            shown = await paced(_all_shown(monitor, asked, page.of(found), now))
        every = monitor.figures(ALL, asked.seconds, now)
        answer = {
            "by": asked.kind,
            "window": query.get("window", "1m"),
            "at": format_instant(now),
            "seconds": round(every.seconds, 1),
            **_of(monitor),
            "left_out": monitor.left_out,
            "all": _shown(None, every),
            "subjects": shown,
        }
        return json_answer(answer, headers=page.next("/monitor", len(found)))

    async def history(self, request: Request) -> Response:
        monitor, query, now = self._monitor(), request.query_params, time.time()
        kind, step = _kind(query), _choice(query, "window", HISTORIES, "1h")
        names = query.getlist("name")
        await monitor.catch_up(now)
        if len(names) > SERIES:
            raise Refused(400, f"name: at most {SERIES} in one answer; ask again for the others")
        async with self._busy:
            if not names:
                names = (await paced(_found(monitor, _Asked(kind, 3600, "requests", None), now)))[: SERIES // 2]
            series = []
            points: Sequence[Point] = ()
            for name in names or [""]:
                subject = Subject(kind, name)
                points = await monitor.days(subject, now) if step == COARSE else monitor.history(subject, step, now)
                series.append({"name": name} | await paced(_columns(points)))
        at = [point.start for point in points]
        return json_answer({"by": kind, "step_s": step, **_of(monitor), "at": at, "series": series if names else []})

    async def live(self, request: Request) -> Response:
        seconds = list(self._monitor().live)
        return json_answer(
            {
                "at": [round(each.at, 3) for each in seconds],
                "throughput": [round(each.requests / each.seconds, 3) for each in seconds],
                "errors": [round(each.errors / each.seconds, 3) for each in seconds],
            }
        )


def _of(monitor: Monitor) -> dict[str, Any]:
    """Whose figures these are."""
    alone = "Redis does not answer: these are the figures of this gateway alone" if monitor.alone else None
    return {"gateways": monitor.gateways, "alone": alone}


def _kind(query: Mapping[str, str]) -> Kind:
    kind = query.get("by", "route")
    if kind not in KINDS:
        raise Refused(400, f"by: expected one of {', '.join(KINDS)}{_meant(kind, KINDS)}")
    return kind


def _choice(query: Mapping[str, str], name: str, choices: Mapping[str, int], default: str) -> int:
    asked = query.get(name, default)
    if asked not in choices:
        raise Refused(400, f"{name}: expected one of {', '.join(choices)}")
    return choices[asked]


def _sort(query: Mapping[str, str]) -> str:
    sort = query.get("sort", "requests")
    if sort not in SORTS:
        raise Refused(400, f"sort: expected one of {', '.join(SORTS)}{_meant(sort, SORTS)}")
    return sort


def _meant(text: str, choices: Sequence[str]) -> str:
    likely = suggest(text, list(choices))
    return f'; did you mean "{likely}"?' if likely else ""


def _names(query: Mapping[str, str]) -> Glob | None:
    if "name" not in query:
        return None
    if len(query["name"]) > MAX_LENGTH:
        raise Refused(400, f"name: expected at most {MAX_LENGTH} characters")
    return Glob(query["name"])


def _found(monitor: Monitor, asked: _Asked, now: float) -> Steps[list[str]]:
    """The names of those that had requests in the window, in order."""
    ranked: list[tuple[float, str]] = []
    for name, number in monitor.names(asked.kind):
        if asked.wants(name):
            requests, errors = monitor.counts(number, asked.seconds, now)
            if requests:
                ranked.append((-_rank(monitor, asked, name, now, requests, errors), name))
        yield
    return [name for _, name in sorted(ranked)]


def _all_shown(monitor: Monitor, asked: _Asked, names: Sequence[str], now: float) -> Steps[list[dict[str, Any]]]:
    shown = []
    for name in names:
        shown.append(_shown(name, monitor.figures(Subject(asked.kind, name), asked.seconds, now)))
        yield
    return shown


def _rank(monitor: Monitor, asked: _Asked, name: str, now: float, requests: int, errors: int) -> float:
    if asked.sort == "name":
        return 0.0
    if asked.sort == "errors":
        return errors
    if asked.sort == "error_rate":
        return errors / requests
    if asked.sort in _PERCENTILES:
        return getattr(monitor.figures(Subject(asked.kind, name), asked.seconds, now), asked.sort) or 0.0
    return requests


def _shown(name: str | None, figures: Figures) -> dict[str, Any]:
    """The value as JSON."""
    return {
        **({} if name is None else {"name": name}),
        "requests": figures.requests,
        "errors": figures.errors,
        "throughput": round(figures.throughput, 3),
        "error_rate": round(figures.error_rate, 6),
        **{f"{each}_ms": _milliseconds(getattr(figures, each)) for each in _PERCENTILES},
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds * 1000:.4g}")


def _columns(points: Sequence[Point]) -> Steps[dict[str, Any]]:
    """A series as charts take it."""
    rows: list[dict[str, Any] | None] = []
    for point in points:
        rows.append(None if point.tally is None else _shown(None, point.tally.figures(point.seconds)))
        yield
    names = tuple(_shown(None, Tally().figures(1.0)))
    columns: dict[str, Any] = {name: [None if row is None else row[name] for row in rows] for name in names}
    # How many requests took how long, for each point, in bands from the fastest that there was to the slowest.
    tallies = [point.tally for point in points]
    banded = [None if tally is None else _bands(tally) for tally in tallies]
    seen = [band for bands in banded if bands for band in bands]
    every = range(min(seen), max(seen) + 1) if seen else range(0)
    counts = [None if bands is None else [bands.get(band, 0) for band in every] for bands in banded]
    return columns | {"heat": {"bounds_ms": [_milliseconds(2.0 ** (band / 2)) for band in every], "counts": counts}}


def _bands(tally: Tally) -> dict[int, int]:
    """The bands that are not empty: number n ends at 2 ** (n / 2) seconds."""
    bands: dict[int, int] = {}
    for index, count in tally.buckets.items():
        band = -(-max(index, LOWEST) // _PER_BAND)
        bands[band] = bands.get(band, 0) + count
    return bands
