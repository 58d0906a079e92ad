"""What callers have used of models since this process began: tokens and money, by tenant, consumer and backend."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from gateway.http import Exchange

Subject = Literal["tenant", "consumer", "model"]

SUBJECTS: Final[tuple[Subject, ...]] = ("tenant", "consumer", "model")
MOST_ROWS: Final = 2000  # that are kept apart: about 2 MB
OTHERS: Final = "(others)"
LONGEST: Final = 128

_Key = tuple[str, str, str]


class Used:
    """A sum over requests. Input and output are with what was cached, and with reasoning."""

    __slots__ = (
        "cache_read_tokens",
        "cache_write_tokens",
        "cost_micros",
        "estimated",
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "requests",
        "unpriced",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cache_read_tokens = 0
        self.cache_write_tokens = 0
        self.reasoning_tokens = 0
        self.cost_micros = 0
        self.estimated = 0  # requests whose tokens no provider has counted
        self.unpriced = 0  # requests whose cost is not known

    def add(self, other: Used) -> None:
        """What another one has, too."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class UsageTable:
    """All of one process. It outlives a reload."""

    def __init__(self, most: int = MOST_ROWS) -> None:
        self.since = time.time()
        self._most = most
        self._rows: dict[_Key, Used] = {}

    def add(self, exchange: Exchange) -> None:
        """A request is over, and its record complete."""
        record = exchange.model
        if record is None or not record.backend:
            return
        # A name that only a pattern covers may be anything, unless a provider has answered to it.
        answered = record.output_tokens and len(record.model) <= LONGEST
        row = self._row(exchange, f"{record.provider}/{record.model}" if answered else record.backend)
        row.requests += 1
        row.input_tokens += record.input_tokens
        row.output_tokens += record.output_tokens
        row.cache_read_tokens += record.cache_read_tokens
        row.cache_write_tokens += record.cache_write_tokens
        row.reasoning_tokens += record.reasoning_tokens
        row.cost_micros += record.cost_micros
        row.estimated += record.estimated
        row.unpriced += record.unpriced

    def _row(self, exchange: Exchange, backend: str) -> Used:
        identity = exchange.identity
        key = ("", "", backend)
        if identity is not None:
            key = (identity.tenant or "")[:LONGEST], identity.consumer[:LONGEST], backend
        if key not in self._rows and len(self._rows) >= self._most:
            key = OTHERS, OTHERS, OTHERS
        return self._rows.setdefault(key, Used())

    def by(self, subjects: Sequence[Subject], only: Iterable[tuple[Subject, str]] = ()) -> dict[tuple[str, ...], Used]:
        """Sums by these subjects, the dearest first, of rows in which each of `only` is so."""
        places = [SUBJECTS.index(subject) for subject in subjects]
        wanted = [(SUBJECTS.index(subject), value) for subject, value in only]
        sums: dict[tuple[str, ...], Used] = {}
        for key, row in self._rows.items():
            if all(key[place] == value for place, value in wanted):
                sums.setdefault(tuple(key[place] for place in places), Used()).add(row)
        dearest = sorted(sums.items(), key=lambda each: (-each[1].cost_micros, -each[1].input_tokens, each[0]))
        return dict(dearest)
