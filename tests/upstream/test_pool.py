"""Which connection serves a request, as arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.upstream.pool import Pool, PoolLimits, Verdict


def test_most_recent_first() -> None:
    """The most recently used connection serves next, so that the others can expire."""
    pool: Pool[str, None] = Pool(PoolLimits())
    for name in "abc":
        pool.reserve()
        pool.give_back(name)
    assert [pool.ready.pop() for _ in range(3)] == ["c", "b", "a"]


@given(connections=st.integers(1, 5), pending=st.integers(0, 5))
def test_open_wait_full(connections: int, pending: int) -> None:
    """Connections are opened up to the limit, then requests wait up to the limit, then they are refused."""
    pool: Pool[str, int] = Pool(PoolLimits(connections=connections, pending=pending))
    verdicts = []
    for number in range(connections + pending + 1):
        verdicts.append(pool.reserve())
        if verdicts[-1] is Verdict.WAIT:
            pool.waiting.append(number)
    assert verdicts == [Verdict.OPEN] * connections + [Verdict.WAIT] * pending + [Verdict.FULL]


class Pools(RuleBasedStateMachine):
    """Any order of opening, giving back and losing connections."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: Pool[int, None] = Pool(PoolLimits(connections=4, pending=0, idle=2))
        self.busy: set[int] = set()
        self.idle: set[int] = set()
        self.number = 0

    @rule()
    def open(self) -> None:
        if self.pool.reserve() is Verdict.OPEN:
            self.number += 1
            self.busy.add(self.number)
        else:
            assert len(self.busy) + len(self.idle) >= self.pool.limits.connections

    @rule()
    def fail_to_open(self) -> None:
        if self.pool.reserve() is Verdict.OPEN:
            self.pool.gone(None)

    @precondition(lambda self: self.busy)
    @rule()
    def give_back(self) -> None:
        connection = self.busy.pop()
        if self.pool.give_back(connection):
            self.idle.add(connection)
        else:
            self.pool.gone(connection)

    @rule()
    def take(self) -> None:
        connection = self.pool.ready.pop() if self.pool.ready else None
        if connection is not None:
            self.idle.remove(connection)
            self.busy.add(connection)

    @precondition(lambda self: self.idle)
    @rule()
    def lose_idle(self) -> None:
        self.pool.gone(self.idle.pop())

    @rule(limit=st.integers(1, 6))
    def reconfigure(self, limit: int) -> None:
        self.pool.limits = PoolLimits(connections=limit, pending=0, idle=2)

    @invariant()
    def counts(self) -> None:
        """The pool knows exactly how many connections are open and idle."""
        assert (self.pool.open, self.pool.idle) == (len(self.busy) + len(self.idle), len(self.idle))


TestPools = Pools.TestCase
TestPools.__doc__ = "Whatever happens to connections, the pool's count of them is right."
