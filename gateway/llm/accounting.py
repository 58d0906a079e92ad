"""Reservation and charge of one request, from budgets, prices and learned sizes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.http import Decision, Exchange
from gateway.http.model_record import LeftOut, ModelRecord
from gateway.llm.background import unbounded
from gateway.llm.choosing import Candidate
from gateway.llm.claims import Refused, Wanted
from gateway.llm.money import Money
from gateway.llm.request import ModelRequest
from gateway.llm.reservation import Hold
from gateway.llm.usage import NOTHING, Usage


class Bill:
    """That of one request."""

    # Defaults of the class: most requests differ in few of them.
    _hold: Hold | None = None
    _least: int = 0  # micro-dollars that it costs
    _estimated: int = -1
    _size: int = 0  # bytes of text, of which that is estimated
    caller: str = ""  # of whom estimates are learned apart

    def __init__(self, money: Money, record: ModelRecord, route: str, request: ModelRequest, choices: int = 1) -> None:
        self._money = money
        self._record = record
        self._route = route
        self._request = request
        self._choices = max(1, choices)  # answers that it asks for
        self._asked = record.asked

    @property
    def estimated(self) -> int:
        """Tokens of input, as estimated from its size."""
        if self._estimated < 0:
            self._size = size = self._request.text_bytes
            self._estimated = self._money.estimator.input_tokens(size, self._asked, self._route, self.caller)
        return self._estimated

    async def reserve(
        self, exchange: Exchange, candidates: Sequence[Candidate], output_limit: int | None, *, generates: bool
    ) -> int | None:
        """Hold what it may need. The limit of its output, where it must be given one. Raises Refused."""
        if not self._money.budgets.budgets:
            return None
        record = self._record
        wanted = self._wanted(exchange, candidates, output_limit, generates=generates)
        self._hold = hold = await self._money.budgets.reserve(exchange, wanted)
        record.reserved_tokens, record.reserved_micros = hold.tokens, hold.micros
        return hold.output_limit

    def explain(
        self, exchange: Exchange, candidates: Sequence[Candidate], output_limit: int | None, *, generates: bool
    ) -> list[Decision]:
        """The decision of budgets about it. Raises Refused if no candidate has a price."""
        budgets = self._money.budgets
        return budgets.explain(exchange, self._wanted(exchange, candidates, output_limit, generates=generates))

    def _wanted(
        self, exchange: Exchange, candidates: Sequence[Candidate], output_limit: int | None, *, generates: bool
    ) -> Wanted:
        request = self._request
        backends = tuple((candidate.provider, candidate.model) for candidate in candidates)
        seconds = exchange.deadline - asyncio.get_running_loop().time()
        return Wanted(
            backends,
            self._route,
            self._record.profile,
            # Also of what opens a session: nothing passes a budget that is used up.
            max(1, self.estimated) if not request.background else max(self.estimated, request.size),
            output_limit,
            seconds,
            self._record.asked,
            request.tier,
            request.background,
            unbounded(request) if request.background else "",
            generates,
            self._choices,
            self.caller,
            self._size,
        )

    def twin(self, record: ModelRecord) -> Bill:
        """Another one for the same request, with nothing reserved."""
        bill = Bill(self._money, record, self._route, self._request, self._choices)
        bill.caller = self.caller
        return bill

    @property
    def holds(self) -> bool:
        """Whether anything is reserved."""
        return self._hold is not None

    async def may_try(self, candidate: Candidate) -> bool:
        """Whether the budgets let this backend be tried, now that others may have been."""
        backend, hold = (candidate.provider, candidate.model), self._hold
        if hold is None:
            return True
        if backend in hold.unpriced:
            self._record.left_out += (LeftOut(candidate.provider, "policy"),)
            return False
        try:
            await hold.switch(backend)
        except Refused:
            self._record.left_out += (LeftOut(candidate.provider, "budget"),)
            return False
        return True

    def doubt(self) -> None:
        """What the provider reports of usage cannot be."""
        self._money.doubts.note(self._record.backend)

    def opened(self) -> None:
        """A session is open: that was one request, and nothing of what is said in it is counted."""
        self._record.reserved_tokens = self._record.reserved_micros = 0
        if self._hold is not None:
            self._hold.commit(NOTHING, 0)

    def lost(self, usage: Usage) -> None:
        """An attempt took so much, and the client gets nothing of it."""
        least, self._least = self._least, 0
        if self._hold is not None:
            self._hold.attempt(usage, max(self._cost(usage, "") or 0, least))

    def in_full(self, usage: Usage) -> Usage:
        """Of an answer whose rest will not be counted: at least what is reserved, also for the backend that it came
        to after others."""
        hold = self._hold
        self._least = 0 if hold is None else hold.most("micros")
        output = max(usage.output, (0 if hold is None else hold.most("tokens")) - usage.input)
        read, written, long = usage.cache_read, usage.cache_write, usage.cache_write_long
        return Usage(usage.input, output, read, written, usage.reasoning, estimated=True, cache_write_long=long)

    def over(self, usage: Usage, answered: str, *, finished: bool, text_bytes: int = 0) -> None:
        """The request is over, and took so much of what the client got, with so much text."""
        record, hold = self._record, self._hold
        nothing = usage.is_nothing
        if nothing and not finished:
            if hold is not None:
                hold.release()
            return
        cost = 0 if nothing else self._cost(usage, answered)
        cost = max(cost, self._least) if cost is not None else None
        record.unpriced = cost is None
        record.cost_micros = cost or 0
        record.committed_tokens = usage.input + usage.output
        record.committed_micros = record.reserved_micros if cost is None else cost
        if hold is not None:
            hold.commit(usage, cost)
        estimator = self._money.estimator
        if not usage.estimated and usage.input and estimator.wants(self._asked, self._route, self.caller):
            output = usage.output // self._choices if finished else None
            size, subject = self._request.text_bytes, (self._asked, self._route, self.caller)
            estimator.learn(size, *subject, input_tokens=usage.input, output_tokens=output)
            if finished:
                estimator.learn_text(text_bytes, *subject, output_tokens=usage.output, reasoning=usage.reasoning)

    def tokens_of(self, size: int) -> int:
        """Of a text of so many bytes, as estimated."""
        return self._money.estimator.text_tokens(size, self._asked, self._route, self.caller)

    def _cost(self, usage: Usage, answered: str) -> int | None:
        record = self._record
        return self._money.prices.cost(
            record.provider, answered or record.model, usage, asked=record.model, tier=self._request.tier
        )
