"""What is left alone, for how long, and how that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.llm.cooldown import (
    FAILURES,
    FIRST_PAUSE,
    JITTER,
    LONGEST_ASKED,
    LONGEST_PAUSE,
    MOST,
    TRIAL_HINT,
    TRIAL_SECONDS,
    Cooldowns,
    Deployment,
    SharedCooldowns,
)
from gateway.outside.redis_link import RedisLink
from tests.redis_server import RedisServer

ONE = Deployment("openai", "key", "gpt")
OTHER = ONE._replace(model="gpt-mini")


def cooldowns(draw: float = 0.0) -> Cooldowns:
    """Those of a gateway that draws this."""
    return Cooldowns(lambda: draw)


def test_what_asks_for_less_is_left_alone_for_as_long_as_it_says() -> None:
    """Only this key for this model, and not for ever."""
    made = cooldowns()
    made.limited(ONE, "rate_limited", 100.0, 30.0)
    assert made.left(ONE, 110.0) == 20.0
    assert made.left(OTHER, 110.0) == 0.0
    assert made.left(ONE, 130.0) == 0.0
    made.limited(OTHER, "rate_limited", 100.0, 1e9)
    assert made.left(OTHER, 100.0) == LONGEST_ASKED


def test_without_a_word_of_how_long_the_pause_doubles() -> None:
    """Up to a limit, and only as long as nothing succeeds."""
    made, now, pauses = cooldowns(), 0.0, []
    for _ in range(8):
        made.limited(ONE, "overloaded", now, 0.0)
        pauses.append(made.left(ONE, now))
        now += pauses[-1]
    assert pauses[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    made.succeeded(ONE)
    made.limited(ONE, "overloaded", now, 0.0)
    assert made.left(ONE, now) == FIRST_PAUSE


def test_pauses_are_spread() -> None:
    """Not all gateways try again at the same moment."""
    made = cooldowns(0.5)
    made.limited(ONE, "rate_limited", 0.0, 10.0)
    assert made.left(ONE, 0.0) == pytest.approx(10 * (1 + JITTER / 2))


def test_other_failures_count_in_a_row() -> None:
    """A success between them begins anew."""
    made = cooldowns()
    for _ in range(FAILURES - 1):
        made.failed(ONE, "error", 0.0)
    made.succeeded(ONE)
    for _ in range(FAILURES - 1):
        made.failed(ONE, "error", 0.0)
    assert made.left(ONE, 0.0) == 0.0
    made.failed(ONE, "error", 0.0)
    assert made.left(ONE, 0.0) == FIRST_PAUSE


def test_after_the_pause_one_request_tries_and_the_others_wait_for_it() -> None:
    """Until it has an outcome, or takes too long."""
    made = cooldowns()
    made.limited(ONE, "rate_limited", 0.0, 10.0)
    assert made.left(ONE, 10.0) == 0.0
    made.begin(ONE, 10.0)
    assert made.left(ONE, 11.0) == TRIAL_HINT
    assert made.left(ONE, 10.0 + TRIAL_SECONDS) == 0.0
    made.give_back(ONE)
    assert made.left(ONE, 11.0) == 0.0
    made.begin(ONE, 11.0)
    made.succeeded(ONE)
    made.begin(ONE, 12.0)
    assert made.left(ONE, 12.0) == 0.0


def test_a_trial_that_fails_begins_a_longer_pause() -> None:
    """With the first failure."""
    made = cooldowns()
    made.limited(ONE, "rate_limited", 0.0, 0.0)
    made.begin(ONE, 5.0)
    made.failed(ONE, "timeout", 6.0)
    assert made.left(ONE, 6.0) == 2 * FIRST_PAUSE


def test_what_is_remembered_is_bounded() -> None:
    """Clients name the models where a provider offers any."""
    made = cooldowns()
    for number in range(MOST + 10):
        made.limited(ONE._replace(model=str(number)), "rate_limited", 0.0, 10.0)
    assert len(made.paused(1.0)) == MOST


@asynccontextmanager
async def sharing(server: RedisServer) -> AsyncIterator[tuple[Cooldowns, SharedCooldowns]]:
    """One of several gateways with this Redis."""
    link = RedisLink(server.url, 1.0, "gateway:")
    made = cooldowns()
    made.shared = True
    await link.start()
    try:
        yield made, SharedCooldowns(made, link)
    finally:
        await link.stop()


async def test_gateways_with_the_same_redis_know_each_others_pauses(redis: RedisServer) -> None:
    """With the reason, and for as long; not those that are over, and never shorter ones."""
    now = asyncio.get_running_loop().time()
    async with sharing(redis) as (one, first), sharing(redis) as (two, second):
        one.limited(ONE, "rate_limited", now, 50.0)
        one.refused(ONE._replace(model=""), now)
        await first.exchange()
        await second.exchange()
        assert 45 < two.left(ONE, asyncio.get_running_loop().time()) <= 51
        assert two.why(ONE) == "rate_limited"
        assert two.left(ONE._replace(model=""), now) > 55
        assert two.left(OTHER, now) == 0.0
        two.limited(ONE, "rate_limited", now, 5.0)
        await second.exchange()
        await first.exchange()
        assert one.left(ONE, now) > 45
