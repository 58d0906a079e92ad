"""What an answer took: read from it while it passes, written into the record, and committed exactly once."""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import orjson

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers
from gateway.http.bodies import Body
from gateway.http.model_record import ModelRecord
from gateway.llm.accounting import Bill
from gateway.llm.apis import Api
from gateway.llm.sse import EventSplitter
from gateway.llm.streams.reader import Kind, Reader
from gateway.llm.streams.whole import Answer, whole
from gateway.llm.usage import NOTHING, Usage

CUT: Final = "the provider's stream ended before its answer was complete"
STALLED: Final = "the provider's stream stopped before its answer was complete"


class Counted(Protocol):
    """An answer, as far as it has come."""

    @property
    def usage(self) -> Usage | None:
        """What the provider says of it."""
        ...

    @property
    def finished(self) -> bool:
        """Whether it is whole."""
        ...

    @property
    def model(self) -> str:
        """That answers, as the provider names it."""
        ...

    @property
    def text_bytes(self) -> int:
        """Of what was written."""
        ...

    @property
    def tool_calls(self) -> list[str]:
        """Names of tools."""
        ...


_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n")


class Meter:
    """Counts one request."""

    __slots__ = ("_bill", "_over", "answer", "began", "first", "last", "record", "sent")

    def __init__(self, record: ModelRecord, began: float, bill: Bill) -> None:
        self.record = record
        self.began = began  # time.perf_counter()
        self._bill = bill
        self.sent = False  # a provider has the request, or a part of it
        self.answer: Counted | None = None  # that the client gets, or got a part of
        self.first = 0.0  # time.perf_counter(), when its first content came
        self.last = 0.0
        self._over = False

    def content(self) -> None:
        """The first content of the answer has come."""
        if not self.first:
            self.first = time.perf_counter()
            self.record.first_token_seconds = self.first - self.began

    def lost(self, answer: Counted | None) -> None:
        """An attempt has failed that had begun to answer: nothing of it is delivered."""
        if answer is not None or self.sent:
            self._bill.lost(self._usage(answer))
        self.sent, self.answer = False, None

    def over(self) -> None:
        """Nothing more comes. Safe to call any number of times."""
        if self._over:
            return
        self._over = True
        record, answer = self.record, self.answer
        usage = self._usage(answer)
        if self.first:
            record.output_seconds = (self.last or time.perf_counter()) - self.first
        if answer is not None:
            record.answered = answer.model
            record.finished = answer.finished
            record.tool_calls = tuple(answer.tool_calls)
        record.input_tokens, record.output_tokens = usage.input, usage.output
        record.cache_read_tokens, record.cache_write_tokens = usage.cache_read, usage.cache_write
        record.reasoning_tokens = usage.reasoning
        record.estimated = usage.estimated
        self._bill.over(usage, record.answered, finished=record.finished)

    def _usage(self, answer: Counted | None) -> Usage:
        """What the provider said. Of an answer that was cut it said too little, or nothing: the text that came counts,
        and of one that never came, the request."""
        if answer is None:
            return Usage(self._bill.estimated, 0, estimated=True) if self.sent else NOTHING
        said, written = answer.usage, self._bill.tokens_of(answer.text_bytes)
        if said is None:
            return Usage(self._bill.estimated, written, estimated=True)
        if said.output >= written or (answer.finished and said.output):
            return said
        return Usage(said.input, written, said.cache_read, said.cache_write, said.reasoning, estimated=True)


