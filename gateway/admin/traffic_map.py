"""`GET /map`: the routes, through which services they go, and how those are, the worst first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer, loaded
from gateway.admin.failing_endpoints import Failing, failure_said
from gateway.admin.figures import last_minute
from gateway.admin.operations import Operation, Parameter
from gateway.admin.pages import PAGE, page_of, without_secrets
from gateway.admin.service_states import STATES, ServiceState, ServiceStates, State
from gateway.admin.ways import Way, ways_of
from gateway.algorithms.circuit_breaker import State as Breaking
from gateway.middleware.fixed_responses import FixedResponse
from gateway.middleware.redirects import Redirect
from gateway.reload import Reloader
from gateway.snapshot import RouteHandler, Snapshot
from gateway.upstream.service import Upstream

AT_ONCE: Final = 20  # routes that are looked at before requests get a turn
FRESH: Final = 1.0  # seconds for which a map is shown again
SHARE: Final = 0.05  # of the time, at most, in which maps are made
SHOWN: Final = 50  # routes, unless more are asked for

_REFUSING: Final = frozenset({Breaking.OPEN, Breaking.FORCED_OPEN})
_TRYING: Final = frozenset({Breaking.HALF_OPEN, Breaking.RECOVERING})

States = Mapping[Upstream, ServiceState]


@dataclass(frozen=True, slots=True)
class Row:
    """One route: what it is found and sorted by, and what is shown of it."""

    text: str
    severity: int  # the place of its state in STATES
    requests: int  # in the last minute
    shown: Mapping[str, Any]


def map_operations(reloader: Reloader, states: ServiceStates) -> list[Operation]:
    """The API of the map."""
    api = _Api(reloader, states)
    search = Parameter("search", "Only routes with this in their id, paths, hosts, methods or services.")
    state = Parameter("state", "Only those that are `up`, `degraded` or `down`.")
    described = (
        "A route is as bad as the service that it sends requests to; of several services of a split, `degraded` where "
        "one is not `up`, and `down` where all are. It is `degraded`, too, where a twentieth of its requests fail. "
        "`share`: of all requests of the last minute. `x-degraded` and `x-down` say how many routes there are of these."
    )
    return [
        Operation(
            "GET",
            "/map",
            api.shown,
            "The routes and where they lead, the worst first.",
            (search, state, *PAGE),
            refusals={400: "unknown state", 503: "no configuration is loaded"},
            description=described,
        )
    ]


class _Api:
    def __init__(self, reloader: Reloader, states: ServiceStates) -> None:
        self._reloader = reloader
        self._states = states
        self._rows: Sequence[Row] = ()
        self._fresh_until = float("-inf")  # time.perf_counter()
        self._of = ""  # the digest of the configuration that the rows are of
        self._making = asyncio.Lock()

    async def shown(self, request: Request) -> Response:
        page, state = page_of(request.query_params, SHOWN), request.query_params.get("state")
        if state not in (None, "", *STATES):
            raise Refused(400, f"state: expected one of {', '.join(STATES)}")
        search = request.query_params.get("search", "").lower()
        rows = await self._map(loaded(self._reloader))
        found = [row for row in rows if search in row.text and state in (None, "", row.shown["state"])]
        counts = {f"x-{name}": str(sum(row.shown["state"] == name for row in rows)) for name in STATES[1:]}
        headers = page.next("/map", len(found)) | counts
        monitor, total = self._states.monitor, sum(row.requests for row in rows)
        shown, hide = [], self._reloader.hide
        async with self._making:  # one at a time: many large pages at once would each have a part of the same turn
            for row in page.of(found):
                minute = last_minute(monitor, "route", row.shown["route"])
                share = row.requests / total if total else None
                shown.append({**without_secrets(row.shown, hide), "share": share, "minute": minute})
                if len(shown) % AT_ONCE == 0:
                    await asyncio.sleep(0)
            return json_answer(shown, headers=headers)

    async def _map(self, snapshot: Snapshot) -> Sequence[Row]:
        async with self._making:
            began = time.perf_counter()
            if began > self._fresh_until or self._of != snapshot.digest:
                states, failing, rows = await self._states.now(), self._states.failing(), []
                for handler in snapshot.handlers:
                    rows.append(_row(handler, states, failing))
                    if len(rows) % AT_ONCE == 0:
                        await asyncio.sleep(0)
                rows.sort(key=lambda row: (-row.severity, -row.requests))
                self._rows, self._of = rows, snapshot.digest
                took = time.perf_counter() - began
                self._fresh_until = began + max(FRESH, took / SHARE)
        return self._rows


def _row(handler: RouteHandler, states: States, failing: Failing) -> Row:
    route, ways = handler.route, ways_of(handler.forward)
    shown_ways = [_way(way, states) for way in ways]
    severity, reason = _severity(shown_ways)
    requests, errors = failing.counts("route", route.id)
    if (said := failure_said(requests, errors)) is not None and not severity:
        severity, reason = 1, said
    methods = sorted(route.methods or ())
    text = " ".join((route.id, *route.all_paths, *(route.host or ()), *methods, *(way.name for way in ways)))
    shown = {
        "route": route.id,
        "paths": route.all_paths,
        "hosts": route.host or (),
        "methods": methods,
        "answers": _own_answer(handler),
        "state": STATES[severity],
        "reason": reason,
        "ways": shown_ways,
    }
    return Row(text.lower(), severity, requests, shown)


def _own_answer(handler: RouteHandler) -> str | None:
    """The gateway's own answer to its requests; None if they are forwarded."""
    if isinstance(handler.target, Redirect):
        return "redirect"
    return f"answers {handler.target.status}" if isinstance(handler.target, FixedResponse) else None


def _severity(ways: Sequence[Mapping[str, Any]]) -> tuple[int, str | None]:
    """How a route is, and why: by the ways that its requests go when nothing is wrong."""
    used = [way for way in ways if way["role"] in ("target", "split") and way["weight"] != 0]
    severities = [STATES.index(way["state"]) for way in used]
    worst = max(severities, default=0)
    reason = next((way["reason"] for way in used if STATES.index(way["state"]) == worst), None) if worst else None
    return (1 if worst and min(severities) < worst else worst), reason


def _way(way: Way, states: States) -> dict[str, Any]:
    service = None if way.upstream is None else states.get(way.upstream)
    state: State = "up" if service is None else service.state
    reason = None if service is None else service.reason
    breaker = None if way.breaker is None else way.breaker.circuit.report(time.perf_counter())
    if breaker is not None and breaker.state in _REFUSING:
        state, reason = "down", f"the breaker is open: {breaker.reason}"
    elif breaker is not None and breaker.state in _TRYING and state == "up":
        state, reason = "degraded", f"the breaker lets a part through: {breaker.reason}"
    return {
        "role": way.role,
        "name": way.name,
        "service": None if way.upstream is None else way.upstream.name,
        "weight": way.weight,
        "state": state,
        "reason": reason,
        "usable": None if service is None else service.usable,
        "of": None if service is None else service.of,
        "breaker": None if breaker is None else breaker.state,
    }
