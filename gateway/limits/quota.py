"""One quota of the configuration, compiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.config.models.quotas import Quota as QuotaConfig
from gateway.context import Context
from gateway.http import Identity
from gateway.http.decisions import Mode
from gateway.limits.keys import Key, compile_key
from gateway.limits.ledger import Book, Ledger
from gateway.limits.rate_limit import OnFailure
from gateway.limits.redis_book import RedisBook
from gateway.limits.sqlite_book import SqliteBook
from gateway.limits.windows import Field
from gateway.live import Place
from gateway.outside.redis_link import redis_identity, redis_link


@dataclass(frozen=True, slots=True)
class Quota:
    """How many requests in a window of the calendar, for whom, and where they are counted."""

    name: str
    rule: str  # as decisions call it
    mode: Mode
    key: Key
    limit: int
    tiers: tuple[tuple[str, int], ...]  # by group, the first that fits
    config: QuotaConfig
    on_failure: OnFailure
    ledger: Ledger

    def limit_for(self, identity: Identity | None) -> int:
        """The limit of this caller: that of its tier, or of all."""
        if identity is not None:
            for group, limit in self.tiers:
                if group in identity.groups:
                    return limit
        return self.limit

    def left(self, state: Sequence[int]) -> str:
        """See `Allowance`; the state is what is used, and the limit of the caller."""
        used, limit = state
        return f"{max(0, limit - used)} of {limit} in a {self.config.window}"

    def fields(self, used: int, limit: int) -> tuple[Field, Field]:
        """The header fields of a response, when so much is used (draft-ietf-httpapi-ratelimit-headers-10)."""
        span, name = self.ledger.span(), self.name.encode()
        policy = b'"%b";q=%d;w=%d' % (name, limit, span.ends - span.starts)
        state = b'"%b";r=%d;t=%d' % (name, max(0, limit - used), self.ledger.seconds_left())
        return (b"ratelimit-policy", policy), (b"ratelimit", state)


def quotas_of(context: Context, route_id: str | None = None) -> Iterator[Quota]:
    """The quotas of a route, or all of them."""
    for name, config in context.configuration.middleware.quotas.items():
        if route_id is None or config.applies_to(route_id):
            yield Quota(
                name=name,
                rule=f"quota:{name}",
                mode=config.mode,
                key=compile_key(config.key),
                limit=config.limit,
                tiers=tuple(config.tiers.items()),
                config=config,
                on_failure=config.on_failure,
                ledger=_ledger(context, name, config),
            )


def _ledger(context: Context, name: str, config: QuotaConfig) -> Ledger:
    # What makes where it is counted another place.
    key = (
        "quotas.ledger",
        name,
        config.window,
        config.timezone,
        *(redis_identity(context) if config.store == "redis" else (_path(context, config),)),
    )
    place = ("middleware.yaml", ("quotas", name))
    zone = ZoneInfo(config.timezone)
    return context.plan.need(key, lambda: Ledger(name, config.window, zone, _book(context, config, place)), place)


def _book(context: Context, config: QuotaConfig, place: Place) -> Book:
    if config.store == "redis":
        return RedisBook(redis_link(context))
    path = _path(context, config)
    return context.plan.need(("quotas.sqlite", path), lambda: SqliteBook(path), place)


def _path(context: Context, config: QuotaConfig) -> Path:
    return context.base / context.configuration.middleware.state_directory / config.file
