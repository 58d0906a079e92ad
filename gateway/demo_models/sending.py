"""One client: what it sends, and what it gets, with what goes wrong in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

import orjson

from gateway.demo_models.errors import error, too_long
from gateway.demo_models.faults import Faults
from gateway.demo_models.frames import Frame

Message = MutableMapping[str, Any]
BODY_LIMIT = 64 * 1024 * 1024
JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
CLOSE = "gateway.demo.close"


class Client:
    """One exchange with a client."""

    def __init__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send

    async def body(self) -> bytes:
        """All of it; what is over 64 MiB is left out."""
        body, more = bytearray(), True
        while more:
            message = await self._receive()
            body += message.get("body", b"")[: BODY_LIMIT - len(body)]
            more = message.get("more_body", False)
        return bytes(body)

    async def json(self, status: int, document: Mapping[str, Any], *headers: tuple[bytes, bytes]) -> None:
        """Answer with a document."""
        await self._whole(status, [*JSON, *headers], orjson.dumps(document))

    async def content(self, content: bytes, kind: bytes) -> None:
        """Answer with something else."""
        await self._whole(200, [(b"content-type", kind)], content)

    async def _whole(self, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
        headers = [*headers, (b"content-length", str(len(content)).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": content})

    async def echo(self, greeting: Mapping[str, Any]) -> None:
        """A WebSocket that greets, and then sends back what it gets."""
        await self._receive()
        offered = self._scope["subprotocols"]
        await self._send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
        await self._send({"type": "websocket.send", "text": orjson.dumps(greeting).decode()})
        while (message := await self._receive())["type"] == "websocket.receive":
            await self._send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})

    async def refused(self, family: str, wanted: Faults) -> bool:
        """Whether the request goes wrong before anything is generated."""
        if wanted.status:
            headers = [] if wanted.retry_after is None else [(b"retry-after", str(wanted.retry_after).encode())]
            await self.json(
                wanted.status, error(family, wanted.status, f"refused on demand: {wanted.status}"), *headers
            )
        elif wanted.has("overflow"):
            await self.json(400, too_long(family))
        elif wanted.has("error-200"):
            await self.json(200, error(family, 500, "an error that says that all is well"))
        elif wanted.stall == "at-once":
            await self._gone()
        elif wanted.cut == "at-once":
            await self._cut()
        else:
            return False
        return True

    async def whole(self, document: Mapping[str, Any], wanted: Faults) -> bool:
        """Answer in one piece; whether it was all sent."""
        if wanted.milliseconds:
            await asyncio.sleep(wanted.milliseconds / 1000)
        if wanted.stall:
            await self._gone()
        elif wanted.cut == "before":
            await self._cut()
        elif wanted.cut:
            content = orjson.dumps(document)
            headers = [*JSON, (b"content-length", str(len(content)).encode())]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
            await self._cut()
        else:
            await self.json(200, document)
            return True
        return False

    async def stream(self, events: Iterable[Frame], family: str, wanted: Faults, *, array: bool) -> tuple[int, bool]:
        """Send the events: how many tokens were delivered, and whether that was all."""
        frames = [*events]
        if array:
            frames = _as_array(frames)
        # The number of the frame with the first content, and of one after some content but before the last of it.
        with_content = [number for number, frame in enumerate(frames) if frame.tokens] or [0]
        before, after = with_content[0], max(with_content[len(with_content) // 2], with_content[0] + 1)
        places = {"before": before, "after": after}
        headers = JSON if array else EVENTS
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.ensure_future(self._gone())
        delivered = 0
        try:
            for number, frame in enumerate(frames):
                if number == places.get(wanted.stall):
                    await gone
                if number == places.get(wanted.cut):
                    gone.cancel()
                    await self._cut()
                    return delivered, False
                if number == places.get(wanted.error):
                    await self._write(_failure(family), wanted)
                if number in {places.get(wanted.error), places.get(wanted.end)}:
                    await self._send({"type": "http.response.body", "body": b""})
                    return delivered, False
                if number == after and wanted.has("malformed"):
                    await self._write(b'data: {"choices": [{"del\n\n', wanted)
                if wanted.milliseconds:
                    await asyncio.wait({gone}, timeout=wanted.milliseconds / 1000)
                if gone.done():
                    return delivered, False
                await self._write(frame.data, wanted)
                delivered += frame.tokens
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
        return delivered, True

    async def _write(self, data: bytes, wanted: Faults) -> None:
        size = wanted.split or len(data)
        for start in range(0, len(data), size):
            await self._send({"type": "http.response.body", "body": data[start : start + size], "more_body": True})
            if wanted.split:
                await asyncio.sleep(0)

    async def _gone(self) -> None:
        """Return once the client is gone, or the server stops."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _cut(self) -> None:
        """Close the connection, whatever is missing."""
        self._scope["extensions"][CLOSE]["close"]()
        await self._gone()


def _failure(family: str) -> bytes:
    document = error(family, 529, "overloaded on demand")
    if family == "anthropic":
        return b"event: error\ndata: " + orjson.dumps(document) + b"\n\n"
    return b"data: " + orjson.dumps(document) + b"\n\n"


def _as_array(frames: list[Frame]) -> list[Frame]:
    """The chunks of Gemini without `alt=sse`: elements of one JSON array."""
    datas = [frame.data.removeprefix(b"data: ").rstrip() for frame in frames]
    starts = [b"[", *[b",\r\n"] * (len(datas) - 1)]
    ends = [*[b""] * (len(datas) - 1), b"]"]
    return [
        Frame(start + data + end, frame.tokens, frame.last)
        for frame, start, data, end in zip(frames, starts, datas, ends, strict=True)
    ]
