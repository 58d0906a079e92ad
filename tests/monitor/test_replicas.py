from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.monitor.tallies import Subject
from gateway.monitor.windows import HOUR, MINUTE
from gateway.outside.redis_link import RedisLink
from tests.monitor.test_watch import BEGAN, ORDERS, Watched
from tests.redis_server import RedisServer
from tests.support import eventually


@asynccontextmanager
async def gateway(redis: RedisServer, directory: Path, now: float = BEGAN) -> AsyncIterator[Watched]:
    """One of several gateways with this Redis, on a simulated clock."""
    link = RedisLink(redis.url, 10.0, f"{directory.parent.name}:")
    await link.start()
    watched = Watched(directory, now)
    watched.monitor.link = link
    await watched.begin()
    try:
        yield watched
    finally:
        await link.stop()


@pytest.fixture
async def two(redis: RedisServer, tmp_path: Path) -> AsyncIterator[tuple[Watched, Watched]]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(gateway(redis, tmp_path / "1"))
        yield first, await stack.enter_async_context(gateway(redis, tmp_path / "2"))


async def serve(both: tuple[Watched, Watched], slices: int) -> None:
    for _ in range(slices):
        await both[0].slices(1, requests=10)
        await both[1].slices(1, requests=3)


async def test_the_figures_are_of_all_gateways(two: tuple[Watched, Watched]) -> None:
    """Each one answers with what both have served: of minutes always, of the last seconds from the moment at which
    they are requested."""
    second = two[1]
    await serve(two, 12)
    assert second.requests(HOUR) == 12 * 13
    assert second.monitor.gateways == 2
    await second.monitor.catch_up(second.now)
    await serve(two, 4)
    assert second.requests(HOUR) == 16 * 13
    assert second.requests(MINUTE) == 6 * 13
    figures = second.monitor.figures(ORDERS, 10, second.now)
    assert (figures.requests, figures.seconds, figures.throughput) == (13, 10.0, 1.3)
    assert figures.p99 == pytest.approx(0.1, rel=0.011)
    points = [point.tally.requests for point in second.monitor.history(ORDERS, MINUTE, second.now) if point.tally]
    assert points == [78, 78]
    assert not second.monitor.alone


async def test_a_gateway_that_starts_knows_the_last_hour(redis: RedisServer, two: tuple[Watched, Watched]) -> None:
    """One that comes later, or again, has what the others served before, and counts nothing twice: in no window, and
    not in the counts of three days."""
    second = two[1]
    await serve(two, 18)
    directory = second.monitor._file.path.parent  # type: ignore[union-attr]
    await second.monitor.finish(second.now)
    async with gateway(redis, directory, second.now) as again:
        await again.slices(1)
        assert again.requests(HOUR) == 18 * 13
        assert again.monitor.gateways == 2
        days = await again.monitor.days(ORDERS, again.now)
        assert [point.tally.requests for point in days if point.tally is not None] == [18 * 13]


async def test_another_way_to_redis_counts_nothing_twice(redis: RedisServer, two: tuple[Watched, Watched]) -> None:
    """A reload that changes how Redis is reached reads the others anew, in place of what was known of them."""
    first, second = two
    await serve(two, 12)
    former = second.monitor.link
    assert former is not None
    second.monitor.link = RedisLink(redis.url, 9.0, former.prefix)
    await second.monitor.link.start()
    await serve(two, 6)
    assert second.requests(HOUR) == 18 * 13
    assert first.requests(HOUR) >= 18 * 10 + 12 * 3
    await second.monitor.link.stop()
    second.monitor.link = None
    await serve(two, 6)
    assert second.requests(HOUR) == 24 * 3


async def test_redis_that_is_gone_leaves_the_own_figures(own_redis: RedisServer, tmp_path: Path) -> None:
    """While Redis is away each gateway has its own figures, and says so; it follows again when Redis is back."""
    async with gateway(own_redis, tmp_path / "1") as first, gateway(own_redis, tmp_path / "2") as second:
        await serve((first, second), 6)
        own_redis.kill()
        await serve((first, second), 6)
        assert second.monitor.alone
        assert second.requests(HOUR) >= 6 * 13 + 6 * 3 - 3
        own_redis.start()
        for each in (first, second):
            link = each.monitor.link
            assert link is not None
            await eventually(lambda link=link: link.answers)  # type: ignore[misc]
        await serve((first, second), 12)
        assert not second.monitor.alone
        assert second.requests(300) >= 12 * 13 + 6 * 3


async def test_what_others_put_there_harms_nothing(redis: RedisServer, two: tuple[Watched, Watched]) -> None:
    """Keys of another type go, and entries that are no slices are left out."""
    first, second = two
    prefix = first.monitor.link.prefix  # type: ignore[union-attr]
    redis.ask(f"SET {prefix}monitor:60 surprise")
    await serve(two, 6)
    redis.ask(f"XADD {prefix}monitor:60 * from mallory data rubbish")
    redis.ask(f"XADD {prefix}monitor:60 * what ever")
    await serve(two, 6)
    assert second.requests(HOUR) == 12 * 13
    assert second.monitor.gateways == 2


async def test_what_is_shared_is_bounded(redis: RedisServer, two: tuple[Watched, Watched]) -> None:
    """Of thousands of subjects, the busiest are shared, and the others together; old slices go from Redis."""
    first, second = two
    for number in range(5000):
        flow = first.flow(f"route-with-a-long-name-{number}")
        flow.counts["", "GET", 200, "ok"] = 1
        flow.durations.add(0.1)
    await serve(two, 12)
    assert second.requests(HOUR) == 12 * 13
    assert second.requests(HOUR, Subject("all", "")) == 12 * 13 + 5000
    names = {name for name, _ in second.monitor.names("route")}
    assert "_other" in names
    assert len(names) < 1500
