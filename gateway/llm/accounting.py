"""What one request reserves, and what it is charged: between budgets, prices and what was learned of sizes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gateway.http import Decision, Exchange
from gateway.http.model_record import LeftOut, ModelRecord
from gateway.llm.choosing import Candidate
from gateway.llm.claims import Refused, Wanted
from gateway.llm.money import Money
from gateway.llm.reservation import Hold
from gateway.llm.usage import NOTHING, Usage


class Bill:
    """That of one request."""

    __slots__ = ("_asked", "_choices", "_hold", "_least", "_money", "_record", "_route", "_size", "_tier", "estimated")

    def __init__(self, money: Money, record: ModelRecord, route: str, size: int, tier: str, choices: int = 1) -> None:
        self._money = money
        self._record = record
        self._route = route
        self._size = size  # bytes of the request, where it is JSON
        self._tier = tier  # the service tier that is asked for
        self._choices = max(1, choices)  # answers that it asks for
        self._asked = record.asked
        self._hold: Hold | None = None
        self._least = 0  # micro-dollars that it costs
        self.estimated = money.estimator.input_tokens(size, record.asked, route)  # tokens of input

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
        """What budgets would say of that. Raises Refused where no candidate has a price."""
        budgets = self._money.budgets
        return budgets.explain(exchange, self._wanted(exchange, candidates, output_limit, generates=generates))

    def _wanted(
        self, exchange: Exchange, candidates: Sequence[Candidate], output_limit: int | None, *, generates: bool
    ) -> Wanted:
        backends = tuple((candidate.provider, candidate.model) for candidate in candidates)
        seconds = exchange.deadline - asyncio.get_running_loop().time()
        return Wanted(
            backends,
            self._route,
            self._record.profile,
            self.estimated,
            output_limit,
            seconds,
            self._record.asked,
            self._tier,
            generates,
            self._choices,
        )

    def twin(self, record: ModelRecord) -> Bill:
        """Another one for the same request, with nothing reserved."""
        return Bill(self._money, record, self._route, self._size, self._tier, self._choices)

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

    def lost(self, usage: Usage) -> None:
        """An attempt took so much, and the client gets nothing of it."""
        if self._hold is not None:
            self._hold.attempt(usage, self._cost(usage, "") or 0)

    def in_full(self, usage: Usage) -> Usage:
        """Of an answer whose rest nobody will count: at least what is reserved."""
        self._least = self._record.reserved_micros
        return replace(usage, output=max(usage.output, self._record.reserved_tokens - usage.input), estimated=True)

    def over(self, usage: Usage, answered: str, *, finished: bool, text_bytes: int = 0) -> None:
        """The request is over, and took so much of what the client got, with so much text."""
        record, hold = self._record, self._hold
        if usage == NOTHING and not finished:
            if hold is not None:
                hold.release()
            return
        cost = self._cost(usage, answered) if usage != NOTHING else 0
        cost = max(cost, self._least) if cost is not None else None
        record.unpriced = cost is None
        record.cost_micros = cost or 0
        record.committed_tokens = usage.input + usage.output
        record.committed_micros = record.reserved_micros if cost is None else cost
        if hold is not None:
            hold.commit(usage, cost)
        if not usage.estimated and usage.input:
            estimator, subject = self._money.estimator, (self._asked, self._route)
            output = usage.output // self._choices if finished else None
            estimator.learn(self._size, *subject, input_tokens=usage.input, output_tokens=output)
            if finished:
                estimator.learn_text(text_bytes, *subject, output_tokens=usage.output, reasoning=usage.reasoning)

    def tokens_of(self, size: int) -> int:
        """Of a text of so many bytes, as estimated."""
        return self._money.estimator.text_tokens(size, self._asked, self._route)

    def _cost(self, usage: Usage, answered: str) -> int | None:
        record = self._record
        return self._money.prices.cost(
            record.provider, answered or record.model, usage, asked=record.model, tier=self._tier
        )
