"""Budgets made by hand, with a clock that is set by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from gateway.algorithms.calendar_windows import Length
from gateway.http import Exchange
from gateway.limits.holds import HoldStore, LocalHolds
from gateway.limits.ledger import Book, Ledger
from gateway.limits.memory_book import MemoryBook
from gateway.llm.budget import Budgets
from gateway.llm.claims import Backend, Budget, Limit, OnFailure, Unit, Wanted
from gateway.llm.estimate import Estimator
from gateway.llm.prices import Price, Prices, Rates, femto

MODEL: Backend = ("stub", "small")
OTHER: Backend = ("other", "large")


@dataclass(frozen=True)
class Used:
    """What a provider reports."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cache_write_long: int = 0


class Clock:
    """A clock that is set by hand."""

    def __init__(self, text: str = "2036-03-15 12:00") -> None:
        self.set(text)

    def set(self, text: str) -> None:
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now


class World:
    """Budgets by hand, in one store, with ledgers that write to one book."""

    def __init__(self, book: Book | None = None, store: HoldStore | None = None) -> None:
        self.book = book or MemoryBook()
        self.store = store or LocalHolds()
        self.clock = Clock()
        self.estimator = Estimator()
        self.ledgers: list[Ledger] = []
        dollar = Rates(femto(Decimal(1), 10**6), femto(Decimal(2), 10**6), 0, 0, femto(Decimal(2), 10**6))
        self.prices = Prices(own=[("stub/small", Price(((0, dollar),)))])

    async def limit(self, unit: Unit, amount: int, window: Length = "day") -> Limit:
        ledger = Ledger(f"{unit}-{window}-{len(self.ledgers)}", window, ZoneInfo("UTC"), self.book, self.clock)
        self.ledgers.append(ledger)
        await ledger.start()
        return Limit(unit, amount, str(window), ledger)

    def budgets(self, *limits: Limit, **changes: Any) -> Budgets:
        return Budgets([self.budget(*limits, **changes)], self.estimator, self.prices)

    def budget(
        self,
        *limits: Limit,
        name: str = "per-tenant",
        mode: Literal["enforce", "shadow"] = "enforce",
        by_backend: bool = False,
        output: Literal["learned", "requested"] = "requested",
        charge: Literal["delivered", "attempts"] = "delivered",
        on_failure: OnFailure = "local",
    ) -> Budget:
        def key(exchange: Exchange, wanted: Wanted, backend: Backend) -> str:
            return f"{exchange.client}/{backend[0]}" if by_backend else exchange.client

        return Budget(
            name, mode, key, by_backend, lambda wanted, backend: True, limits, output, charge, on_failure, self.store
        )

    def used(self, limit: Limit, key: str = "192.0.2.1") -> int:
        return limit.ledger.assume(key)

    async def stop(self) -> None:
        for ledger in self.ledgers:
            await ledger.stop()


def wanted(*backends: Backend, given: int = 100, limit: int | None = 100, **changes: Any) -> Wanted:
    return Wanted(backends or (MODEL,), "models", "fast", given, limit, **{"seconds": 60.0, **changes})
