"""Refuses who is blocked (403), and blocks who fails to authenticate again and again.

`blocklist` stands outside of the authentication: it looks at the address, the user agent and the path, so that a
blocked client cannot try credentials, and it sees how every authentication ends. `blocked_consumers` stands behind it,
where it is known who calls.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.access.blocklist import blocklist_of
from gateway.access.entries import Entry, EntryTable
from gateway.access.runtime_entries import RuntimeEntries
from gateway.algorithms.networks import NetworkMap, client_network
from gateway.config.models import RouteConfig
from gateway.config.models.blocklist import AutomaticBans
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Response
from gateway.http.decisions import Mode
from gateway.http.fields import values
from gateway.http.paths import compared
from gateway.middleware.declaration import Declaration

_DETAIL: Final = "this client is blocked; ask the operator of this service"


@dataclass(frozen=True, slots=True)
class BlocklistCheck:
    """The shared state: entries of the file, those of the runtime, and exemptions from bans."""

    tables: tuple[EntryTable, EntryTable]
    runtime: RuntimeEntries
    automatic: AutomaticBans | None
    exempt: NetworkMap[None]
    mode: Mode

    def about(self, exchange: Exchange) -> Decision | None:
        """Why a request is refused before it is known who calls."""
        shadow: Decision | None = None
        for table in self.tables:
            if table.requests:
                agents = values(exchange.headers, b"user-agent") or [b""]
                found = self._verdict(exchange, table.about(exchange.client, agents, _paths(exchange)))
                if found is not None and found.verdict == "deny":
                    return found
                shadow = shadow or found
        return shadow

    def of_consumer(self, exchange: Exchange, name: str) -> Decision | None:
        """Why a consumer is refused."""
        found = [table.consumers[name] for table in self.tables if name in table.consumers]
        return self._verdict(exchange, found) if found else None

    def _verdict(self, exchange: Exchange, entries: Iterable[Entry]) -> Decision | None:
        """By the first of these entries that refuses it, else by the first one that would."""
        shadow: Decision | None = None
        for entry in entries:
            if not entry.holds(time.time()) or self._is_exempt(entry, exchange):
                continue
            if self.mode == "shadow" or (
                entry.source == "automatic" and self.automatic is not None and self.automatic.mode == "shadow"
            ):
                shadow = shadow or Decision(f"blocklist:{entry.kind}", "shadow-deny", entry.described())
            else:
                return Decision(f"blocklist:{entry.kind}", "deny", entry.described())
        return shadow

    def _is_exempt(self, entry: Entry, exchange: Exchange) -> bool:
        """Also from bans that are older than the exemption, or come from a gateway that has none."""
        automatic = entry.source == "automatic" and entry.kind == "network"
        return automatic and bool(self.exempt.covering(exchange.client))

    def failed(self, exchange: Exchange, error: GatewayError) -> None:
        """Count a failed authentication, and a refusal of a known caller."""
        if self.automatic is None:
            return
        consumer = exchange.identity.consumer if exchange.identity is not None else exchange.claimed_consumer
        if consumer is not None and "consumer" in self.automatic.per:
            self.runtime.failed(("consumer", consumer), self.automatic)
        if error.kind is ErrorKind.UNAUTHENTICATED and "address" in self.automatic.per:
            network = None if self.exempt.covering(exchange.client) else client_network(exchange.client)
            if network is not None:
                self.runtime.failed(("network", str(network)), self.automatic)


@dataclass(frozen=True, slots=True, repr=False)
class Blocklist:
    """In front of the authentication."""

    check: BlocklistCheck

    def __repr__(self) -> str:
        return "Blocklist"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that refuses who is blocked, and notes how the authentication of all others ends."""
        check = self.check
        file, runtime = check.tables

        async def noting(exchange: Exchange) -> Response:
            try:
                return await handler(exchange)
            except GatewayError as error:
                if error.kind is ErrorKind.UNAUTHENTICATED or error.kind is ErrorKind.FORBIDDEN:
                    # Count it. Credentials of a blocked consumer are refused as such, right or wrong: guessing on shows
                    # nothing.
                    check.failed(exchange, error)
                    if exchange.identity is None and exchange.claimed_consumer is not None:
                        found = check.of_consumer(exchange, exchange.claimed_consumer)
                        if found is not None:
                            _apply(exchange, found)
                raise

        def guarded(exchange: Exchange) -> Awaitable[Response]:
            if file.requests or runtime.requests:
                found = check.about(exchange)
                if found is not None:
                    _apply(exchange, found)
            # Where failures are not counted, and no consumer is blocked, nothing depends on how it ends.
            if check.automatic is None and not (file.consumers or runtime.consumers):
                return handler(exchange)
            return noting(exchange)

        return guarded

    async def explain(self, exchange: Exchange) -> Decision | None:
        """Which entry is about the request."""
        return self.check.about(exchange)


@dataclass(frozen=True, slots=True, repr=False)
class BlockedConsumers:
    """Behind the authentication."""

    check: BlocklistCheck

    def __repr__(self) -> str:
        return "BlockedConsumers"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that refuses consumers who are blocked."""
        check = self.check

        file, runtime = check.tables

        def guarded(exchange: Exchange) -> Awaitable[Response]:
            identity = exchange.identity
            if identity is not None and (identity.consumer in runtime.consumers or identity.consumer in file.consumers):
                found = check.of_consumer(exchange, identity.consumer)
                if found is not None:
                    _apply(exchange, found)
            return handler(exchange)

        return guarded

    async def explain(self, exchange: Exchange) -> Decision | None:
        """Whether the consumer is blocked."""
        return self.check.of_consumer(exchange, exchange.identity.consumer) if exchange.identity is not None else None


def _paths(exchange: Exchange) -> Iterator[str]:
    """All forms of the path: the route's own, the client's as it is compared, and what the client wrote."""
    path, original = exchange.path, exchange.original_path
    yield path
    if original != path:
        yield compared(original)
        yield original


def _apply(exchange: Exchange, decision: Decision) -> None:
    """Raises GatewayError, except in shadow mode. The reason is for the logs, not for the client."""
    exchange.decisions += (decision,)
    if decision.verdict == "deny":
        raise GatewayError(ErrorKind.BLOCKED, _DETAIL)


def for_route(context: Context, route: RouteConfig) -> Blocklist | None:
    """None where the blocklist is not meant for the route."""
    check = _check(context, route)
    return Blocklist(check) if check is not None else None


def consumers_for_route(context: Context, route: RouteConfig) -> BlockedConsumers | None:
    """The same for consumers."""
    check = _check(context, route)
    return BlockedConsumers(check) if check is not None else None


def _check(context: Context, route: RouteConfig) -> BlocklistCheck | None:
    config = context.configuration.middleware.blocklist
    if not config.applies_to(route.id):
        return None
    return context.once("blocklist", lambda: _new_check(context))


def _new_check(context: Context) -> BlocklistCheck:
    config, entries = context.configuration.middleware.blocklist, blocklist_of(context)
    tables = (entries.file.table, entries.runtime.table)
    return BlocklistCheck(tables, entries.runtime, config.automatic, entries.file.exempt, config.mode)


DECLARATION: Final[Declaration] = Declaration(
    "blocklist",
    for_route,
    before={"authentication": "a blocked client can try credentials"},
    guards_quota=True,
    compiled=True,
    by_hand=True,
)
OF_CONSUMERS: Final[Declaration] = Declaration(
    "blocked_consumers",
    consumers_for_route,
    behind={"authentication": "it is not yet known who calls"},
    guards_quota=True,
    compiled=True,
    by_hand=True,
)
