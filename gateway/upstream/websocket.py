"""A WebSocket that a backend has accepted, until a client is joined to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.deadlines import NEVER, Deadlines
from gateway.http import Headers
from gateway.http.bodies import Message, Receive, Send
from gateway.http.checked_frames import CheckedFrames, MessageCheck
from gateway.http.frames import FrameReader
from gateway.http.handshake import Negotiated
from gateway.turns import ClientTurns, Turns
from gateway.upstream.connection import Connection
from gateway.upstream.tunnel import End, Tunnel

if TYPE_CHECKING:
    from gateway.upstream.messages import MessageEnd


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """Bounds of every WebSocket."""

    max_message: int = 16 * 1024 * 1024  # bytes on the wire, of all frames of a message
    ping_interval: float = 30.0  # seconds


class Upgraded:
    """A backend's connection after its 101. It closes with the exchange, whether a client was joined to it or not."""

    __slots__ = ("_connection", "_ends_at", "_limits", "_negotiated", "_tunnel", "check", "handshake")

    def __init__(
        self,
        connection: Connection,
        handshake: Headers,
        negotiated: Negotiated,
        limits: WebSocketLimits,
        ends_at: float = NEVER,
    ) -> None:
        self._connection = connection
        self._negotiated = negotiated
        self._limits = limits
        self._ends_at = ends_at  # loop time
        self._tunnel: Tunnel | None = None
        self.handshake = handshake  # what the 101 says of the WebSocket
        self.check: MessageCheck | None = None  # of the client's messages; None: all pass as they come

    def join(self, client: Callable[[FrameReader], End], turns: ClientTurns) -> Tunnel:
        """Join a client, of which `client` makes an end, given what reads its frames. Raises GatewayError."""
        connection = self._connection
        upstream = connection.switch(self._frames(masked=False), turns)
        tunnel = self._tunnel = Tunnel(connection.deadlines, self._limits.ping_interval, self._ends_at)
        tunnel.begin(client(self._of_client()), upstream)
        self.handshake = []  # which may be long, and a tunnel open for days
        return tunnel

    def _of_client(self) -> FrameReader:
        if self.check is None:
            return self._frames(masked=True)
        return CheckedFrames(self.check, masked=True, max_message=self._limits.max_message)

    def _frames(self, *, masked: bool) -> FrameReader:
        bits = self._negotiated
        return FrameReader(
            masked=masked,
            max_message=self._limits.max_message,
            first_bits=bits.first_bits,
            other_bits=bits.other_bits,
        )

    async def run(self, receive: Receive, send: Send, headers: Headers) -> None:
        """Join a client that another server speaks with: messages on its side, frames on ours."""
        from gateway.upstream.messages import MessageEnd, carry  # noqa: PLC0415  rarely needed, and not small

        await receive()  # websocket.connect
        selected = dict(self.handshake).get(b"sec-websocket-protocol")
        accept = {"type": "websocket.accept", "subprotocol": selected and selected.decode("latin-1")}
        await send(accept | {"headers": headers})
        ends: list[MessageEnd] = []

        def client(frames: FrameReader) -> End:
            ends.append(MessageEnd(frames, client=True))
            return ends[0]

        tunnel = self.join(client, ClientTurns(Turns(), ""))
        await carry(ends[0], receive, send)
        if tunnel.failure is not None:
            raise tunnel.failure

    def close(self, code: int) -> None:
        """End both sides with this code."""
        if self._tunnel is not None:
            self._tunnel.close(code)


def size_of(message: Message) -> int:
    """Bytes of what an ASGI message carries: of a WebSocket, or of the response that refuses one."""
    text = message.get("text")
    return len(message.get("bytes") or message.get("body") or b"") if text is None else len(text.encode())


def tunnel_to_application(
    client: Callable[[FrameReader], End], deadlines: Deadlines, limits: WebSocketLimits, ends_at: float
) -> tuple[Tunnel, MessageEnd]:
    """A tunnel between a client and an application in this process, and the end that speaks with the application."""
    from gateway.upstream.messages import MessageEnd  # noqa: PLC0415  rarely needed, and not small

    end = MessageEnd(FrameReader(masked=False, max_message=limits.max_message), client=False)
    tunnel = Tunnel(deadlines, limits.ping_interval, ends_at)
    tunnel.begin(client(FrameReader(masked=True, max_message=limits.max_message)), end)
    return tunnel, end
