"""The bound of leased limits, by simulation: replicas, one account, and a network that delays as it likes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from gateway.algorithms.gcra import Window, debt
from gateway.algorithms.leases import Account, Intervals, lease_of

MILLISECOND = 1_000_000


@dataclass
class Central:
    """The account of all, with the arithmetic of the script SETTLE."""

    interval: int
    tat: int = 0

    def settle(self, spent: int, now: int) -> int:
        owed = max(0, debt(self.tat, now) + spent * self.interval)
        self.tat = now + owed
        return owed


@dataclass
class Replicas:
    """Replicas that let pass what they may, as soon as clients ask, and settle when the network lets them."""

    window: Window
    count: int
    passed: list[int] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)  # on their way back, by replica

    def __post_init__(self) -> None:
        self.central = Central(self.window.interval)
        self.accounts = [Account() for _ in range(self.count)]
        self.intervals: Intervals = [(self.window.seconds, self.window.interval, self.window.capacity)]

    def ask(self, replica: int, now: int, times: int) -> None:
        """A client asks this replica so often that it gets all that it can."""
        account = self.accounts[replica]
        for _ in range(times):
            if not account.fits(self.intervals, 1, now) or not account.within_lease(self.intervals, 1, self.count):
                break
            account.spend(self.intervals, 1, now)
            self.passed.append(now)

    def settle(self, replica: int, now: int) -> None:
        """The replica's message arrives at the account, or the answer to it at the replica."""
        if replica in self.answers:
            self.accounts[replica].settled(self.intervals, [self.answers.pop(replica)], now)
        else:
            self.answers[replica] = self.central.settle(self.accounts[replica].collect(), now)

    def settle_wholly(self, replica: int, now: int) -> None:
        self.settle(replica, now)
        self.settle(replica, now)

    @property
    def bound(self) -> int:
        return (self.count - 1) * lease_of(self.window.burst, self.count)

    def most_too_many(self) -> float:
        """By how much the worst stretch of time exceeds what the limit lets pass in it."""
        worst, lead = 0.0, float("-inf")
        for index, now in enumerate(self.passed):
            # count(i..j) - burst - (t_j - t_i) / interval, with the best i for every j, in one pass
            lead = max(lead, now / self.window.interval - index)
            worst = max(worst, index + 1 - now / self.window.interval + lead - self.window.burst)
        return worst


@pytest.mark.parametrize(("replicas", "limit"), [(2, 10), (2, 1000), (1000, 10), (1000, 10_000)])
@pytest.mark.parametrize("seed", range(3))
def test_the_overshoot_stays_within_its_bound(replicas: int, limit: int, seed: int) -> None:
    """Whatever clients and the network do, at most (R - 1) leases too many pass, in any stretch of time."""
    chance = random.Random(seed)
    simulated = Replicas(Window(limit, 1, limit), replicas)
    now = 0
    for _ in range(20_000):
        now += chance.choice([0, 0, 0, MILLISECOND, 40 * MILLISECOND])
        replica = chance.randrange(replicas)
        if chance.random() < 0.7:
            simulated.ask(replica, now, chance.choice([1, 3, limit]))
        else:
            simulated.settle(replica, now)
    assert simulated.passed
    assert simulated.most_too_many() <= simulated.bound + 1e-6


@pytest.mark.parametrize(("replicas", "limit", "too_many"), [(1, 100, 0), (2, 100, 25), (1000, 10, 999)])
def test_the_worst_case_is_what_is_stated(replicas: int, limit: int, too_many: int) -> None:
    """All that there is but one lease is used, all know it, and all spend their lease at the same moment."""
    simulated = Replicas(Window(limit, 1, limit), replicas)
    lease = lease_of(limit, replicas)
    simulated.central.settle(limit - lease, 0)
    for replica in range(replicas):
        simulated.settle_wholly(replica, 0)
    for replica in range(replicas):
        simulated.ask(replica, 0, limit)
    assert len(simulated.passed) - lease == simulated.bound == too_many


@pytest.mark.parametrize("replicas", [2, 1000])
def test_the_average_is_the_limit(replicas: int) -> None:
    """What passed too many is paid back: over 100 seconds no more passes than the limit, the burst and the bound."""
    chance = random.Random(7)
    simulated = Replicas(Window(100, 1, 100), replicas)
    for step in range(0, 100_000, 50):
        now = step * MILLISECOND
        for _ in range(10):
            simulated.ask(chance.randrange(replicas), now, 3)
            simulated.settle_wholly(chance.randrange(replicas), now)
    assert len(simulated.passed) <= 100 * 100 + 100 + simulated.bound


def test_a_single_replica_has_it_all() -> None:
    """With one replica the burst passes at once, without a settlement in between, and nothing too many."""
    simulated = Replicas(Window(10, 1, 10), 1)
    simulated.ask(0, 0, 50)
    assert len(simulated.passed) == 10
