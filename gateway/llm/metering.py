"""What an answer took: read from it while it passes, written into the record, and committed exactly once."""

from __future__ import annotations

import time
from typing import Protocol

from gateway.http.model_record import ModelRecord
from gateway.llm.accounting import Bill
from gateway.llm.streams.errors import ProviderError
from gateway.llm.usage import NOTHING, Usage


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
    def output_known(self) -> bool:
        """Whether the usage counts all that was delivered."""
        ...

    @property
    def error(self) -> ProviderError | None:
        """What the provider says of its failure, in the answer itself."""
        ...

    @property
    def tool_calls(self) -> list[str]:
        """Names of tools."""
        ...


class Meter:
    """Counts one request."""

    __slots__ = ("_bill", "_free", "_goes_on", "_over", "answer", "began", "first", "last", "record", "sent")

    def __init__(
        self, record: ModelRecord, began: float, bill: Bill, *, free: bool = False, goes_on: bool = False
    ) -> None:
        self.record = record
        self._free = free  # nothing is charged for it
        self._goes_on = goes_on  # the provider works on it when nobody listens, and tells the result later, by its id
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
        if self._goes_on and usage != NOTHING and not (answer is not None and answer.finished):
            usage = self._bill.in_full(usage)
        if self.first:
            record.output_seconds = (self.last or time.perf_counter()) - self.first
        if answer is not None:
            record.answered = answer.model
            record.finished = answer.finished
            record.tool_calls = tuple(answer.tool_calls)
            if answer.error is not None and not record.failure:
                record.failure = "error"
        record.input_tokens, record.output_tokens = usage.input, usage.output
        record.cache_read_tokens, record.cache_write_tokens = usage.cache_read, usage.cache_write
        record.reasoning_tokens = usage.reasoning
        record.estimated = usage.estimated
        text_bytes = answer.text_bytes if answer is not None else 0
        self._bill.over(usage, record.answered, finished=record.finished, text_bytes=text_bytes)

    def _usage(self, answer: Counted | None) -> Usage:
        """What the provider said. Of an answer that was cut it said too little, or nothing: the text that came counts,
        and of one that never came, the request."""
        if answer is None:
            return Usage(self._bill.estimated, 0, estimated=True) if self.sent and not self._free else NOTHING
        if self._free:
            return NOTHING
        said = answer.usage
        if said is not None and answer.output_known:
            return said
        written = self._bill.tokens_of(answer.text_bytes)
        if said is None:
            return Usage(self._bill.estimated, written, estimated=True)
        if said.output >= written:
            return said
        return Usage(said.input, written, said.cache_read, said.cache_write, said.reasoning, estimated=True)
