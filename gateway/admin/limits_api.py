"""What bounds the requests of services, in the admin API: `GET /budgets`, `GET /limits`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import json_answer, refusal
from gateway.admin.operations import Operation
from gateway.admin.pages import PAGE, PageError, page_of
from gateway.live import Owner
from gateway.upstream.concurrency import FixedLimit, ServiceLimit
from gateway.upstream.retry import ServiceBudget

T = TypeVar("T", ServiceBudget, ServiceLimit)


def limits_operations(owner: Owner) -> list[Operation]:
    """The API of what lives of it."""

    async def budgets(request: Request) -> Response:
        return _listed(request, "/budgets", list(owner.all(ServiceBudget)), _budget)

    async def limits(request: Request) -> Response:
        return _listed(request, "/limits", list(owner.all(ServiceLimit)), _limit)

    return [
        Operation("GET", "/budgets", budgets, "The retry budgets of services, and what is left of them.", PAGE),
        Operation(
            "GET", "/limits", limits, "The concurrency limits of services, and how many requests there are.", PAGE
        ),
    ]


def _listed(request: Request, path: str, things: Sequence[T], shown: Callable[[T], dict[str, Any]]) -> Response:
    try:
        page = page_of(request.query_params)
    except PageError as error:
        return refusal(400, str(error))
    ordered = sorted(things, key=lambda thing: thing.service)
    return json_answer([shown(thing) for thing in page.of(ordered)], headers=page.next(path, len(ordered)))


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
