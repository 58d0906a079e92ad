"""Budgets: what a request may need of tokens and money is reserved before it is sent, what it needed is counted after.

All windows of all budgets that apply are taken from together, or none: requests at once cannot all pass on what is left
for one of them. What is used beyond a budget is at most the sum, over the requests in flight, of what each used beyond
its reservation; `overshoot_tokens` and `overshoot_micros` say how much that was.

A request counts in the window in which it was let in, also where it ends in the next one. Cached and reasoning tokens
are part of input and output, and count once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from gateway.errors import ErrorKind
from gateway.http import Decision, Exchange
from gateway.http.decisions import deny
from gateway.limits.holds import Line
from gateway.llm.claims import Backend, Budget, Claim, Part, Refused, Unit, Wanted, explained, place
from gateway.llm.estimate import OUTPUT_LIMIT, Estimator
from gateway.llm.prices import MOST_MICROS, MOST_TOKENS, Prices, Tokens


class Tally:
    """What all requests of this process hold, and what came of their reservations; it outlives a reload."""

    def __init__(self) -> None:
        self.open = 0  # holds
        self.tokens = 0  # that they reserve
        self.micros = 0
        self.overshoot_tokens = 0  # what requests used beyond their reservations, ever
        self.overshoot_micros = 0
        self.refused = 0

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        return {
            "llm_holds": self.open,
            "llm_reserved_tokens": self.tokens,
            "llm_reserved_usd": self.micros / 1e6,
            "llm_budget_overshoot_tokens_total": self.overshoot_tokens,
            "llm_budget_overshoot_usd_total": self.overshoot_micros / 1e6,
            "llm_budget_refusals_total": self.refused,
        }

    def begun(self, tokens: int, micros: int) -> None:
        """So much is reserved."""
        self.open += 1
        self.tokens += tokens
        self.micros += micros

    def ended(self, hold: Hold, tokens: int, micros: int) -> None:
        """A hold is settled with so much."""
        self.open -= 1
        self.tokens -= hold.tokens
        self.micros -= hold.micros
        self.overshoot_tokens += max(0, tokens - hold.tokens) if hold.tokens else 0
        self.overshoot_micros += max(0, micros - hold.micros) if hold.micros else 0


class Budgets:
    """All budgets of one configuration."""

    def __init__(
        self, budgets: Sequence[Budget], estimator: Estimator, prices: Prices, tally: Tally | None = None
    ) -> None:
        self.budgets = budgets
        self.tally = tally or Tally()
        self.apart = any(budget.by_backend for budget in budgets)  # whether any depends on the backend
        self.money = any(limit.unit == "micros" for budget in budgets for limit in budget.limits)
        self._estimator = estimator
        self._prices = prices
        self._process = uuid.uuid4().hex[:16]
        self._number = 0

    async def reserve(self, exchange: Exchange, wanted: Wanted) -> Hold:
        """Take what the request may need from all windows of all budgets that apply, or raise Refused."""
        hold = Hold(self, exchange, wanted)
        if self.budgets and wanted.backends:
            try:
                await hold.begin()
            except BaseException:  # refused, or its client went away while it waited for a store
                self.tally.refused += 1
                hold.give_back()
                raise
        self.tally.begun(hold.tokens, hold.micros)
        return hold

    def explain(self, exchange: Exchange, wanted: Wanted) -> list[Decision]:
        """What each budget would say of a request now, as far as this process knows; nothing is held for it."""
        if not wanted.backends:
            return []
        first = wanted.backends[:1]
        claims = self.claims(exchange, wanted, wanted.backends, by_backend=False)
        claims += self.claims(exchange, wanted, first, by_backend=True)
        return [explained(claim) for claim in claims]

    def name(self) -> str:
        """Of a hold: no other one is called so, here or elsewhere."""
        self._number += 1
        return f"{self._process}-{self._number:x}"

    def claims(
        self, exchange: Exchange, wanted: Wanted, backends: Sequence[Backend], *, by_backend: bool
    ) -> list[Claim]:
        """What a request wants of the budgets that depend on the backend, or of the others, if one of these answers."""
        return [
            Claim(
                budget,
                limit,
                Line(
                    limit.ledger,
                    budget.key(exchange, wanted, backends[0]),
                    limit.ledger.span(),
                    limit.amount,
                    self._amount(budget, limit.unit, wanted, backends),
                    budget.mode == "enforce",
                ),
            )
            for budget in self.budgets
            if budget.by_backend is by_backend and (budget.applies is None or budget.applies(wanted, backends[0]))
            for limit in budget.limits
        ]

    def in_money(self, wanted: Wanted, backend: Backend) -> Budget | None:
        """An enforced budget in money that applies to a backend."""
        return next(
            (
                budget
                for budget in self.budgets
                if budget.mode == "enforce"
                and (budget.applies is None or budget.applies(wanted, backend))
                and any(limit.unit == "micros" for limit in budget.limits)
            ),
            None,
        )

    def priced(self, wanted: Wanted, backend: Backend) -> bool:
        """Whether it is known what a backend costs, or what to assume."""
        return self._prices.dearest(*backend, 0, 0, tier=wanted.tier) is not None

    def _amount(self, budget: Budget, unit: Unit, wanted: Wanted, backends: Sequence[Backend]) -> int:
        """What a request may need: at the dearest of the backends, where it costs money."""
        if unit == "requests":
            return 1
        outputs = [
            wanted.choices
            * self._estimator.output_reserve(wanted.asked or model, wanted.route, wanted.output_limit, budget.output)
            if wanted.generates
            else 0
            for _, model in backends
        ]
        given = min(max(wanted.input_tokens, 0), MOST_TOKENS)
        if unit == "tokens":
            return min(given + max(outputs), MOST_TOKENS)
        costs = [
            self._prices.dearest(*backend, given, output, tier=wanted.tier) or 0
            for backend, output in zip(backends, outputs, strict=True)
        ]
        return max(costs)


class _Spent:
    """Tokens and money that were used."""

    __slots__ = ("micros", "tokens")

    def __init__(self) -> None:
        self.tokens = 0
        self.micros = 0

    def add(self, usage: Tokens, micros: int) -> None:
        self.tokens += min(max(usage.input, 0), MOST_TOKENS) + min(max(usage.output, 0), MOST_TOKENS)
        self.micros += min(max(micros, 0), MOST_MICROS)

    def of(self, unit: Unit) -> int:
        if unit == "requests":
            return 0
        return self.tokens if unit == "tokens" else self.micros


class Hold:
    """What is reserved for one request. To be settled once, by `commit` or `release`; what comes later does nothing."""

    __slots__ = (
        "_attempts",
        "_backend",
        "_budgets",
        "_exchange",
        "_fixed",
        "_here",
        "_settled",
        "_there",
        "_wanted",
        "micros",
        "output_limit",
        "tokens",
        "unpriced",
    )

    def __init__(self, budgets: Budgets, exchange: Exchange, wanted: Wanted) -> None:
        self.tokens = 0  # the largest reservation in one budget
        self.micros = 0
        self.output_limit: int | None = None  # that the request must be given, because it has none; None: as it is
        self.unpriced: frozenset[Backend] = frozenset()  # that must not be tried: there is a budget in money
        self._budgets = budgets
        self._exchange = exchange
        self._wanted = wanted
        self._backend: Backend | None = None  # that the budgets which depend on it are reserved for
        self._fixed: list[Part] = []
        self._there: list[Part] = []  # in budgets that depend on the backend
        self._attempts = _Spent()  # by attempts of which the client gets nothing
        self._here = _Spent()  # by those at the backend that is tried now
        self._settled = False

    async def begin(self) -> None:
        """Reserve for the first backend that may be tried. Raises Refused."""
        wanted = self._wanted
        self._leave_out_unpriced()
        backends = [backend for backend in wanted.backends if backend not in self.unpriced]
        claims = self._budgets.claims(self._exchange, wanted, backends, by_backend=False)
        await place(self._fixed, self._budgets.name(), self._exchange, claims, wanted.seconds)
        decided = self._exchange.decisions
        for number, backend in enumerate(backends, 1):
            try:
                await self._place_there(backend)
                break
            except Refused:
                if number == len(backends):
                    raise
                self._exchange.decisions = decided  # another one may answer
        self._note([claim for part in (*self._fixed, *self._there) for claim in part.claims])

    def give_back(self) -> None:
        """Nothing is reserved any more, and nothing was used."""
        self._settled = True
        for part in (*self._fixed, *self._there):
            part.settle(lambda _: 0)

    def attempt(self, usage: Tokens, micros: int) -> None:
        """An attempt used so much, and the client gets nothing of it."""
        self._attempts.add(usage, micros)
        self._here.add(usage, micros)

    async def switch(self, backend: Backend) -> None:
        """Another provider or model is tried: where a budget depends on it, reserve there. Raises Refused."""
        if self._settled or not self._budgets.budgets or backend == self._backend:
            return
        self._backend = None
        parts, self._there = self._there, []
        spent, self._here = self._here, _Spent()
        for part in parts:
            part.settle(lambda claim: spent.of(claim.limit.unit))
        decided = self._exchange.decisions
        try:
            self._check_price(backend)
            await self._place_there(backend)
        except Refused:
            self._exchange.decisions = decided  # the request is not refused for that
            raise

    def commit(self, usage: Tokens, micros: int | None) -> bool:
        """The request is over, and the client got so much. `micros` None: what it cost is not known, and is taken for
        what was reserved. False: it was settled before."""
        if self._settled:
            return False
        delivered = _Spent()
        delivered.add(usage, self.micros if micros is None else micros)
        self._end(delivered, requests=1)
        return True

    def release(self) -> bool:
        """The request is over, and nothing of it was delivered. False: it was settled before."""
        if self._settled:
            return False
        self._end(_Spent(), requests=0)
        return True

    def _leave_out_unpriced(self) -> None:
        if not self._budgets.money:
            return
        backends, budgets = self._wanted.backends, self._budgets
        self.unpriced = frozenset(
            backend
            for backend in backends
            if budgets.in_money(self._wanted, backend) and not budgets.priced(self._wanted, backend)
        )
        if self.unpriced.issuperset(backends):
            self._check_price(backends[0])

    def _check_price(self, backend: Backend) -> None:
        """Raises Refused where a budget is in money, and nobody knows what the backend costs."""
        budget = self._budgets.in_money(self._wanted, backend)
        if budget is None or self._budgets.priced(self._wanted, backend):
            return
        model = backend[1]
        detail = (
            f"the price of {model} is not known, and the budget {budget.name} is in money; "
            "write it into the file of prices.file, or set prices.unknown to free or assume"
        )
        shown = f"the price of {model} is not known here, so it cannot be used within a budget"
        deny(self._exchange, budget.rule, Refused(ErrorKind.FORBIDDEN, detail, budget.name, public_detail=shown))

    async def _place_there(self, backend: Backend) -> None:
        if not self._budgets.apart:
            return
        claims = self._budgets.claims(self._exchange, self._wanted, [backend], by_backend=True)
        parts: list[Part] = []
        try:
            await place(parts, self._budgets.name(), self._exchange, claims, self._wanted.seconds)
        except BaseException:
            for part in parts:
                part.settle(lambda _: 0)
            raise
        self._there, self._backend = parts, backend

    def _note(self, claims: Sequence[Claim]) -> None:
        self.tokens = _largest(claims, "tokens")
        self.micros = _largest(claims, "micros")
        measured = any(claim.limit.unit != "requests" for claim in claims)
        if measured and self._wanted.output_limit is None and self._wanted.generates:
            self.output_limit = OUTPUT_LIMIT

    def _end(self, delivered: _Spent, requests: int) -> None:
        self._settled = True
        self._budgets.tally.ended(self, delivered.tokens, delivered.micros)

        def fixed(claim: Claim) -> int:
            unit = claim.limit.unit
            attempts = self._attempts.of(unit) if claim.budget.charge == "attempts" else 0
            return (requests if unit == "requests" else delivered.of(unit)) + attempts

        def there(claim: Claim) -> int:
            unit = claim.limit.unit
            return requests if unit == "requests" else delivered.of(unit) + self._here.of(unit)

        for part in self._fixed:
            part.settle(fixed)
        for part in self._there:
            part.settle(there)


def _largest(claims: Iterable[Claim], unit: Unit) -> int:
    return max((claim.line.amount for claim in claims if claim.limit.unit == unit), default=0)
