"""The end of a tunnel that speaks in messages, as ASGI has them: an application in this process, or the channel of a
server that is not ours. It makes frames of messages, and messages of frames, with the `websockets` library."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Final

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from gateway.errors import GatewayError
from gateway.http.bodies import Message, Receive, Send
from gateway.http.frames import FAILED, GOING_AWAY, INVALID_DATA, LOST, NO_CODE, NORMAL, PONG, FrameReader
from gateway.upstream.tunnel import HIGH_WATER, End, Tunnel

logger = logging.getLogger("gateway.websocket")

OVERHEAD: Final = 512  # bytes that a message takes beside what it holds
_PONG: Final = bytes((0x80 | PONG,))


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
        self._part = bytearray()  # of the message that is under way to it
        self._is_text = False
        self._messages: deque[tuple[Message, int]] = deque()
        self._size = 0  # bytes of them, overhead included
        self._disconnect: Message | None = None
        self._came = asyncio.Event()
        self._pong = b""  # that waits until the other end takes something
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
        close = self._protocol.close_rcvd
        if close is not None:
            self._disconnected(int(close.code), close.reason)
        self._flush(self._answers())
        if self._disconnect is None:
            if self._size > HIGH_WATER and self._peer is not None:
                self._peer.hold()
        elif self.masks and self.frames.closed:  # a server closes as soon as both have said so
            self.finish()

    def _answers(self) -> bytes:
        """Pongs, and the answer to a close frame. While the other end takes nothing, the latest pong waits, which
        answers for those before it (RFC 6455, 5.5.3)."""
        answers = self._protocol.data_to_send()
        if not self._may_send.is_set():
            pongs = [answer for answer in answers if answer.startswith(_PONG)]
            if pongs:
                self._pong = pongs[-1]
                answers = [answer for answer in answers if not answer.startswith(_PONG)]
        return b"".join(answers)

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT) or self.frames.closed:
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        data = bytes(frame.data)
        if self._part or not frame.fin:
            self._part += data
            if not frame.fin:
                return
            data = bytes(self._part)
            self._part = bytearray()
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
        size = len(data) + OVERHEAD
        self._messages.append((message, size))
        self._size += size
        self._came.set()

    def hold(self) -> None:
        """The other end takes nothing: senders of messages wait."""
        self._may_send.clear()

    def let_go(self) -> None:
        """The other end accepts data again."""
        self._may_send.set()
        pong, self._pong = self._pong, b""
        if pong and not self.frames.closed:
            self._flush(pong)

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
            self._came.set()

    def _flush(self, data: bytes) -> None:
        """Pass on what the library has to say: whole frames."""
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
            self._came.clear()
            await self._came.wait()
        message, size = self._messages.popleft()
        self._size -= size
        if self._size <= HIGH_WATER and self._peer is not None:
            self._peer.let_go()
        return message

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
        self._flush(b"".join(self._protocol.data_to_send()))
        if message["type"] == "websocket.close":
            self._said_close()
        await self._may_send.wait()

    def _said_close(self) -> None:
        """What has come and was not taken never will be: read on, up to the other end's close frame."""
        self._messages.clear()
        self._size = 0
        if self._peer is not None:
            self._peer.let_go()
        if self.masks and self._tunnel is not None:
            self._tunnel.limit()  # or it would be open as long as the application runs

    def leave(self, failure: GatewayError | None) -> None:
        """The application has returned. `failure`: that of the WebSocket, where it failed before either side closed."""
        if self._tunnel is not None:
            if not self.frames.closed:
                self._tunnel.failure = self._tunnel.failure or failure
            self._tunnel.close(NORMAL if failure is None else FAILED)


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
