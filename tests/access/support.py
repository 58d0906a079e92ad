"""Blocklists as a configuration makes them, in front of a handler that answers what a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.access.blocklist import blocklist_of
from gateway.access.runtime_entries import RuntimeEntries
from gateway.config.load import parse
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Headers, Identity, Response
from gateway.live import Owner
from gateway.middleware import blocklist

ROUTES = "- {id: test, path: /*, target: 'backend:80'}\n"


@dataclass
class Answers:
    """What the authentication behind the blocklist finds out: an identity, or an error."""

    identity: Identity | None = None
    claimed: str | None = None
    error: GatewayError | None = None
    asked: int = 0

    async def __call__(self, exchange: Exchange) -> Response:
        self.asked += 1
        exchange.identity = self.identity
        exchange.claimed_consumer = self.claimed
        if self.error is not None:
            raise self.error
        return Response(200, [])


@dataclass
class Guarded:
    """A running blocklist, and what is behind it."""

    handler: Handler
    live: RuntimeEntries
    answers: Answers = field(default_factory=Answers)

    async def status(self, client: str = "198.51.100.1", *, agent: str = "", path: str = "/") -> int:
        """What a request is answered with."""
        return (await self.decide(client, agent=agent, path=path))[0]

    async def decide(self, client: str, *, agent: str = "", path: str = "/") -> tuple[int, list[tuple[str, str]]]:
        """The same, with the verdicts of the rules."""
        exchange = request(client, agent=agent, path=path)
        try:
            status = (await self.handler(exchange)).status
        except GatewayError as error:
            status = error.kind.status
        return status, [(decision.rule, decision.verdict) for decision in exchange.decisions]

    def fail(self, *, claimed: str | None = None) -> None:
        """From now on no caller is recognised."""
        self.answers.identity, self.answers.claimed = None, claimed
        self.answers.error = GatewayError(ErrorKind.UNAUTHENTICATED, "wrong")

    def recognise(self, name: str) -> None:
        """From now on everybody is this consumer."""
        self.answers.identity, self.answers.claimed, self.answers.error = Identity(name, "keys"), None, None

    def forbid(self, name: str) -> None:
        """From now on everybody is this consumer, and may not do what it wants."""
        self.recognise(name)
        self.answers.error = GatewayError(ErrorKind.FORBIDDEN, "no")


def request(client: str, *, agent: str = "", path: str = "/") -> Exchange:
    """An exchange as the app makes them."""
    headers: Headers = [(b"user-agent", agent.encode("latin-1"))] if agent else []
    return Exchange("id", "GET", path, b"", headers, dict(headers), "http", "host", client, False, client)


def context(middleware: str, base: Path, *, auth: str = "", owner: Owner | None = None) -> Context:
    """What the blocklist is built from. Raises ConfigError."""
    files = {"routes.yaml": ROUTES.encode(), "middleware.yaml": middleware.encode(), "auth.yaml": auth.encode()}
    return Context(parse(files, {}, base=base), (owner or Owner()).plan())


@asynccontextmanager
async def guarded(middleware: str, base: Path, *, auth: str = "") -> AsyncIterator[Guarded]:
    """Both parts of the blocklist around a stand-in for the authentication; `base` is the configuration directory."""
    owner = Owner()
    built = context(middleware, base, auth=auth, owner=owner)
    route = built.configuration.routes.routes[0]
    outer, inner = blocklist.for_route(built, route), blocklist.consumers_for_route(built, route)
    assert outer is not None
    assert inner is not None
    answers = Answers()

    async def fine(exchange: Exchange) -> Response:
        return Response(200, [])

    behind = inner.wrap(fine)

    async def authentication(exchange: Exchange) -> Response:
        await answers(exchange)
        return await behind(exchange)

    live = blocklist_of(built).runtime
    await owner.adopt(built.plan)
    try:
        yield Guarded(outer.wrap(authentication), live, answers)
    finally:
        await owner.stop()
