"""The end of a tunnel that speaks in messages, as ASGI has them: an application in this process, or the channel of a
server that is not ours. It makes frames of messages, and messages of frames, with the `websockets` library."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from gateway.http.bodies import Message, Receive, Send
from gateway.http.frames import FAILED, GOING_AWAY, INVALID_DATA, NORMAL, FrameReader
from gateway.upstream.tunnel import HIGH_WATER, End, Tunnel

logger = logging.getLogger("gateway.websocket")

NO_CODE = 1005
LOST = 1006


class MessageEnd:
    """`client`: whose part it plays. `frames` reads what it sends."""

    def __init__(self, frames: FrameReader, *, client: bool) -> None:
        self.frames = frames
        self.masks = not client
        self.over = False
        self.gone = False
        self._protocol = Protocol(Side.CLIENT if client else Side.SERVER, max_size=None, logger=logger)
        self._tunnel: Tunnel | None = None
        self._peer: End | None = None
        self._parts: list[bytes] = []  # of the message that is under way to it
        self._is_text = False
        self._messages: deque[tuple[Message, int]] = deque()
        self._size = 0  # bytes of them
        self._disconnect: Message | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._may_send = asyncio.Event()
        self._may_send.set()

    # What the other end calls.

    def join(self, tunnel: Tunnel, peer: End) -> None:
        """Begin."""
        self._tunnel, self._peer = tunnel, peer

    def part(self) -> None:
        """The tunnel is over: forget it."""
        self._tunnel = self._peer = None

    def send(self, data: bytes) -> None:
        """Whole frames, or pieces of one."""
        if self.over or self._disconnect is not None:
            return
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame):
                self._take(frame)
        self._flush()
        if self._size > HIGH_WATER and self._peer is not None:
            self._peer.hold()

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            close = self._protocol.close_rcvd
            code, reason = (close.code, close.reason) if close is not None else (NO_CODE, "")
            self._disconnected(int(code), reason)
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            self._parts.append(bytes(frame.data))
            if frame.fin:
                data = b"".join(self._parts)
                self._parts.clear()
                message: Message = {"type": "websocket.receive", "text": None, "bytes": None}
                if self._is_text:
                    try:
                        message["text"] = data.decode()
                    except UnicodeDecodeError:
                        if self._tunnel is not None:
                            self._tunnel.close(INVALID_DATA)
                        return
                else:
                    message["bytes"] = data
                self._messages.append((message, len(data)))
                self._size += len(data)
                self._wake()

    def hold(self) -> None:
        """The other end takes nothing: senders of messages wait."""
        self._may_send.clear()

    def let_go(self) -> None:
        """The other end accepts data again."""
        self._may_send.set()

    def finish(self) -> None:
        """The other end has ended."""
        if not self.over:
            self.over = self.gone = True
            self._disconnected(LOST, None)
            self._may_send.set()
            asyncio.get_running_loop().call_soon(self._lost)

    def abort(self) -> None:
        """The same."""
        self.finish()

    def _lost(self) -> None:
        if self._tunnel is not None:
            self._tunnel.lost(self)

    def takes(self) -> bool:
        """False: it is closed as soon as it is finished."""
        return False

    def looked_at(self, now: float, interval: float) -> float:
        """It lives as long as this process does."""
        return now + interval

    def _disconnected(self, code: int, reason: str | None) -> None:
        if self._disconnect is None:
            self._disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._wake()

    def _flush(self) -> None:
        """Pass on what the library has to say, pongs and the answer to a close frame included."""
        data = b"".join(self._protocol.data_to_send())
        while data or self.frames.behind:
            passed = self.frames.read(data)
            if passed and self._peer is not None:
                self._peer.send(passed)
            data = b""
        if (self.frames.closed or self.frames.violation is not None) and self._tunnel is not None:
            self._tunnel.stopped(self)

    # What ASGI has.

    async def receive_message(self) -> Message:
        """The next `websocket.receive`, or `websocket.disconnect`."""
        while not self._messages:
            if self._disconnect is not None:
                return dict(self._disconnect)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        message, size = self._messages.popleft()
        self._size -= size
        if self._size <= HIGH_WATER and self._peer is not None:
            self._peer.let_go()
        return message

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def send_message(self, message: Message) -> None:
        """Take a `websocket.send` or a `websocket.close`. Raises OSError once the other end is closed."""
        if self.frames.closed or self.gone:
            if message["type"] == "websocket.close":
                return
            raise ConnectionResetError("the WebSocket is closed")
        if message["type"] == "websocket.close":
            self._protocol.send_close(message.get("code") or NORMAL, message.get("reason") or "")
        elif message["type"] == "websocket.send":
            text: str | None = message.get("text")
            if text is None:
                self._protocol.send_binary(message["bytes"])
            else:
                self._protocol.send_text(text.encode())
        else:
            raise RuntimeError(f"{message['type']!r} where websocket.send or websocket.close belongs")
        self._flush()
        await self._may_send.wait()


async def carry(end: MessageEnd, receive: Receive, send: Send) -> None:
    """Carry messages between a client's channel and an end that stands for it, until either is over."""
    carriers = [asyncio.create_task(_from_client(end, receive)), asyncio.create_task(_to_client(end, send))]
    try:
        await asyncio.wait([carriers[1]])
    finally:
        for carrier in carriers:
            carrier.cancel()
        for outcome in await asyncio.gather(*carriers, return_exceptions=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, OSError):  # OSError: the client disconnected
                logger.error("a WebSocket failed", exc_info=outcome)


async def _from_client(end: MessageEnd, receive: Receive) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        await end.send_message({**message, "type": "websocket.send"})
    code, reason = _client_close(message)
    await end.send_message({"type": "websocket.close", "code": code, "reason": reason})


async def _to_client(end: MessageEnd, send: Send) -> None:
    while (message := await end.receive_message())["type"] != "websocket.disconnect":
        await send({**message, "type": "websocket.send"})
    code, reason = message["code"], message["reason"] or ""
    code = {NO_CODE: NORMAL, LOST: FAILED}.get(code, code)
    await send({"type": "websocket.close", "code": code, "reason": reason})


def _client_close(message: Message) -> tuple[int, str]:
    """Code and reason for the backend. Codes that only say what happened are never sent (RFC 6455, 7.4.1)."""
    code: int = message.get("code") or NO_CODE
    reason: Any = message.get("reason")
    if code == LOST or reason is None:  # no close frame came: uvicorn then gives no reason, not even an empty one
        return GOING_AWAY, ""
    return NORMAL if code == NO_CODE else code, reason
