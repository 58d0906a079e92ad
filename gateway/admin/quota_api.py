"""Quotas in the admin API: `GET /quotas?consumer=NAME`, `DELETE /quotas?tenant=NAME&quota=NAME`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer, loaded
from gateway.admin.counted_callers import CALLER, CountedCaller, caller_of
from gateway.admin.operations import Operation, Parameter
from gateway.http import Exchange
from gateway.limits.quota import Quota
from gateway.limits.quota_report import state_of
from gateway.reload import Reloader
from gateway.snapshot import Snapshot

logger = logging.getLogger("gateway.limits")

_OF_CALLERS: Final = frozenset({"consumer", "tenant", "route"})


def quota_operations(reloader: Reloader) -> list[Operation]:
    """Operations on the current quotas."""
    api = _Api(reloader)
    only = Parameter("quota", "Only the quota of this name.")
    refusals = {
        400: "it names nobody",
        404: "unknown quota, or nothing is counted under an unknown name",
        503: "the store does not answer",
    }
    return [
        Operation(
            "GET",
            "/quotas",
            api.shown,
            "What a consumer or tenant has used of its quotas.",
            (*CALLER, only),
            refusals=refusals,
        ),
        Operation(
            "DELETE",
            "/quotas",
            api.reset,
            "Reset the usage of a consumer or tenant.",
            (*CALLER, only),
            refusals=refusals,
        ),
    ]


class _Api:
    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def shown(self, request: Request) -> Response:
        snapshot = loaded(self._reloader)
        caller = caller_of(snapshot, request)
        states = await _states(snapshot, caller, request)
        return json_answer({"consumer": caller.consumer, "tenant": caller.tenant, "quotas": states})

    async def reset(self, request: Request) -> Response:
        snapshot = loaded(self._reloader)
        caller = caller_of(snapshot, request)
        await _states(snapshot, caller, request)  # refuses where nothing is counted under an unknown name
        done = []
        for quota in _asked(snapshot, request):
            if _why_not(quota, caller) is None:
                for exchange in _requests(snapshot, quota, caller):
                    used = await quota.ledger.reset(quota.key(exchange))
                    if used is None:
                        reason = f"the store of the quota {quota.name} does not answer"
                        raise Refused(503, f"{reason}: gateway status says why; try again when it does")
                    done.append({"name": quota.name, "forgiven": used} | _which(quota, exchange))
        if not done:
            why = "; ".join(f"{quota.name}: {_why_not(quota, caller)}" for quota in _asked(snapshot, request))
            raise Refused(404, f"there is nothing of {caller.name} to reset: {why}")
        said = ", ".join(f"{d['name']} ({d['forgiven']})" for d in done)
        logger.warning("quotas of %s were reset: %s", caller.name, said)
        return json_answer({"consumer": caller.consumer, "tenant": caller.tenant, "reset": done})


async def _states(snapshot: Snapshot, caller: CountedCaller, request: Request) -> list[dict[str, Any]]:
    """What is used of each quota. Raises Refused where nothing is, and nobody has the name."""
    states: list[dict[str, Any]] = []
    for quota in _asked(snapshot, request):
        reason = _why_not(quota, caller)
        if reason is not None:
            states.append({"name": quota.name, "limit": quota.limit, "used": None, "why": reason})
            continue
        for exchange in _requests(snapshot, quota, caller):
            state = await state_of(quota, exchange) | _which(quota, exchange)
            if caller.configured is None and quota.tiers:
                state["tiers"] = dict(quota.tiers)  # of groups, which only a token knows
            states.append(state)
    counted = [state["used"] for state in states if "why" not in state]
    if counted and not caller.is_known and all(used == 0 for used in counted):
        raise caller.nothing_counted()
    return states


def _asked(snapshot: Snapshot, request: Request) -> list[Quota]:
    if not snapshot.quotas:
        message = "there is no quota; write one in middleware.yaml, such as quotas: {daily: {limit: 1000, window: day}}"
        raise Refused(404, message)
    only = request.query_params.get("quota")
    found = [quota for quota in snapshot.quotas if only in (None, quota.name)]
    if not found:
        known = ", ".join(quota.name for quota in snapshot.quotas)
        raise Refused(404, f"unknown quota; the quotas are: {known}")
    return found


def _why_not(quota: Quota, caller: CountedCaller) -> str | None:
    """Why the counters of a quota do not follow from who it is."""
    parts = [part for part in quota.config.key if part not in _OF_CALLERS]
    if not parts and not {"consumer", "tenant"} & set(quota.config.key):
        parts = ["route"]
    return f"it counts by {' and '.join(parts)}, not by consumer alone" if parts else caller.lacks(quota.config.key)


def _requests(snapshot: Snapshot, quota: Quota, caller: CountedCaller) -> Iterator[Exchange]:
    """Requests as the caller would send them: one, or, where the quota counts by route, one of each."""
    routes: list[str] = [handler.route.id for handler in snapshot.handlers if quota.config.applies_to(handler.route.id)]
    for route in routes if "route" in quota.config.key else routes[:1]:
        yield caller.exchange(route)


def _which(quota: Quota, exchange: Exchange) -> dict[str, Any]:
    """The count that it is, where a consumer has several, or shares one."""
    which: dict[str, Any] = {"route": exchange.route} if "route" in quota.config.key else {}
    if "tenant" in quota.config.key and exchange.identity is not None:
        which["tenant"] = exchange.identity.tenant
    return which
