"""Refuses requests (503) while they cannot be recorded, where the audit log says `on_failure: closed`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Response
from gateway.http.decisions import deny
from gateway.middleware.declaration import Declaration
from gateway.monitor.audit_log import SERVICE, AuditLog

RULE = "audit_log"
RETRY_SECONDS = 5
_DETAIL = "the audit log cannot be written, and without it nothing is served"


@dataclass(frozen=True, slots=True)
class AuditGate:
    """Open as long as the log is written."""

    log: AuditLog = field(repr=False)

    def wrap(self, handler: Handler) -> Handler:
        """A handler that calls no other while the log is failing."""
        log = self.log

        async def recorded(exchange: Exchange) -> Response:
            if log.refusing:
                again = ((b"retry-after", b"%d" % RETRY_SECONDS),)
                deny(exchange, RULE, GatewayError(ErrorKind.AUDIT_UNAVAILABLE, _DETAIL, headers=again))
            return await handler(exchange)

        return recorded

    async def explain(self, exchange: Exchange) -> Decision | None:
        """Only where it would refuse."""
        return Decision(RULE, "deny", _DETAIL) if self.log.refusing else None


def for_route(context: Context, route: RouteConfig) -> AuditGate | None:
    """None where requests are served without a record."""
    config = context.configuration.middleware.audit_log
    if config.file is None or config.on_failure != "closed":
        return None
    return AuditGate(context.plan.need(SERVICE, AuditLog, ("middleware.yaml", ("audit_log",))))


DECLARATION: Final[Declaration] = Declaration("audit_log", for_route, guards_quota=True)
