"""The circuit breakers in the admin API: `GET /breakers`, `PUT /breakers/{route}`."""

from __future__ import annotations

import time
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import json_answer, refusal
from gateway.admin.operations import Operation, Parameter
from gateway.admin.pages import PAGE, PageError, page_of
from gateway.live import Owner
from gateway.upstream.breaker import Breaker

MAX_BODY = 1024
STATES = ("open", "closed", "auto")
_EXPECTED = 'send {"state": "open"} as application/json; the states are open, closed and auto'
_BODY = {
    "type": "object",
    "required": ["state"],
    "properties": {"state": {"enum": list(STATES)}, "reason": {"type": "string"}},
}


def breakers_operations(owner: Owner) -> list[Operation]:
    """The API of the breakers that live."""
    api = _Api(owner)
    target = Parameter("target", "Only the breaker for this target of the route.")
    refusals = {400: "the state is none", 404: "there is no such breaker", 415: "the body is not application/json"}
    force = "Force the breakers of a route open or closed, or (auto) let them judge by calls again."
    return [
        Operation("GET", "/breakers", api.shown, "The circuit breakers: state, reason, and what they count.", PAGE),
        Operation("PUT", "/breakers/{route}", api.force, force, (target,), body=_BODY, refusals=refusals),
    ]


class _Api:
    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def shown(self, request: Request) -> Response:
        try:
            page = page_of(request.query_params)
        except PageError as error:
            return refusal(400, str(error))
        breakers = self._breakers()
        now = time.perf_counter()
        shown = [_shown(breaker, now) for breaker in page.of(breakers)]
        return json_answer(shown, headers=page.next("/breakers", len(breakers)))

    async def force(self, request: Request) -> Response:
        route, target = request.path_params["route"], request.query_params.get("target")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refusal(415, _EXPECTED)
        fields = await _fields(request)
        if fields is None or fields.get("state") not in STATES or not isinstance(fields.get("reason", ""), str):
            return refusal(400, _EXPECTED)
        found = [each for each in self._breakers() if each.route == route and target in (None, each.target)]
        if not found:
            return refusal(404, "no route of this name has such a breaker; GET /breakers lists them")
        reason = fields.get("reason", "")[:200] or "by the admin API"
        for breaker in found:
            breaker.force(fields["state"], reason)
        now = time.perf_counter()
        return json_answer([_shown(breaker, now) for breaker in found])

    def _breakers(self) -> list[Breaker]:
        return sorted(self._owner.all(Breaker), key=lambda breaker: (breaker.route, breaker.target))


async def _fields(request: Request) -> dict[str, Any] | None:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            return None
    try:
        fields = orjson.loads(body)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _shown(breaker: Breaker, now: float) -> dict[str, Any]:
    report = breaker.circuit.report(now)
    return {
        "route": breaker.route,
        "target": breaker.target,
        "state": report.state,
        "reason": report.reason,
        "since_seconds": round(now - report.since, 3),
        "tries_again_in": None if report.until is None else round(max(0.0, report.until - now), 3),
        "calls": report.calls,
        "errors": report.errors,
        "slow": report.slow,
        "opened": breaker.circuit.opened,
        "refused": breaker.refused,
    }
