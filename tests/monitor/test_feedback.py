from __future__ import annotations

from pathlib import Path

import pytest

from gateway.events import HealthFeedback
from gateway.monitor.watch import Monitor
from gateway.monitor.windows import FINE
from tests.monitor.test_readings import Backend, Pool
from tests.monitor.test_watch import Watched

FAILING = "failing"
PASSING = "passing"


class Pooled(Watched):
    """A service of some endpoints, its monitor, and what that says of them."""

    def __init__(self, directory: Path, endpoints: int) -> None:
        super().__init__(directory)
        self.pool = Pool("shop", [Backend(f"10.0.0.{number}:80") for number in range(1, endpoints + 1)])
        self.monitor = Monitor(self.traffic, lambda: [self.pool], lambda endpoint: endpoint.label.endswith(":81"))
        self.said: list[HealthFeedback] = []
        self.monitor.send = self.said.append

    def ask(self, at: int, requests: int, errors: int = 0, seconds: float = 0.02) -> None:
        for _ in range(requests):
            self.pool.endpoints[at].durations.add(seconds)
        self.pool.endpoints[at].failures += errors

    async def over(self) -> list[tuple[str, str, float | None]]:
        """Ten seconds are over: what is said."""
        self.now += FINE
        await self.monitor.tick(self.now)
        said: list[tuple[str, str, float | None]] = [
            (each.instance, each.status, each.error_rate) for each in self.said
        ]
        self.said.clear()
        return said


@pytest.fixture
def four(tmp_path: Path) -> Pooled:
    return Pooled(tmp_path, 4)


async def test_one_of_four_fails_and_recovers(four: Pooled) -> None:
    """One that fails is reported once it had enough requests; while it gets none nothing is said of it, and when it is
    well again, that is."""
    for at in range(4):
        four.ask(at, 40, errors=17 if at == 2 else 0)
    assert await four.over() == []
    for at in range(4):
        four.ask(at, 40, errors=17 if at == 2 else 0)
    assert await four.over() == [("10.0.0.3:80", FAILING, 0.425)]
    for _ in range(6):
        for at in (0, 1, 3):
            four.ask(at, 40)
        assert await four.over() == []
    for at in range(4):
        four.ask(at, 40)
    assert await four.over() == [("10.0.0.3:80", PASSING, 0.0)]
    for at in range(4):
        four.ask(at, 40)
    assert await four.over() == []


async def test_a_slow_endpoint_is_reported(four: Pooled) -> None:
    """One that answers well, and takes a hundred times as long as its peers, is failing; if it is so still when it is
    asked again, that is said again."""
    for at in range(4):
        four.ask(at, 60, seconds=2.0 if at == 0 else 0.02)
    assert await four.over() == [("10.0.0.1:80", FAILING, 0.0)]
    for _ in range(7):
        for at in range(1, 4):
            four.ask(at, 60)
        assert await four.over() == []
    for at in range(4):
        four.ask(at, 60, seconds=2.0 if at == 0 else 0.02)
    assert await four.over() == [("10.0.0.1:80", FAILING, 0.0)]


async def test_what_was_said_to_pass_is_not_judged_by_what_was_before(four: Pooled) -> None:
    """Where one gets requests although it is failing, and is well, it passes at once, and stays so."""
    for at in range(4):
        four.ask(at, 100, errors=90 if at == 1 else 0)
    assert await four.over() == [("10.0.0.2:80", FAILING, 0.9)]
    for at in range(4):
        four.ask(at, 100)
    assert await four.over() == [("10.0.0.2:80", PASSING, 0.0)]
    for _ in range(3):
        for at in range(4):
            four.ask(at, 100)
        assert await four.over() == []


async def test_at_most_a_third_is_failing(tmp_path: Path) -> None:
    """Of seven of which three fail, the two worst are reported, the worst first: the others must serve the load."""
    seven = Pooled(tmp_path, 7)
    said: list[tuple[str, str, float | None]] = []
    for _ in range(5):
        for at in range(7):
            if f"10.0.0.{at + 1}:80" not in [instance for instance, *_ in said]:
                seven.ask(at, 1000, errors={1: 300, 3: 900, 5: 800}.get(at, 0))
        said += await seven.over()
    assert said == [("10.0.0.4:80", FAILING, 0.9), ("10.0.0.6:80", FAILING, 0.8)]


async def test_three_endpoints_are_not_judged(tmp_path: Path) -> None:
    """Of three, none stands out."""
    three = Pooled(tmp_path, 3)
    for at in range(3):
        three.ask(at, 1000, errors=1000 if at == 0 else 0)
    assert await three.over() == []


async def test_only_those_of_one_group_are_compared(four: Pooled) -> None:
    """An endpoint of another zone or priority is slower, and no outlier for that."""
    four.pool.endpoints[0].label = "10.0.0.1:81"
    for at in range(4):
        four.ask(at, 1000, seconds=1.0 if at == 0 else 0.01)
    assert await four.over() == []
