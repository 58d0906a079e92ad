"""Quotas in the admin API: `GET /quotas?consumer=NAME`, `DELETE /quotas?consumer=NAME&quota=NAME`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer, loaded
from gateway.admin.operations import Operation, Parameter
from gateway.http import Exchange, Identity
from gateway.limits.quota import Quota
from gateway.limits.quota_report import state_of
from gateway.reload import Reloader
from gateway.snapshot import Snapshot

logger = logging.getLogger("gateway.limits")

_OF_CALLERS: Final = frozenset({"consumer", "tenant", "route"})
_MAX_NAME: Final = 200  # characters


def quota_operations(reloader: Reloader) -> list[Operation]:
    """Operations on the current quotas."""
    api = _Api(reloader)
    consumer = Parameter("consumer", "The name of a consumer.", required=True)
    only = Parameter("quota", "Only the quota of this name.")
    refusals = {400: "it names no consumer", 404: "unknown quota", 503: "the store does not answer"}
    return [
        Operation(
            "GET", "/quotas", api.shown, "What a consumer has used of its quotas.", (consumer, only), refusals=refusals
        ),
        Operation("DELETE", "/quotas", api.reset, "Reset a consumer's usage.", (consumer, only), refusals=refusals),
    ]


class _Api:
    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def shown(self, request: Request) -> Response:
        snapshot, name = loaded(self._reloader), _consumer(request)
        states = []
        for quota in _asked(snapshot, request):
            part = _unknown_part(quota)
            if part is not None:
                reason = f"it counts by {part}, not by consumer alone"
                states.append({"name": quota.name, "limit": quota.limit, "used": None, "why": reason})
                continue
            for exchange in _callers(snapshot, quota, name):
                states.append(await state_of(quota, exchange) | _which(quota, exchange))
        return json_answer({"consumer": name, "quotas": states})

    async def reset(self, request: Request) -> Response:
        snapshot, name = loaded(self._reloader), _consumer(request)
        done = []
        for quota in _asked(snapshot, request):
            if _unknown_part(quota) is None:
                for exchange in _callers(snapshot, quota, name):
                    used = await quota.ledger.reset(quota.key(exchange))
                    if used is None:
                        reason = f"the store of the quota {quota.name} does not answer"
                        raise Refused(503, f"{reason}: gateway status says why; try again when it does")
                    done.append({"name": quota.name, "forgiven": used} | _which(quota, exchange))
        if not done:
            raise Refused(404, f"no quota counts by consumer or tenant, so there is nothing of {name} to reset")
        logger.warning("quotas of %s were reset: %s", name, ", ".join(f"{d['name']} ({d['forgiven']})" for d in done))
        return json_answer({"consumer": name, "reset": done})


def _consumer(request: Request) -> str:
    name = request.query_params.get("consumer", "")
    if not 1 <= len(name) <= _MAX_NAME or not name.isprintable():
        raise Refused(400, "name the consumer: /quotas?consumer=NAME")
    return name


def _asked(snapshot: Snapshot, request: Request) -> list[Quota]:
    only = request.query_params.get("quota")
    found = [quota for quota in snapshot.quotas if only in (None, quota.name)]
    if not found:
        known = ", ".join(quota.name for quota in snapshot.quotas)
        raise Refused(404, f"unknown quota; the quotas are: {known or 'none'}")
    return found


def _unknown_part(quota: Quota) -> str | None:
    """Key parts of a quota that do not follow from the consumer."""
    parts = [part for part in quota.config.key if part not in _OF_CALLERS]
    if parts:
        return " and ".join(parts)
    return None if {"consumer", "tenant"} & set(quota.config.key) else "route"


def _callers(snapshot: Snapshot, quota: Quota, name: str) -> Iterator[Exchange]:
    """Requests as the consumer would send them: one, or, where the quota counts by route, one of each."""
    consumers = snapshot.configuration.auth.consumers
    consumer = next((each for each in consumers if each.name == name), None)
    identity = Identity(name, "", consumer.tenant, frozenset(consumer.groups)) if consumer else Identity(name, "")
    routes: list[str] = [handler.route.id for handler in snapshot.handlers if quota.config.applies_to(handler.route.id)]
    for route in routes if "route" in quota.config.key else routes[:1]:
        exchange = Exchange("", "GET", "/", b"", [], {}, "http", "", "127.0.0.1", False, "127.0.0.1")
        exchange.identity, exchange.route = identity, route
        yield exchange


def _which(quota: Quota, exchange: Exchange) -> dict[str, Any]:
    """The count that it is, where a consumer has several, or shares one."""
    which: dict[str, Any] = {"route": exchange.route} if "route" in quota.config.key else {}
    if "tenant" in quota.config.key and exchange.identity is not None:
        which["tenant"] = exchange.identity.tenant
    return which
