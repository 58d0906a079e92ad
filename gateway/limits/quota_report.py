"""`GET /quota`: the remaining quotas of the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.config.models import Configuration, RouteConfig
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Response
from gateway.limits.quota import Quota, quotas_of

PATH = "/quota"


def paths_of(configuration: Configuration) -> frozenset[str]:
    """Where it is asked: at the root, and behind the base path, as a proxy in front may pass it on."""
    return frozenset({PATH, configuration.routes.base_path.rstrip("/") + PATH})


@dataclass(frozen=True, slots=True)
class QuotaReport:
    """A handler, to be put behind the authentication. Asking is free."""

    quotas: Sequence[Quota]

    async def __call__(self, exchange: Exchange) -> Response:
        """The usage and the rest of the caller, as JSON. Raises GatewayError."""
        if exchange.method not in ("GET", "HEAD"):
            detail = f"{PATH} takes GET, HEAD, not {exchange.method}"
            raise GatewayError(ErrorKind.METHOD_NOT_ALLOWED, detail, headers=((b"allow", b"GET, HEAD"),))
        body = orjson.dumps({"quotas": [await state_of(quota, exchange) for quota in self.quotas]})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        return Response(200, headers, body)


def quota_report(context: Context) -> QuotaReport | None:
    """The report on all enforced quotas, if there are any."""
    quotas = [quota for quota in quotas_of(context) if quota.mode == "enforce"]
    return QuotaReport(quotas) if quotas else None


def report_route(configuration: Configuration) -> RouteConfig:
    """The route that the policies in front of the report (`guards_quota`) take it for.

    It accepts the default schemes, or else those of all routes.
    """
    named = [scheme for route in configuration.routes.routes for scheme in route.auth or ()]
    schemes = configuration.auth.default or tuple(dict.fromkeys(named))
    return RouteConfig.model_construct(id="quota", path=PATH, target="quota:80", auth=schemes)


async def state_of(quota: Quota, exchange: Exchange) -> dict[str, Any]:
    """Usage and rest of a quota of a request's caller, and when it is reset."""
    key, limit = quota.key(exchange), quota.limit_for(exchange.identity)
    if quota.ledger.used(key) is None:
        await quota.ledger.read(key)
    used = quota.ledger.used(key)
    ends = datetime.fromtimestamp(quota.ledger.span().ends, UTC)
    return {
        "name": quota.name,
        "limit": limit,
        "used": used,  # null: the store does not answer
        "remaining": None if used is None else max(0, limit - used),
        "window": quota.config.window,
        "timezone": quota.config.timezone,
        "resets": ends.isoformat().replace("+00:00", "Z"),
    }