class MeteredStream:
    """A stream of events on its way to the client: read, and passed on as it came, event by event. A Body.

    What is not a whole event waits for its end, so that an error can follow where the stream is cut.
    """

    __slots__ = (
        "_body",
        "_decoder",
        "_meter",
        "_open",
        "_reader",
        "_splitter",
        "_taking_out",
        "answered",
        "ended",
        "failure",
        "held",
        "trouble",
    )

    def __init__(self, body: Body, reader: Reader, meter: Meter, *, taking_out: bool, decoder: Decoder | None) -> None:
        self._body = body
        self._reader = reader
        self._meter = meter
        self._splitter = EventSplitter()
        self._taking_out = taking_out  # the chunk with the usage, for which the client did not ask
        self._decoder = decoder
        self._open = False  # the client has the beginning of an event that is too long to be held
        self.held: deque[bytes] = deque()  # that came before the client gets anything
        self.answered = False  # content has come, or the end of the answer
        self.ended = False
        self.failure: GatewayError | None = None  # why it ended, where that was not its end
        self.trouble: Callable[[GatewayError], None] | None = None  # is called where it ends so behind content

    @property
    def reader(self) -> Reader:
        """What has been read of it."""
        return self._reader

    @property
    def trailers(self) -> Headers:
        return []

    @property
    def ready(self) -> bool:
        return bool(self.held) or self.ended or self._body.ready

    async def read(self) -> bytes:
        return self.held.popleft() if self.held else await self.following()

    def close(self) -> None:
        self._body.close()

    async def following(self) -> bytes:
        """The next piece that comes; b"" at the end."""
        while not self.ended:
            try:
                piece = await self._body.read()
            except GatewayError as error:
                return self._broken(error)
            if not piece:
                return self._end()
            if self._decoder is not None:
                piece = self._decoder.decode(piece)
            passed = self._pass(piece)
            if passed:
                return passed
        return b""

    def _pass(self, piece: bytes) -> bytes:
        """What of a piece goes on: the events that are whole with it."""
        splitter, reader = self._splitter, self._reader
        whole = not splitter.pending
        events = splitter.feed(piece)
        whole = whole and not splitter.pending
        for event in events:
            kind = reader.read(event)
            if kind is Kind.CONTENT:
                if not self.answered:
                    self.answered = True
                    self._meter.content()
            elif kind is Kind.USAGE_ASKED:
                if self._taking_out:
                    whole = False
                    event.raw = b""
            elif kind is not Kind.LIFECYCLE and kind is not Kind.OTHER:
                self.answered = True
        if events:
            self._open = not events[-1].raw.endswith(_ENDS) and bool(events[-1].raw)
        return piece if whole else b"".join([event.raw for event in events])

    def _end(self) -> bytes:
        """The provider says no more: whether that was all, its own words tell."""
        self.ended = True
        self._meter.last = time.perf_counter()
        rest = b""
        for event in self._splitter.finish():  # the last empty line may be missing
            kind = self._reader.read(event)
            if kind is Kind.CONTENT and not self.answered:
                self.answered = True
                self._meter.content()
            if kind is not Kind.OTHER or self._reader.finished:
                rest = event.raw
                self._open = True
        if self._reader.finished or self._reader.error is not None:
            self.answered = True
            return rest
        self.failure = GatewayError(ErrorKind.UPSTREAM_RESET, CUT)
        return rest + self._cut(CUT) if self.answered else b""

    def _broken(self, error: GatewayError) -> bytes:
        self.ended = True
        self.failure = error
        self._meter.last = time.perf_counter()
        if self._reader.finished:
            return b""
        return self._cut(STALLED if error.kind is ErrorKind.UPSTREAM_TIMEOUT else CUT) if self.answered else b""

    def _cut(self, sentence: str) -> bytes:
        if self.trouble is not None and self.failure is not None:
            self.trouble(self.failure)
        return self._reader.cut_off(sentence, within_event=self._open)


MOST_DECODED: Final = 256 * 1024  # bytes that are made of one piece at a time


class Decoder:
    """Undoes `gzip` or `deflate` of an answer, which came though it was not asked for."""

    __slots__ = ("_inflate",)

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def decode(self, piece: bytes) -> bytes:
        """The next piece, as it was before it was compressed. Raises GatewayError."""
        try:
            return self._inflate.decompress(piece)
        except zlib.error as error:
            detail = f"the provider's answer cannot be decompressed: {error}"
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail) from None


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """An answer that came whole."""

    said: Answer
    size: int  # bytes

    @property
    def usage(self) -> Usage | None:
        return self.said.usage

    @property
    def finished(self) -> bool:
        return self.said.finished

    @property
    def model(self) -> str:
        return self.said.model

    @property
    def text_bytes(self) -> int:
        return self.size

    @property
    def tool_calls(self) -> list[str]:
        return self.said.tool_calls


MOST_KEPT: Final = 8 * 1024 * 1024
"""Bytes of a long answer that are kept to be read when it is whole. Of a longer one the size counts."""


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
        meter.answer = WholeAnswer(Answer(finished=False), 0)

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return self._body.ready

    async def read(self) -> bytes:
        while True:
            piece = await self._body.read()
            if not piece:
                self._end()
                return b""
            if self._decoder is not None:
                piece = self._decoder.decode(piece)
            if piece:
                self._count(piece)
                return piece

    def close(self) -> None:
        self._kept.clear()
        self._body.close()

    def _count(self, piece: bytes) -> None:
        self._meter.content()
        self._size += len(piece)
        if self._size <= MOST_KEPT:
            self._kept.append(piece)
        else:
            self._kept.clear()
        self._meter.answer = WholeAnswer(Answer(finished=False), self._size)

    def _end(self) -> None:
        self._meter.last = time.perf_counter()
        said = Answer()
        if self._size <= MOST_KEPT:
            try:
                said = whole(self._api, orjson.loads(b"".join(self._kept)))
            except orjson.JSONDecodeError:  # sounds and pictures are no JSON
                said = Answer()
        self._kept.clear()
        self._meter.answer = WholeAnswer(said, self._size)
