"""How many requests in a day or month: counts each request in all quotas of its route, refuses what is over (429)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.config.models import Configuration, RouteConfig
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Headers, Response
from gateway.http.answers import answer_with
from gateway.http.decisions import deny
from gateway.limits.keys import headers_of
from gateway.limits.quota import Quota, quotas_of
from gateway.middleware.declaration import Declaration, Read

RETRY_SECONDS = 1  # for clients that are refused because the store is down
NEAR: Final = 0.8  # of a limit, from which on it is noted who has used so much


@dataclass(frozen=True, slots=True, repr=False)
class Quotas:
    """All quotas of one route. A request that one of them refuses is counted by none."""

    quotas: tuple[Quota, ...]

    def wrap(self, handler: Handler) -> Handler:
        """A handler that refuses what is over a quota, and reports to the client what is left."""

        async def limited(exchange: Exchange) -> Response:
            keys = [quota.key(exchange) for quota in self.quotas]
            for quota, key in zip(self.quotas, keys, strict=True):
                if quota.ledger.used(key) is None and not await quota.ledger.read(key):
                    break  # the others share its store, mostly: a request waits once
            # Decide, and count, without anything in between. Answers with the fields for the response.
            limits = [quota.limit_for(exchange.identity) for quota in self.quotas]
            for quota, key, limit in zip(self.quotas, keys, limits, strict=True):
                _check(exchange, quota, key, limit)
            fields: Headers = []
            for quota, key, limit in zip(self.quotas, keys, limits, strict=True):
                if quota.mode == "enforce" or quota.ledger.assume(key) < limit:
                    quota.ledger.add(key)
                used = quota.ledger.assume(key)
                if used >= limit * NEAR:
                    quota.ledger.note_near(key, used, limit)
                if quota.mode == "enforce":
                    fields += quota.fields(used, limit)
                exchange.counted += ((quota.rule, quota, (used, limit)),)
            return await answer_with(handler, exchange, fields)

        return limited

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The expected decision of the quotas, from local state: counts that were never read are not read for this."""
        states = []
        for quota in self.quotas:
            used, limit = quota.ledger.peek(quota.key(exchange)), quota.limit_for(exchange.identity)
            if used is not None and used >= limit:
                reason = f"all {limit} are used up"
                return Decision(quota.rule, "deny" if quota.mode == "enforce" else "shadow-deny", reason)
            left = "not read yet" if used is None else f"{limit - used} of {limit} are left"
            states.append(f"{quota.name}: {left}")
        return Decision(f"quota:{self._names()}", "allow", "; ".join(states))

    def __repr__(self) -> str:
        return f"Quotas({self._names()})"

    def _names(self) -> str:
        return ",".join(quota.name for quota in self.quotas)


def for_route(context: Context, route: RouteConfig) -> Quotas | None:
    """The quotas of a route, if it has any."""
    quotas = tuple(quotas_of(context, route.id))
    return Quotas(quotas) if quotas else None


def _check(exchange: Exchange, quota: Quota, key: str, limit: int) -> None:
    """Raises GatewayError where the quota is used up, or is not known and must be."""
    ledger = quota.ledger
    known = ledger.book.available and ledger.used(key) is not None
    if not known and quota.on_failure == "closed":
        again = ((b"retry-after", b"%d" % RETRY_SECONDS),)
        error = GatewayError(
            ErrorKind.STORE_UNAVAILABLE, f"the store of the quota {quota.name} does not answer", headers=again
        )
        deny(exchange, quota.rule, error, quota.mode)
    elif (known or quota.on_failure == "local") and ledger.assume(key) >= ledger.limit(key, limit):
        ledger.look(key)  # it may have been reset through another gateway
        ledger.note_near(key, limit, limit)
        seconds = ledger.seconds_left()
        again = ((b"retry-after", b"%d" % seconds),)
        detail = f"the quota {quota.name} ({limit} in a {quota.config.window}) is used up; again in {seconds} s"
        members = {"violated-policies": [quota.name]}
        fields = quota.fields(limit, limit) + again
        error = GatewayError(ErrorKind.QUOTA_EXCEEDED, detail, headers=fields, members=members)
        deny(exchange, quota.rule, error, quota.mode)


def _reads(configuration: Configuration, route: RouteConfig) -> Iterator[Read]:
    return headers_of(configuration.middleware.quotas.values(), route)


DECLARATION: Final[Declaration] = Declaration(
    "quotas",
    for_route,
    behind={
        "authentication": "quotas by consumer or tenant count addresses instead",
        "authorization": "refused requests use up the quota",
    },
    reads=_reads,
)
