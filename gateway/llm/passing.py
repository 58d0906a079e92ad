"""Answers on their way to the client: passed on as they come, and read."""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import orjson

from gateway.errors import ErrorKind, GatewayError, without_frames
from gateway.http import Headers
from gateway.http.bodies import Body
from gateway.llm.apis import Api
from gateway.llm.metering import Meter
from gateway.llm.sse import Event, EventSplitter
from gateway.llm.streams.reader import Kind, Reader
from gateway.llm.streams.whole import Answer, unread, whole

CUT: Final = "the provider's stream ended before its answer was complete"
STALLED: Final = "the provider's stream stopped before its answer was complete"
FAILED: Final = "the provider's stream ended with an error of its own"
MOST_KEPT: Final = 8 * 1024 * 1024
"""Bytes of a long answer that are kept to be read when it is whole. Of a longer one the size counts."""

_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n")


class Turning(Protocol):
    """Makes other bytes of the events of one stream: those of another protocol, or with other ids."""

    def event(self, event: Event) -> bytes:
        """The bytes for the client of one event."""
        ...

    def end(self) -> bytes:
        """The bytes behind the last event, whether or not the stream was complete."""
        ...

    def cut_off(self, kind: str, sentence: str) -> bytes:
        """The bytes behind a failed stream."""
        ...


class MeteredStream:
    """A stream of events on its way to the client: read, and passed on as it came, event by event. A Body.

    What is not a whole event waits for its end, so that an error can follow where the stream is cut.
    """

    __slots__ = (
        "_body",
        "_clean",
        "_decoder",
        "_meter",
        "_open",
        "_reader",
        "_splitter",
        "_taking_out",
        "_turning",
        "answered",
        "ended",
        "failure",
        "held",
        "left",
        "trouble",
    )

    def __init__(
        self,
        body: Body,
        reader: Reader,
        meter: Meter,
        clean: Callable[[bytes], bytes],
        *,
        taking_out: bool = False,
        decoder: Decoder | None = None,
        turning: Turning | None = None,
    ) -> None:
        self._turning = turning
        self._clean = clean  # takes out of a provider's error what no client may see
        self._body = body
        self._reader = reader
        self._meter = meter
        self._splitter = EventSplitter()
        self._taking_out = taking_out  # the chunk with the usage, for which the client did not ask
        self._decoder = decoder
        self._open = False  # the client has the beginning of an event that is too long to be held
        self.held: deque[bytes] = deque()  # that came before the client gets anything
        self.answered = False  # content has come, or the end of the answer, or the client has what came before that
        self.ended = False
        self.failure: GatewayError | None = None  # why it ended, where that was not its end
        self.left: Callable[[], bool] | None = None  # by its client: whether it is read on nevertheless
        self.trouble: Callable[[GatewayError], None] | None = None  # is called where it ends so behind content

    @property
    def reader(self) -> Reader:
        """The reader of its events."""
        return self._reader

    @property
    def trailers(self) -> Headers:
        return []

    @property
    def ready(self) -> bool:
        return bool(self.held) or self.ended or self._body.ready

    @property
    def coming(self) -> bool:
        """Whether the provider has said more."""
        return self.ended or self._body.ready

    async def read(self) -> bytes:
        return self.held.popleft() if self.held else await self.following()

    def stop(self) -> None:
        """Nothing more of it goes on: the client may not have the rest."""
        self.ended = self.answered = True
        self._meter.last = time.perf_counter()

    def close(self) -> None:
        left, self.left = self.left, None
        if self.ended or left is None or not left():
            self._body.close()

    async def following(self, *, once: bool = False) -> bytes:
        """The next piece that comes; b"" at the end, and, with `once`, where it has no event that is complete."""
        while not self.ended:
            try:
                piece = await self._body.read()
                if self._decoder is not None and piece:
                    piece = self._decoder.decode(piece)
                    if not piece:
                        if once:
                            return b""
                        continue
            except GatewayError as error:
                return self._broken(error)
            if not piece:
                return self._end()
            passed = self._pass(piece)
            if passed or once:
                return passed
        return b""

    def _pass(self, piece: bytes) -> bytes:
        """The part of a piece that is passed on: the events that are complete with it."""
        splitter, reader, turning = self._splitter, self._reader, self._turning
        whole = turning is None and not splitter.pending
        events = splitter.feed(piece)
        whole = whole and not splitter.pending
        for event in events:
            kind = reader.read(event)
            if kind is Kind.CONTENT:
                if not self._meter.first:
                    self.answered = True
                    self._meter.content()
            elif kind is Kind.USAGE_ASKED:
                if self._taking_out:
                    whole = False
                    event.raw = b""
            elif kind is not Kind.LIFECYCLE:
                if kind is not Kind.OTHER:
                    self.answered = True
                if kind is not Kind.FINAL or reader.error is not None:
                    whole = False
                    self._cleanse(event)
        if turning is not None:
            return b"".join([turning.event(event) for event in events])
        if events:
            self._open = not events[-1].raw.endswith(_ENDS) and bool(events[-1].raw)
        return piece if whole else b"".join([event.raw for event in events])

    def _end(self) -> bytes:
        """The provider says no more: its last event shows whether it was complete."""
        self.ended = True
        self._meter.last = time.perf_counter()
        rest = b""
        for event in self._splitter.finish():  # the last empty line may be missing
            kind = self._reader.read(event)
            if kind is Kind.CONTENT:
                self.answered = True
                self._meter.content()
            if kind in (Kind.ERROR, Kind.OTHER) or self._reader.error is not None:
                self._cleanse(event)
            if kind is not Kind.OTHER or self._reader.finished:
                rest = event.raw if self._turning is None else self._turning.event(event)
                self._open = True
        if not self._reader.is_cut_off:
            if self._reader.error is not None and self.answered and self.trouble is not None:
                self.trouble(GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, FAILED))
            self.answered = True
            return rest if self._turning is None else rest + self._turning.end()
        self.failure = GatewayError(ErrorKind.UPSTREAM_RESET, CUT)
        return rest + self._cut(CUT) if self.answered else b""

    def _cleanse(self, event: Event) -> None:
        event.raw, event.data = self._clean(event.raw), self._clean(event.data)

    def _broken(self, error: GatewayError) -> bytes:
        self.ended = True
        self.failure = without_frames(error)
        self._meter.last = time.perf_counter()
        if not self._reader.is_cut_off:
            return b"" if self._turning is None else self._turning.end()
        return self._cut(STALLED if error.kind is ErrorKind.UPSTREAM_TIMEOUT else CUT) if self.answered else b""

    def _cut(self, sentence: str) -> bytes:
        if self.trouble is not None and self.failure is not None:
            self.trouble(self.failure)
        if self._turning is not None:
            return self._turning.cut_off("server_error", sentence)
        return self._reader.cut_off(sentence, within_event=self._open)


