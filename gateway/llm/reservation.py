"""Budget reservations of one request, until they are settled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.decisions import deny
from gateway.llm.claims import Backend, Claim, Part, Refused, Unit, Wanted, place
from gateway.llm.estimate import OUTPUT_LIMIT
from gateway.llm.prices import MOST_MICROS, MOST_TOKENS, Tokens

if TYPE_CHECKING:
    from gateway.llm.budget import Budgets


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
    """The reservation of one request. Settled once, by `commit` or `release`; later calls have no effect."""

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
        self.leave_out_unpriced()
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
        self._note(self._claims())

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

    def leave_out_unpriced(self) -> None:
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
        """Raises Refused if a budget is in money, and the price of the backend is not known."""
        budget = self._budgets.in_money(self._wanted, backend)
        if budget is None or self._budgets.priced(self._wanted, backend):
            return
        detail = (  # without the name of the model, which may be any text of the client's
            f"the price of a model of {backend[0]} is not known, and the budget {budget.name} is in money; "
            "write it into the file of prices.file, or set prices.unknown to free or assume"
        )
        shown = f"the price of {backend[1][:200]} is not known here, so it cannot be used within a budget"
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

    def most(self, unit: Unit) -> int:
        """The largest reservation in one budget, now that it has come to this backend."""
        return _largest(self._claims(), unit)

    def _claims(self) -> list[Claim]:
        return [claim for part in (*self._fixed, *self._there) for claim in part.claims]

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
