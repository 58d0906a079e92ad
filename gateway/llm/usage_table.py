"""Usage of models since this process started: tokens and money, by tenant, consumer and backend."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from gateway.http import Exchange
from gateway.monitor.model_traffic import Used

Subject = Literal["tenant", "consumer", "model"]

SUBJECTS: Final[tuple[Subject, ...]] = ("tenant", "consumer", "model")
MOST_ROWS: Final = 2000  # that are kept apart: about 2 MB
OTHERS: Final = "(others)"
LONGEST: Final = 128

_Key = tuple[str, str, str]


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
        hit = exchange.cache == "hit"
        answered = (record.output_tokens or hit) and len(record.model) <= LONGEST
        backend = f"{record.provider}/{record.model}" if answered else record.backend
        identity = exchange.identity
        key = ("", "", backend)
        if identity is not None:
            key = (identity.tenant or "")[:LONGEST], identity.consumer[:LONGEST], backend
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= self._most:
                key = OTHERS, OTHERS, OTHERS
            row = self._rows.setdefault(key, Used())
        row.count(record, hit=hit)

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
