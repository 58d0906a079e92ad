"""Limits of services in the admin API: `/breakers`, `/budgets`, `/limits`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer, json_body
from gateway.admin.operations import Operation, Parameter
from gateway.admin.pages import PAGE, page_of
from gateway.algorithms.fixed_concurrency import FixedLimit
from gateway.live import Owner
from gateway.upstream.breaker import Breaker
from gateway.upstream.concurrency import ServiceLimit
from gateway.upstream.retry import ServiceBudget

MAX_BODY: Final = 1024
STATES: Final = ("open", "closed", "auto")
_EXAMPLE: Final = '{"state": "open"}; the states are open, closed and auto'
_KEYS: Final = frozenset({"state", "reason"})
_BODY: Final = {
    "type": "object",
    "required": ["state"],
    "properties": {"state": {"enum": list(STATES)}, "reason": {"type": "string"}},
}

T = TypeVar("T")


def resilience_operations(owner: Owner) -> list[Operation]:
    """The API of the breakers, retry budgets and concurrency limits that live."""
    api = _Api(owner)
    target = Parameter("target", "Only the breaker for this target of the route.")
    refusals = {400: "unknown state", 404: "unknown breaker", 415: "the body is not application/json"}
    force = "Force the breakers of a route open or closed, or (auto) let them judge by calls again."
    budgets = "The retry budgets of services, and their rest."
    limits = "The concurrency limits of services, and how many requests there are."
    return [
        Operation("GET", "/breakers", api.breakers, "The circuit breakers: state, reason, and counts.", PAGE),
        Operation("PUT", "/breakers/{route}", api.force, force, (target,), body=_BODY, refusals=refusals),
        Operation("GET", "/budgets", api.budgets, budgets, PAGE),
        Operation("GET", "/limits", api.limits, limits, PAGE),
    ]


class _Api:
    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def breakers(self, request: Request) -> Response:
        return _listed(request, self._breakers(), _breaker)

    async def force(self, request: Request) -> Response:
        route, target = request.path_params["route"], request.query_params.get("target")
        fields = await json_body(request, MAX_BODY, "the state", _EXAMPLE)
        state, reason = fields.get("state"), fields.get("reason", "")
        if state not in STATES or not isinstance(reason, str) or not reason.isprintable() or fields.keys() - _KEYS:
            raise Refused(400, f"expected a state, and perhaps a reason of one line, such as {_EXAMPLE}")
        found = [each for each in self._breakers() if each.route == route and target in (None, each.target)]
        if not found:
            raise Refused(404, "no route of this name has such a breaker; GET /breakers lists them")
        for breaker in found:
            breaker.force(state, reason[:200] or "by the admin API")
        return json_answer([_breaker(breaker) for breaker in found])

    async def budgets(self, request: Request) -> Response:
        return _listed(request, sorted(self._owner.all(ServiceBudget), key=lambda each: each.service), _budget)

    async def limits(self, request: Request) -> Response:
        return _listed(request, sorted(self._owner.all(ServiceLimit), key=lambda each: each.service), _limit)

    def _breakers(self) -> list[Breaker]:
        return sorted(self._owner.all(Breaker), key=lambda breaker: (breaker.route, breaker.target))


def _listed(request: Request, things: Sequence[T], shown: Callable[[T], dict[str, Any]]) -> Response:
    page = page_of(request.query_params)
    return json_answer([shown(thing) for thing in page.of(things)], headers=page.next(request.url.path, len(things)))


def _breaker(breaker: Breaker) -> dict[str, Any]:
    now = time.perf_counter()
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


def _budget(each: ServiceBudget) -> dict[str, Any]:
    budget = each.budget
    return {
        "service": each.service,
        "available": budget.available(time.perf_counter()),
        "retries": budget.drawn,
        "refused": budget.exhausted,
        "ratio": budget.settings.ratio,
        "minimum_per_second": budget.settings.minimum_per_second,
    }


def _limit(each: ServiceLimit) -> dict[str, Any]:
    return {
        "service": each.service,
        "in_flight": each.limit.in_flight,
        "limit": each.limit.limit,
        "adaptive": not isinstance(each.limit, FixedLimit),
        "refused": each.refused,
    }