class Decoder:
    """Undoes `gzip` or `deflate` of an answer, which came though it was not asked for."""

    __slots__ = ("_inflate",)

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def decode(self, piece: bytes, most: int = MOST_KEPT) -> bytes:
        """The next piece, as it was before it was compressed. Raises GatewayError, also where it is more than `most`
        bytes: nothing that is worth reading becomes so much."""
        try:
            decoded = self._inflate.decompress(piece, most)
        except zlib.error as error:
            detail = f"the provider's answer cannot be decompressed: {error}"
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail) from None
        if self._inflate.unconsumed_tail:
            detail = f"the provider's answer is compressed so that a part of it has more than {most} bytes"
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail)
        return decoded

    def end(self) -> None:
        """Nothing more comes. Raises GatewayError where that is not all."""
        if not self._inflate.eof:
            raise GatewayError(ErrorKind.UPSTREAM_RESET, CUT)


class MeteredWhole:
    """A long answer that does not stream, on its way to the client, and read at its end. A Body."""

    __slots__ = ("_api", "_body", "_decoder", "_kept", "_meter", "_size")

    def __init__(self, body: Body, api: Api, meter: Meter, decoder: Decoder | None) -> None:
        self._body = body
        self._api = api
        self._meter = meter
        self._decoder = decoder
        self._kept: list[bytes] = []
        self._size = 0
        meter.answer = Answer(finished=False)

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return self._body.ready

    async def read(self) -> bytes:
        while True:
            try:
                piece = await self._body.read()
                decoded = self._decoded(piece)
            except GatewayError:
                self._meter.record.failure = "truncated"
                raise
            if not piece:
                self._end()
                return b""
            if decoded:
                self._count(decoded)
                return decoded

    def close(self) -> None:
        self._kept.clear()
        self._body.close()

    def _decoded(self, piece: bytes) -> bytes:
        if self._decoder is None:
            return piece
        if piece:
            return self._decoder.decode(piece)
        self._decoder.end()
        return b""

    def _count(self, piece: bytes) -> None:
        self._meter.content()
        self._size += len(piece)
        if self._size <= MOST_KEPT:
            self._kept.append(piece)
        else:
            self._kept.clear()
        self._meter.answer = Answer(finished=False, text_bytes=self._size if self._api.generates else 0)

    def _end(self) -> None:
        self._meter.last = time.perf_counter()
        said = unread(self._api, self._size)  # too long to be kept, or no JSON
        if self._size <= MOST_KEPT and not self._api.opaque:
            with suppress(orjson.JSONDecodeError):
                said = whole(self._api, orjson.loads(b"".join(self._kept)))
        self._kept.clear()
        self._meter.answer = said
