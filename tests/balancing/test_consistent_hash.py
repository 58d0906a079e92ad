from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from gateway.algorithms.hash_ring import POINT_BYTES
from gateway.balancing.consistent_hash import ConsistentHash
from gateway.balancing.hashing import Hashing, HashKey, ring_of
from gateway.balancing.table import balancing_of
from gateway.config.models.balance import Balance
from gateway.http import Exchange
from gateway.http.testing import make_exchange
from gateway.live.beside import Beside
from gateway.upstream.balancer import Balancer
from tests.balancing.support import Picks
from tests.support import computes_within, eventually

SESSION = HashKey("header", "X-Session")


def asks(session: str) -> Exchange:
    return make_exchange(headers=[("X-Session", session)])


class Waiting:
    """Long work that is done when a test says so."""

    def __init__(self) -> None:
        self.works: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.works.append(work)

    def done(self) -> None:
        while self.works:
            self.works.pop(0)()


def made(waiting: Waiting, *, ring: bool = False, factor: int = 125) -> Balancer:
    build = Hashing(SESSION, waiting, ring)()._build
    return ConsistentHash(SESSION, build, waiting, factor, random.Random(1).random)


@pytest.mark.parametrize("ring", [False, True])
@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [1, 3]])
async def test_each_key_has_its_endpoint_and_each_endpoint_its_share(ring: bool, weights: list[float]) -> None:
    """The same session goes to the same endpoint, and sessions are shared by weight."""
    waiting = Waiting()
    picks = Picks(made(waiting, ring=ring), weights)
    waiting.done()
    places = [picks(asks(f"s{number}")) for number in range(4000)]
    assert places == [picks(asks(f"s{number}")) for number in range(4000)]
    for number, weight in enumerate(weights):
        assert places.count(number) / 4000 == pytest.approx(weight / sum(weights), abs=0.08 if ring else 0.03)


@pytest.mark.parametrize(("ring", "moved"), [(False, 0.02), (True, 0.0)])
async def test_one_that_leaves_moves_hardly_any_other_key(ring: bool, moved: float) -> None:
    """At once and after the new table, keys of the others stay; those of the one that left are shared."""
    waiting = Waiting()
    picks = Picks(made(waiting, ring=ring), [1] * 10)
    waiting.done()
    before = [picks(asks(f"s{number}")) for number in range(2000)]
    picks.offer([0] + [1] * 9)
    meanwhile = [picks(asks(f"s{number}")) for number in range(2000)]
    waiting.done()
    after = [picks(asks(f"s{number}")) for number in range(2000)]
    others = [index for index, place in enumerate(before) if place != 0]
    assert [before[index] for index in others] == [meanwhile[index] for index in others]
    assert sum(before[index] != after[index] for index in others) / len(others) <= moved
    assert 0 not in meanwhile + after
    shared = Counter(meanwhile[index] for index, place in enumerate(before) if place == 0)
    assert len(shared) == 9


@pytest.mark.parametrize("weights", [[1, 6_553_500], [1] * 5000, [65_535] + [1] * 2000])
def test_a_ring_has_a_bound(weights: list[int]) -> None:
    """Whatever the number and the weights of the endpoints, it takes 4 MiB at most, and each has a part of it."""
    names = [b"10.0.%d.%d:80" % divmod(number, 256) for number in range(len(weights))]
    ring = ring_of(names, weights)
    assert len(ring) * POINT_BYTES <= 4 * 1024 * 1024 + len(names) * POINT_BYTES
    assert len(set(ring.owners)) == len(names)


async def test_while_a_table_is_built_changes_are_not_lost() -> None:
    """Two changes during one build end in a table of the last."""
    waiting = Waiting()
    picks = Picks(made(waiting), [1] * 4)
    picks.offer([1, 1, 1, 0])
    picks.offer([1, 1, 0, 0])
    assert len(waiting.works) == 1
    waiting.done()
    assert {picks(asks(f"s{number}")) for number in range(100)} == {0, 1}
    picks.offer([1, 1, 0, 0])
    assert not waiting.works  # nothing has changed


