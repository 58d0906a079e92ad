"""How many bytes a WebSocket carried."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.http.messages import Message, Receive, Send


@dataclass(slots=True)
class Counts:
    """Payload bytes of a WebSocket."""

    received: int = 0
    sent: int = 0

    def receiving(self, receive: Receive) -> Receive:
        async def counted() -> Message:
            message = await receive()
            self.received += _payload(message)
            return message

        return counted

    def sending(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            self.sent += _payload(message)
            await send(message)

        return counted


def _payload(message: Message) -> int:
    text = message.get("text")
    return len(message.get("bytes") or message.get("body") or b"") if text is None else len(text.encode())
