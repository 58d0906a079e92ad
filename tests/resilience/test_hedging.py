"""A second attempt beside a slow first one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.resilience.support import backend, response, running
from tests.upstream.wire import Wire

SLOW, FAST = response(200, b"slow"), response(200, b"fast")


async def after_a_second(message: Wire) -> bytes:
    await asyncio.sleep(1)
    return SLOW


async def after_a_minute(message: Wire) -> bytes:
    await asyncio.sleep(60)
    return SLOW


def routes(slow: str, fast: str, hedge: str) -> str:
    services = f"services: {{s: {{endpoints: ['{slow}', '{fast}'], balance: round_robin}}}}\n"
    return services + f"routes: [{{path: /*, target: s, hedge: {hedge}}}]\n"


async def test_the_first_answer_wins(tmp_path: Path) -> None:
    """Where the first endpoint is slow, another one is asked as well, and the client has its answer at once."""
    async with (
        backend(after_a_minute) as slow,
        backend(FAST) as fast,
        running(tmp_path, routes(slow.address, fast.address, "{after: 1s}")) as gateway,
    ):
        began = time.monotonic()
        for _ in range(4):
            assert (await gateway.get()).text == "fast"
        assert time.monotonic() - began < 30
        assert len(slow.requests) == 2
        hedged = [exchange.attempts for exchange, _ in gateway.outcomes if len(exchange.attempts) > 1]
        assert [[(each.endpoint, each.retry) for each in attempts] for attempts in hedged] == [
            [(slow.address, "hedged"), (fast.address, "")]
        ] * 2
        endpoints = (await gateway.admin.get("/endpoints")).json()
        assert [each["in_flight"] for each in endpoints] == [0, 0]


async def test_where_the_first_one_wins_after_all(tmp_path: Path) -> None:
    """The second attempt is the one that was given up, and the log says so, and how long it had been waited for."""
    asked = asyncio.Event()

    async def after_the_other_is_asked(message: Wire) -> bytes:
        await asked.wait()
        await asyncio.sleep(0.2)
        return response(200, b"first")

    async def too_late(message: Wire) -> bytes:
        asked.set()
        return await after_a_minute(message)

    async with (
        backend(after_the_other_is_asked) as slow,
        backend(too_late) as slower,
        running(tmp_path, routes(slow.address, slower.address, "{after: 50ms}")) as gateway,
    ):
        assert (await gateway.get()).text == "first"
        ((exchange, _),) = gateway.outcomes
        lost, won = [attempt.summary() for attempt in exchange.attempts]
        assert (lost["endpoint"], lost["why_next"]) == (slower.address, "hedged")
        assert (won["endpoint"], won["status"], won["why_next"]) == (slow.address, 200, None)
        assert 100 < lost["ms"] < 30_000  # type: ignore[operator]


async def test_what_is_usual(tmp_path: Path) -> None:
    """Without a time, it is learned: after twenty answers, what 95% of them took."""
    slowed = asyncio.Event()

    async def fast_at_first(message: Wire) -> bytes:
        if not slowed.is_set():
            return FAST
        await asyncio.sleep(60)
        return SLOW

    async with (
        backend(fast_at_first) as slow,
        backend(FAST) as fast,
        running(tmp_path, routes(slow.address, fast.address, "{}")) as gateway,
    ):
        for _ in range(60):
            await gateway.get()
        await asyncio.sleep(1)  # what is usual is worked out once a second
        slowed.set()
        before = len(slow.requests)
        async with asyncio.timeout(30):
            assert [(await gateway.get()).text for _ in range(2)] == ["fast", "fast"]
        assert len(slow.requests) > before


async def test_only_what_may_be_asked_twice(tmp_path: Path) -> None:
    """A POST is not, and nothing is where the budget of the service is spent."""
    async with (
        backend(after_a_second) as slow,
        backend(after_a_second) as other,
        running(tmp_path, routes(slow.address, other.address, "{after: 20ms}")) as gateway,
    ):
        await gateway.client.post("/", content=b"order")
        assert len(slow.requests) + len(other.requests) == 1
        await gateway.reload(middleware="retry_budget: {ratio: 0%, minimum_per_second: 0}")
        await gateway.get()
        assert len(slow.requests) + len(other.requests) == 2
