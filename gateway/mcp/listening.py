"""Merges the server-sent messages of several servers into one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from typing import Final

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Exchange, Headers, Response
from gateway.mcp.answers import EVENTS
from gateway.mcp.events import written as event
from gateway.mcp.group import Asked, Group, body_of, give_up
from gateway.mcp.json_text import Change, elements, joined, members, written
from gateway.mcp.merged import MergedStream, Source
from gateway.mcp.messages import Message
from gateway.mcp.names import for_client, inner_uri, uri_form
from gateway.mcp.passing import events_of
from gateway.mcp.sealing import ServerSession, Session
from gateway.mcp.server import Server, SessionLost
from gateway.mcp.versions import ACKNOWLEDGED, SUBSCRIPTION_IN_META

_OPENING_SECONDS: Final = 1.0  # in which servers begin to answer, before the client gets its stream


async def listened(group: Group, exchange: Exchange, session: Session, ids: Mapping[str, str]) -> Response:
    """The streams of all servers of a session, from behind these events on. Raises GatewayError."""
    sources = []
    for own in session.servers:
        server = group.servers.get(own.server)
        if server is not None:
            opening = partial(_stream, server, own, exchange, None)
            sources.append(Source(server.name, opening, partial(for_client, server=server)))
    return await _merged(group, exchange, sources, ids, b"")


async def subscribed(group: Group, asked: Asked) -> Response:
    """Later messages of servers, as far as the client wants them (`subscriptions/listen`, since 2026-07-28).

    Raises GatewayError, NotJson.
    """
    exchange, message = asked.exchange, asked.message
    sources = []
    for server in group.servers.values():
        opening = partial(_stream, server, None, exchange, body_of(message, _own_resources(message, server.name)))
        sources.append(Source(server.name, opening, partial(_but_its_bounds, server=server)))
    wanted = message.params.get("notifications")
    meta = {SUBSCRIPTION_IN_META: message.members["id"].value}
    params = {"_meta": meta, "notifications": wanted if isinstance(wanted, dict) else {}}
    said = {"jsonrpc": "2.0", "method": ACKNOWLEDGED, "params": params}
    return await _merged(group, exchange, sources, {}, event(written(said), name="message"))


def _own_resources(message: Message, server: str) -> list[Change]:
    """The parameters that make a subscription one to the resources of this server only."""
    wanted = message.parameters().get("notifications")
    if wanted is None or not isinstance(wanted.value, dict):
        return []
    part = members(message.text, wanted.start).get("resourceSubscriptions")
    if part is None or not isinstance(part.value, list):
        return []
    found = [inner_uri(each.value) for each in elements(message.text, part.start)]
    own = [each[1] for each in found if each is not None and each[0] == uri_form(server)]
    return [(part.start, part.end, joined(map(written, own)))]


def _but_its_bounds(message: Message, server: Server) -> list[Change] | None:
    """Drop the begin and the end of one server's subscription: they are sent for all servers together."""
    return None if message.is_answer or message.method == ACKNOWLEDGED else for_client(message, server)


async def _stream(
    server: Server, session: ServerSession | None, exchange: Exchange, body: bytes | None, id: str
) -> Body | None:
    """Messages of one server from behind this event on; None if it sends none."""
    own = copy(exchange)
    own.deferred = None  # it may be opened many times while the client listens: each ends by itself
    lines: Headers = [(b"accept", EVENTS if body is None else b"application/json, " + EVENTS)]
    if id.isprintable() and id:
        lines.append((b"last-event-id", id.encode("latin-1", "replace")))
    try:
        response = await server.send(own, session, body, lines=lines)
    except SessionLost:
        return None
    except BaseException:
        own.close()
        raise
    if (events := events_of(response)) is not None:
        return _Owned(events, own)
    give_up(response)
    own.close()
    if response.status >= 500:
        raise GatewayError(ErrorKind.UPSTREAM_UNAVAILABLE, f"{server.name} answers {response.status}")
    return None


async def _merged(
    group: Group, exchange: Exchange, sources: Sequence[Source], ids: Mapping[str, str], first: bytes
) -> Response:
    opening = [asyncio.ensure_future(each.open(ids.get(each.server, ""))) for each in sources]
    exchange.defer(partial(_give_up, opening))
    done, pending = await asyncio.wait(opening, timeout=_OPENING_SECONDS) if opening else (set(), set())
    failures = [error for each in done if (error := each.exception()) is not None]
    if not pending and len(failures) == len(done) > 0:
        raise failures[0]
    if not pending and not failures and not any(each.result() for each in done):
        return Response(405, [(b"allow", b"POST, DELETE"), (b"content-length", b"0")])
    # The parts that opened after a while are taken up as they come.
    stream = MergedStream(list(zip(sources, opening, strict=True)), ids, group.limits.answer, first)
    exchange.defer(stream.close)
    return Response(200, [(b"content-type", EVENTS), (b"cache-control", b"no-cache")], stream)


def _give_up(opening: Sequence[asyncio.Future[Body | None]]) -> None:
    for each in opening:
        if not each.done():
            each.cancel()
        elif not each.cancelled() and each.exception() is None and (body := each.result()) is not None:
            body.close()


class _Owned:
    """A stream, with the exchange that it belongs to. A Body."""

    __slots__ = ("_body", "_exchange", "read")

    def __init__(self, body: Body, exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange
        self.read = body.read

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return self._body.ready

    def close(self) -> None:
        self._body.close()
        self._exchange.close()
