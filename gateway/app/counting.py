"""How many bytes a WebSocket carried."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.http.bodies import Message, Receive, Send
from gateway.upstream.websocket import size_of


@dataclass(slots=True)
class Counts:
    """Payload bytes of a WebSocket."""

    received: int = 0
    sent: int = 0

    def receiving(self, receive: Receive) -> Receive:
        async def counted() -> Message:
            message = await receive()
            self.received += size_of(message)
            return message

        return counted

    def sending(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            self.sent += size_of(message)
            await send(message)

        return counted
