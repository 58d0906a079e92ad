"""Budgets of several gateways on one Redis, and without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.config.load import parse
from gateway.context import Context
from gateway.errors import ErrorKind
from gateway.http.testing import make_exchange
from gateway.live import Owner
from gateway.llm.claims import Refused, Wanted
from gateway.llm.money import Money, money_of
from gateway.llm.reservation import Hold
from gateway.llm.usage import Usage
from gateway.outside.redis_link import RedisLink, redis_link
from tests.redis_server import RedisServer, running_redis
from tests.support import eventually

WANTED = Wanted((("local", "small"),), "chat", "fast", 100, 100, seconds=60)
MODELS = """
providers: {local: {protocol: openai, base_url: http://127.0.0.1:9, models: [small]}}
budgets:
  shared: {key: [route], store: redis, on_failure: %s, limits: [{tokens: 4000, window: month}]}
"""


@asynccontextmanager
async def replica(server: RedisServer, on_failure: str, base: Path) -> AsyncIterator[tuple[Money, RedisLink]]:
    """One gateway of several."""
    owner = Owner()
    money, link = await configure(owner, server, on_failure, base)
    await eventually(lambda: link.calls > 0 and link.answers)
    try:
        yield money, link
    finally:
        await owner.stop()


async def configure(
    owner: Owner, server: RedisServer, on_failure: str, base: Path, patience: str = "1s"
) -> tuple[Money, RedisLink]:
    """Begin with a configuration, or go on with another one."""
    files = {
        "routes.yaml": "routes: [{id: chat, path: /*, target: models, auth: []}]",
        "models.yaml": MODELS % on_failure,
        "middleware.yaml": f"redis: {{url: '{server.url}', timeout: {patience}}}",
    }
    configuration = parse({name: text.encode() for name, text in files.items()}, {}, base=base)
    plan = owner.plan()
    context = Context(configuration, plan)
    money, link = money_of(context), redis_link(context)
    await owner.adopt(plan)
    await owner.release()
    return money, link


async def ask(money: Money) -> Hold | Refused:
    """A request that needs 200 of the 4000 tokens."""
    try:
        return await money.budgets.reserve(make_exchange(route="chat"), WANTED)
    except Refused as refused:
        return refused


async def test_two_gateways_spend_one_budget(tmp_path: Path) -> None:
    """Of 200 requests at once at both, 20 pass; what they used beyond their holds is what goes over."""
    with running_redis(tmp_path) as server:
        async with AsyncExitStack() as stack:
            both = [(await stack.enter_async_context(replica(server, "local", tmp_path)))[0] for _ in range(2)]
            outcomes = await asyncio.gather(*(ask(money) for money in both * 100))
            holds = [outcome for outcome in outcomes if isinstance(outcome, Hold)]
            assert len(holds) == 20
            for hold in holds:
                hold.commit(Usage(100, 90), 0)
            await eventually(lambda: all(not money.budgets.budgets[0].store.unsettled for money in both))
            again = await ask(both[0])
            assert isinstance(again, Hold)
            refused = await ask(both[1])
            assert isinstance(refused, Refused)
            assert (refused.left, refused.retry_after) == (0, 5)


async def test_without_redis_each_gateway_spends_its_share(tmp_path: Path) -> None:
    """What is left is divided among those that were there: together they let through no more than the budget has."""
    with running_redis(tmp_path) as server:
        async with AsyncExitStack() as stack:
            both = [await stack.enter_async_context(replica(server, "local", tmp_path)) for _ in range(2)]
            await eventually(lambda: all(link.replicas == 2 for _, link in both))
            begun = await ask(both[0][0])
            assert isinstance(begun, Hold)
            begun.commit(Usage(400, 400), 0)  # of 4000
            for money, _ in both:
                await eventually(lambda: not both[0][0].budgets.budgets[0].store.unsettled)
                hold = await ask(money)  # so that both know of it
                assert isinstance(hold, Hold)
                hold.release()
            await eventually(lambda: all(not money.budgets.budgets[0].store.unsettled for money, _ in both))
            server.freeze()
            await asyncio.gather(*(ask(money) for money, _ in both))
            await eventually(lambda: not any(link.available for _, link in both), message="they do not notice")
            passed = []
            for money, _ in both:
                outcomes = [await ask(money) for _ in range(20)]
                passed.append(sum(isinstance(outcome, Hold) for outcome in outcomes))
                refused = outcomes[-1]
                assert isinstance(refused, Refused)
                assert refused.kind is ErrorKind.QUOTA_EXCEEDED
            server.thaw()
    assert passed in ([7, 7], [8, 8], [7, 8], [8, 7])  # 1600 each, of which the first one may hold 200


@pytest.mark.parametrize("on_failure", ["open", "closed", "local"])
async def test_without_redis_the_failure_mode_holds_for_reservations(on_failure: str, tmp_path: Path) -> None:
    """`closed` refuses with a 503, `local` goes by what is known here, `open` lets pass; later all is counted."""
    with running_redis(tmp_path) as server:
        async with replica(server, on_failure, tmp_path) as (money, link):
            begun = [await ask(money) for _ in range(15)]
            server.freeze()
            await ask(money)
            await eventually(lambda: not link.available, message="it does not notice")
            outcomes = [await ask(money) for _ in range(10)]
            passed = [outcome for outcome in outcomes if isinstance(outcome, Hold)]
            assert len(passed) == {"open": 10, "closed": 0, "local": 4}[on_failure]
            if on_failure == "closed":
                assert isinstance(outcomes[0], Refused)
                assert outcomes[0].kind is ErrorKind.STORE_UNAVAILABLE
            for hold in (*begun, *passed):
                assert isinstance(hold, Hold)
                hold.commit(Usage(10, 10), 0)
            server.thaw()
            store = money.budgets.budgets[0].store
            await eventually(lambda: link.answers and not store.unsettled)
            known = money.budgets.budgets[0].limits[0].ledger.assume("=chat")
            assert known == 20 * (15 + len(passed))


@pytest.mark.parametrize("noticed", [False, True], ids=["at once", "after a while"])
async def test_a_redis_that_comes_back_empty_lets_nothing_over_the_limit(noticed: bool, tmp_path: Path) -> None:
    """What gateways hold open counts for all of them before any admits another request: those that ask meanwhile are
    refused as without a Redis."""
    with running_redis(tmp_path) as server:
        async with AsyncExitStack() as stack:
            both = [await stack.enter_async_context(replica(server, "closed", tmp_path)) for _ in range(2)]
            open_before = [await ask(money) for money, _ in both for _ in range(8)]
            assert all(isinstance(each, Hold) for each in open_before)
            server.kill()
            if noticed:
                await eventually(lambda: not any(link.available for _, link in both))
            server.start()
            refusals = set()
            admitted = 0
            while ErrorKind.QUOTA_EXCEEDED not in refusals:
                for money, _ in both:
                    outcome = await ask(money)
                    if isinstance(outcome, Hold):
                        admitted += 1
                    else:
                        refusals.add(outcome.kind)
                await asyncio.sleep(0)
    assert admitted == 4  # of the 20 that there is room for
    assert ErrorKind.STORE_UNAVAILABLE in refusals


async def test_what_ends_after_a_reload_with_another_time_limit_of_redis_is_counted(tmp_path: Path) -> None:
    """The holds of requests that were let in before it go on, and are settled; the new time limit holds."""
    with running_redis(tmp_path) as server:
        owner = Owner()
        try:
            money, link = await configure(owner, server, "closed", tmp_path)
            await eventually(lambda: link.calls > 0 and link.answers)
            hold = await ask(money)
            assert isinstance(hold, Hold)
            later, same = await configure(owner, server, "closed", tmp_path, patience="500ms")
            hold.commit(Usage(100, 90), 0)
            store = later.budgets.budgets[0].store
            await eventually(lambda: not store.unsettled)
            assert later.budgets.budgets[0].limits[0].ledger.used("=chat") == 190
            assert (same.timeout, same.available) == (0.5, True)
        finally:
            await owner.stop()
