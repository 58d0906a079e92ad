"""What holds for all tests of models."""

import pytest

from gateway.algorithms.backoff import full_jitter


@pytest.fixture(autouse=True)
def shortest_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between rounds of attempts a gateway pauses for as long as it draws; here it draws the shortest pause each time.

    How pauses grow is a matter of arithmetic, which is tested as such.
    """

    def shortest(number: int, draw: float, first: float, longest: float) -> float:
        return full_jitter(number, 0.0 * draw, first, longest)

    monkeypatch.setattr("gateway.llm.failover.full_jitter", shortest)


@pytest.fixture(autouse=True)
def patient_books(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request waits for its count in SQLite for as long as a busy machine may take, where 20 ms are let pass."""
    monkeypatch.setattr("gateway.limits.sqlite_book.READ_SECONDS", 30.0)
