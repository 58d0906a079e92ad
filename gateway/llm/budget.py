"""Budgets: what a request may need of tokens and money is reserved before it is sent, what it needed is counted after.

All windows of all budgets that apply are taken from together, or none: requests at once cannot all pass on what is left
for one of them. What is used beyond a budget is at most the sum, over the requests in flight, of what each used beyond
its reservation; `overshoot_tokens` and `overshoot_micros` say how much that was.

A request counts in the window in which it was let in, also where it ends in the next one. Cached and reasoning tokens
are part of input and output, and count once.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final, Literal

from gateway.errors import GatewayError
from gateway.http import Decision, Exchange
from gateway.http.decisions import deny
from gateway.limits.holds import Line
from gateway.llm.background import not_counted
from gateway.llm.claims import Backend, Budget, Claim, Limit, Wanted, explained
from gateway.llm.estimate import Estimator
from gateway.llm.prices import MOST_TOKENS, Prices
from gateway.llm.reservation import Hold

_UNLEARNED: Final = Estimator()
"""Estimates as they are before anything is known."""


class Tally:
    """Reservations of all requests of this process and their results; it outlives a reload."""

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
                self._check_bounded(exchange, wanted)
                await hold.begin()
            except BaseException as error:  # refused, or its client went away while it waited for a store
                self.tally.refused += isinstance(error, GatewayError)
                hold.give_back()
                raise
        self.tally.begun(hold.tokens, hold.micros)
        return hold

    def explain(self, exchange: Exchange, wanted: Wanted) -> list[Decision]:
        """The state of each budget for a request now, as far as this process knows; nothing is held for it. Of
        several backends, of the first that its own budgets let pass. Raises Refused where none has a price."""
        if not wanted.backends:
            return []
        self._check_bounded(exchange, wanted)
        hold = Hold(self, exchange, wanted)
        hold.leave_out_unpriced()
        backends = [backend for backend in wanted.backends if backend not in hold.unpriced]
        said = [explained(claim) for claim in self.claims(exchange, wanted, backends, by_backend=False)]
        own: list[Decision] = []
        for backend in backends:
            own = [explained(claim) for claim in self.claims(exchange, wanted, [backend], by_backend=True)]
            if all(decision.verdict != "deny" for decision in own):
                break
        return said + own

    def name(self) -> str:
        """Of a hold: no other one is called so, here or elsewhere."""
        self._number += 1
        return f"{self._process}-{self._number:x}"

    def claims(
        self, exchange: Exchange, wanted: Wanted, backends: Sequence[Backend], *, by_backend: bool
    ) -> list[Claim]:
        """The claims of a request on budgets that depend on the backend, or on the others, if one of these answers."""
        return [
            Claim(
                budget,
                limit,
                Line(
                    limit.ledger,
                    budget.key(exchange, wanted, backends[0]),
                    limit.ledger.span(),
                    limit.amount,
                    self._amount(budget, limit, wanted, backends),
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

    def _check_bounded(self, exchange: Exchange, wanted: Wanted) -> None:
        """Raises ModelError where nobody will count what an answer takes, and the request does not say how much that
        may be."""
        for budget in self.budgets if wanted.unbounded else ():
            applies = budget.applies is None or any(budget.applies(wanted, backend) for backend in wanted.backends)
            if applies and any(limit.unit != "requests" for limit in budget.limits):
                deny(exchange, budget.rule, not_counted(wanted.unbounded, budget.name), budget.mode)

    def priced(self, wanted: Wanted, backend: Backend) -> bool:
        """Whether it is known what a backend costs, or what to assume."""
        return self._prices.dearest(*backend, 0, 0, tier=wanted.tier) is not None

    def _amount(self, budget: Budget, limit: Limit, wanted: Wanted, backends: Sequence[Backend]) -> int:
        """The maximal need of a request: at the dearest of the backends, if the budget is in money.

        What was learned makes no request need more than there ever is: the answers that would correct it could not
        come.
        """
        if limit.unit == "requests":
            return 1
        amount = self._estimate(self._estimator, budget, limit.unit, wanted, backends, wanted.input_tokens)
        if amount <= limit.amount or wanted.background:
            return amount
        size = wanted.input_bytes
        given = wanted.input_tokens if size is None else max(1, _UNLEARNED.input_tokens(size, "", ""))
        unlearned = self._estimate(_UNLEARNED, budget, limit.unit, wanted, backends, given)
        return min(amount, max(limit.amount, unlearned))

    def _estimate(
        self,
        estimator: Estimator,
        budget: Budget,
        unit: Literal["tokens", "micros"],
        wanted: Wanted,
        backends: Sequence[Backend],
        given: int,
    ) -> int:
        mode = "requested" if wanted.background else budget.output
        outputs = [
            wanted.choices
            * estimator.output_reserve(wanted.asked or model, wanted.route, wanted.output_limit, mode, wanted.caller)
            if wanted.generates
            else 0
            for _, model in backends
        ]
        given = min(max(given, 0), MOST_TOKENS)
        if unit == "tokens":
            return min(given + max(outputs), MOST_TOKENS)
        return max(
            self._prices.dearest(*backend, given, output, tier=wanted.tier) or 0
            for backend, output in zip(backends, outputs, strict=True)
        )
