"""A client connection that becomes one end of a WebSocket (RFC 6455)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from gateway.http import Headers, Outcome, Response
from gateway.http.frames import FrameReader
from gateway.http.handshake import UPGRADE_LINES, spelled
from gateway.server.context import ServerContext
from gateway.server.http1.channel import STATUS_LINES
from gateway.turns import ClientTurns
from gateway.upstream.tunnel import Tunnel
from gateway.upstream.tunnel_side import Side


def join(
    context: ServerContext,
    transport: asyncio.Transport,
    place: bytes | str,
    switch: Callable[[bytes], bytes],
    response: Response,
    outcome: Outcome,
) -> Awaitable[None]:
    """Join a client to a backend's WebSocket; wait for what is returned until that is over.

    `switch` sends the head of the 101, and answers with what the client has sent behind its handshake. Raises
    GatewayError, and so does what is returned.
    """
    session = cast(Any, response.session)
    head = _switching(response.headers + session.handshake)
    turns = ClientTurns(context.turns, place)

    def client(frames: FrameReader) -> Side:
        return Side(transport, switch(head), frames, context.buffer, turns, masks=False)

    return _until_over(session.join(client, turns), context.connections, outcome)


def _switching(headers: Headers) -> bytes:
    """A 101 that makes a connection a WebSocket."""
    lines = spelled([*UPGRADE_LINES, *headers])
    head = STATUS_LINES[101] + b"\r\n".join([*map(b": ".join, lines), b"", b""])
    if not head.count(b"\n") == head.count(b"\r") == len(lines) + 2:
        raise ValueError("a response header holds a line break")
    return head


async def _until_over(tunnel: Tunnel, connections: set[Any], outcome: Outcome) -> None:
    """Wait for the end of a tunnel, as long as which the client's connection is one of the server's. Holds nothing of
    the handshake."""
    side = tunnel.client
    connections.add(side)
    try:
        await tunnel.ended
    finally:
        connections.discard(side)
        outcome.received, outcome.sent = tunnel.passed
    if tunnel.failure is not None:
        raise tunnel.failure
