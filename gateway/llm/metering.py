"""Usage of an answer: read while it is passed on, recorded, and committed exactly once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from gateway.http.model_record import ModelRecord
from gateway.llm.accounting import Bill
from gateway.llm.streams.errors import ProviderError
from gateway.llm.usage import NOTHING, Usage


class Counted(Protocol):
    """An answer, as far as it has come."""

    @property
    def usage(self) -> Usage | None:
        """The provider's report of usage."""
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
        """The provider's report of a failure within the answer."""
        ...

    @property
    def tool_calls(self) -> Sequence[str]:
        """Names of tools."""
        ...


class Meter:
    """Counts one request."""

    # Defaults of the class: most requests differ in few of them.
    sent: bool = False  # a provider has the request, or a part of it
    answer: Counted | None  # that the client gets, or got a part of
    first: float = 0.0  # time.perf_counter(), when its first content came
    last: float = 0.0
    _over: bool = False

    def __init__(
        self, record: ModelRecord, began: float, bill: Bill, *, free: bool = False, goes_on: bool = False
    ) -> None:
        self.record = record
        self.answer = None  # no default of the class: the compiler leaves those of protocols out
        self._free = free  # nothing is charged for it
        self._goes_on = (
            goes_on  # the provider continues without a connection, and the result is fetched later by its id
        )
        self.began = began  # time.perf_counter()
        self._bill = bill

    def twin(self, record: ModelRecord, bill: Bill) -> Meter:
        """Another one for the same request, of which nothing has come."""
        return Meter(record, self.began, bill, free=self._free, goes_on=self._goes_on)

    def content(self) -> None:
        """The first content of the answer has come."""
        if not self.first:
            self.first = time.perf_counter()
            self.record.first_token_seconds = self.first - self.began

    def lost(self, answer: Counted | None) -> None:
        """An attempt has failed that had begun to answer: nothing of it is delivered."""
        if answer is not None or self.sent:
            usage = self._usage(answer)
            self._bill.lost(self._all_of(usage, answer) if self._goes_on else usage)
        self.sent, self.answer = False, None

    def over(self) -> None:
        """Nothing more comes. Safe to call any number of times."""
        if self._over:
            return
        self._over = True
        record, answer = self.record, self.answer
        usage = self._usage(answer)
        if self._goes_on:
            usage = self._all_of(usage, answer)
        if self.first:
            record.output_seconds = (self.last or time.perf_counter()) - self.first
        if answer is not None:
            record.answered = answer.model
            record.finished = answer.finished
            if answer.tool_calls:
                record.tool_calls = tuple(answer.tool_calls)
            if answer.error is not None and not record.failure:
                record.failure = "error"
        record.input_tokens, record.output_tokens = usage.input, usage.output
        if usage.cache_read or usage.cache_write or usage.reasoning:
            record.cache_read_tokens, record.cache_write_tokens = usage.cache_read, usage.cache_write
            record.reasoning_tokens = usage.reasoning
        record.estimated = usage.estimated
        text_bytes = answer.text_bytes if answer is not None else 0
        self._bill.over(usage, record.answered, finished=record.finished, text_bytes=text_bytes)

    def _usage(self, answer: Counted | None) -> Usage:
        """The provider's report. Of an interrupted answer it is incomplete, or missing: the received text counts,
        and of one that never came, the request."""
        if answer is None:
            return Usage(self._bill.estimated, 0, estimated=True) if self.sent and not self._free else NOTHING
        if self._free:
            return NOTHING
        said = answer.usage
        if said is not None and said.estimated:
            self._bill.doubt()
        if said is not None and answer.output_known:
            return said if said.input else self._with_input(said)
        written = self._bill.tokens_of(answer.text_bytes)
        if said is None:
            return Usage(self._bill.estimated, written, estimated=True)
        if said.input and said.output >= written:
            return said
        output = max(said.output, written)
        made = Usage(said.input, output, said.cache_read, said.cache_write, said.reasoning, estimated=True)
        return made if made.input else self._with_input(made)

    def _all_of(self, usage: Usage, answer: Counted | None) -> Usage:
        """With what an answer may still take that goes on without a connection: only a report of all of it is less."""
        told = answer is not None and answer.finished and answer.usage is not None
        return usage if told or usage.is_nothing else self._bill.in_full(usage)

    def _with_input(self, said: Usage) -> Usage:
        """Of a report without the tokens of the request, which some servers leave out: these are not free."""
        given = self._bill.estimated
        return Usage(given, said.output, said.cache_read, said.cache_write, said.reasoning, estimated=True)
