"""Reserve and commit in this process, against what it must come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.holds import Line, LocalHolds
from gateway.limits.ledger import Ledger
from gateway.limits.memory_book import MemoryBook

LIMITS = (100, 60)
KEYS = ("a", "b")


@dataclass
class World:
    """Two limits, a clock, and what the holds must come to."""

    now: float = 0.0
    open: dict[str, tuple[str, int, float]] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 0))

    def __post_init__(self) -> None:
        self.holds = LocalHolds(lambda: self.now)
        self.ledgers = [Ledger(str(n), "month", ZoneInfo("UTC"), MemoryBook(), lambda: 1e9) for n in range(len(LIMITS))]

    def lines(self, key: str, amount: int) -> list[Line]:
        pairs = zip(self.ledgers, LIMITS, strict=True)
        return [Line(ledger, key, ledger.span(), limit, amount, enforced=True) for ledger, limit in pairs]

    def held(self, key: str) -> int:
        return sum(amount for whose, amount, due in self.open.values() if whose == key and due > self.now)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.sampled_from(KEYS), st.integers(0, 70)),
        st.tuples(st.just("settle"), st.sampled_from(KEYS), st.integers(0, 90)),
        st.tuples(st.just("wait"), st.sampled_from(KEYS), st.integers(1, 40)),
    ),
    max_size=60,
)


@given(steps)
def test_what_is_held_and_used_is_what_it_must_come_to(plan: list[tuple[str, str, int]]) -> None:
    """Whatever comes in which order: what fits is held, what is settled is used once, what expires is free."""
    world, names = World(), iter(range(1000))
    for step, key, number in plan:
        if step == "reserve":
            name, free = str(next(names)), min(LIMITS) - world.used[key] - world.held(key)
            reservation = world.holds.assume(name, world.lines(key, number), 30.0)
            assert reservation.fits is (number <= free)
            if reservation.fits:
                world.open[name] = key, number, world.now + 30
        elif step == "settle":
            name = next((name for name, (whose, _, _) in world.open.items() if whose == key), "")
            if name:
                del world.open[name]
                world.holds.settle(name, world.lines(key, 0), [number] * len(LIMITS))
                world.used[key] += number
        else:
            world.now += number
        for whose in KEYS:
            world.holds.assume("probe", world.lines(whose, 10**9), 1)  # lets what is over expire
            assert {tuple(world.holds.room(line)) for line in world.lines(whose, 0)} == {
                (world.used[whose], world.held(whose))
            }
    assert len(world.holds.open()) == sum(due > world.now for _, _, due in world.open.values())