async def test_a_hot_key_spills_over_and_keeps_the_bound() -> None:
    """All requests have one key: none of four endpoints has more than 1.25 times its share, and none is idle."""
    waiting = Waiting()
    picks = Picks(made(waiting), [1] * 4)
    waiting.done()
    for count in range(1, 101):
        number = picks(asks("hot"))
        assert number is not None
        picks.endpoints[number].in_flight += 1
        assert picks.endpoints[number].in_flight <= -(-count * 1.25 // 4) + 1
    assert sorted(endpoint.in_flight for endpoint in picks.endpoints)[-1] <= 32


async def test_without_a_bound_a_key_never_moves() -> None:
    """With a factor of 0 the endpoint of a key takes all its requests."""
    waiting = Waiting()
    picks = Picks(made(waiting, factor=0), [1] * 4)
    waiting.done()
    home = picks(asks("hot"))
    assert home is not None
    picks.endpoints[home].in_flight = 1000
    assert picks(asks("hot")) == home


async def test_a_retry_goes_elsewhere() -> None:
    """What was tried is left out, and the same key finds the same second endpoint."""
    waiting = Waiting()
    picks = Picks(made(waiting), [1] * 4)
    waiting.done()
    first = picks(asks("a"))
    assert first is not None
    second = picks(asks("a"), excluded=[first])
    assert second == picks(asks("a"), excluded=[first]) != first
    assert picks(asks("a"), excluded=[0, 1, 2, 3]) is None


async def test_requests_without_the_key_go_anywhere() -> None:
    """They are shared at random."""
    waiting = Waiting()
    picks = Picks(made(waiting), [1] * 4)
    waiting.done()
    assert picks.shares(4000) == pytest.approx([0.25] * 4, abs=0.03)


async def test_the_same_client_draws_the_same_level() -> None:
    """Between priorities a key chooses, not chance, so that it stays where it is."""
    waiting = Waiting()
    balancer = made(waiting)
    draws = [balancer.draw(asks(f"s{number}")) for number in range(1000)]
    assert draws == [balancer.draw(asks(f"s{number}")) for number in range(1000)]
    assert sum(draws) / 1000 == pytest.approx(0.5, abs=0.05)
    assert all(0 <= draw < 1 for draw in draws)


async def test_a_table_is_built_beside_the_requests() -> None:
    """On an event loop, a change of a thousand endpoints is taken in a moment, and a thread makes the table."""
    unchanged = [Picks(Hashing(SESSION, Beside())(), [1] * 1000) for _ in range(3)]
    changed: list[Picks] = []

    def change() -> None:
        changed.append(unchanged.pop())
        changed[-1].offer([0] + [1] * 999)
        assert changed[-1](asks("a")) is not None

    assert computes_within(0.05, change)
    for picks in changed:
        balancer = picks.balancer
        assert isinstance(balancer, ConsistentHash)
        await eventually(lambda balancer=balancer: not balancer._building)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (HashKey("header", "X-Session"), b"h"),
        (HashKey("header", "X-Other"), None),
        (HashKey("cookie", "session"), b"c"),
        (HashKey("cookie", "other"), None),
        (HashKey("query", "user"), b"q"),
        (HashKey("query", "other"), None),
        (HashKey("client"), b"192.0.2.7"),
    ],
)
def test_where_the_key_is(key: HashKey, value: bytes | None) -> None:
    """A header, a cookie, a parameter of the query, or the client's address."""
    headers = [("X-Session", "h"), ("Cookie", "a=b; session=c")]
    assert key(make_exchange(path="/x?a=1&user=q", headers=headers, client="192.0.2.7")) == value


def test_equal_settings_are_equal() -> None:
    """A reload that changes nothing of it keeps the balancer."""
    config = Balance.model_validate({"consistent_hash": {"cookie": "gw", "table": "ring", "load_factor": 2.0}})
    beside = Beside()
    expected = Hashing(HashKey("cookie", "gw"), beside, True, 200)
    assert balancing_of(config, beside) == balancing_of(config.model_copy(deep=True), beside) == expected
