"""Rate limits and quotas as policies of a route, with callers that are authenticated before."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.context import Context, Middleware
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Identity, Response
from gateway.live import Owner
from gateway.middleware import quota, rate_limit
from tests.config.support import parsed
from tests.limits.support import exchange
from tests.support import eventually

ROUTES = "- {id: x, path: /x/*, target: b:80}\n- {id: y, path: /y/*, target: b:80}\n"
CONSUMERS = "consumers:\n- {name: big, limits: {main: [8/d]}}\n"


class Route:
    """One route behind its limits; what clients get from it."""

    def __init__(self, policies: list[Middleware]) -> None:
        self.policies = policies

        async def backend(_: Exchange) -> Response:
            return Response(200, [])

        self.handle = backend
        for policy in reversed(policies):
            self.handle = policy.wrap(self.handle)  # type: ignore[assignment]

    async def ask(self, consumer: str | None = None, *groups: str, client: str = "10.0.0.1") -> int:
        """The status of one request."""
        return (await self.answer(consumer, *groups, client=client))[0]

    async def answer(
        self, consumer: str | None = None, *groups: str, client: str = "10.0.0.1"
    ) -> tuple[int, dict[bytes, bytes], Exchange]:
        """Status, headers, and the exchange, of one request."""
        identity = Identity(consumer, "test", tenant="corp", groups=frozenset(groups)) if consumer else None
        made = exchange(client, identity)
        try:
            response = await self.handle(made)
        except GatewayError as error:
            return error.kind.status, dict(error.headers), made
        return response.status, dict(response.headers), made

    async def passed(self, times: int, consumer: str | None = None, *groups: str) -> int:
        """How many of so many requests pass."""
        return [await self.ask(consumer, *groups) for _ in range(times)].count(200)


@asynccontextmanager
async def route(middleware: str, base: Path = Path("/nowhere"), route_id: str = "x") -> AsyncIterator[Route]:
    configuration = parsed(ROUTES, middleware=middleware, auth=CONSUMERS, base=base)
    owner = Owner()
    context = Context(configuration, owner.plan())
    found = next(each for each in configuration.routes.routes if each.id == route_id)
    made = [rate_limit.for_route(context, found), quota.for_route(context, found)]
    await owner.adopt(context.plan)
    yield Route([policy for policy in made if policy is not None])
    await owner.stop()


async def test_a_consumer_is_refused_above_its_limit() -> None:
    """The fourth request of 3/d is a 429 with its type, and others are not concerned."""
    async with route("rate_limits: {main: {limits: [3/d]}}") as behind:
        assert await behind.passed(10, "acme") == 3
        assert await behind.passed(10, "other") == 3
        status, headers, made = await behind.answer("acme")
    assert status == 429
    assert ErrorKind.QUOTA_EXCEEDED.type == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert headers[b"ratelimit"] == b'"main";r=0;t=' + headers[b"retry-after"]
    assert 28700 < int(headers[b"retry-after"]) <= 28800  # less what the test took until then
    assert made.decisions[-1].rule == "rate_limit:main"


async def test_every_response_reports_what_is_left() -> None:
    """Also those of requests that pass."""
    async with route("rate_limits: {main: {limits: [3/s]}}") as behind:
        _, headers, _ = await behind.answer("acme")
    assert headers == {b"ratelimit-policy": b'"main";q=3;w=1', b"ratelimit": b'"main";r=2;t=1'}


async def test_tiers_and_own_limits_come_before_those_of_all() -> None:
    """A group's limits are its own, and a consumer's before those; who is in two groups has the first one listed."""
    tiers = "tiers: {gold: [6/d], silver: [4/d]}"
    async with route(f"rate_limits: {{main: {{limits: [2/d], {tiers}}}}}") as behind:
        assert await behind.passed(10, "plain") == 2
        assert await behind.passed(10, "g", "gold") == 6
        assert await behind.passed(10, "both", "silver", "gold") == 6
        assert await behind.passed(10, "big", "gold") == 8
        assert await behind.passed(10) == 2


@pytest.mark.parametrize(("route_id", "passed"), [("x", 10), ("y", 2)])
async def test_some_routes_cost_more(route_id: str, passed: int) -> None:
    """A request counts what its route costs."""
    limits = "rate_limits: {main: {limits: [10/d], costs: {y: 5}}}"
    async with route(limits, route_id=route_id) as behind:
        assert await behind.passed(20, "acme") == passed


async def test_limits_are_only_for_their_routes_and_free_ones_cost_nothing() -> None:
    """A route that no limit is for, or that costs 0, has none."""
    async with route("rate_limits: {a: {limits: [1/d], routes: ['y*']}, b: {limits: [1/d], costs: {x: 0}}}") as behind:
        assert behind.policies == []


async def test_a_limit_that_refuses_keeps_the_others_from_counting() -> None:
    """What the first limit has counted is given back when the second one refuses."""
    limits = "rate_limits: {wide: {limits: [9/d]}, tight: {key: [tenant], limits: [2/d]}}"
    async with route(limits) as behind:
        assert await behind.passed(20, "acme") == 2
        wide = behind.policies[0].local[0]  # type: ignore[attr-defined]
        owed = wide.store.peek("=acme", wide.windows, time.monotonic_ns())
        assert wide.windows.left(owed) == "7 of 9 in 1d"
        explained = await behind.policies[0].explain((await behind.answer("acme"))[2])  # type: ignore[attr-defined]
    assert explained.verdict == "deny"
    assert explained.rule == "rate_limit:tight"


async def test_shadow_mode_refuses_no_request_and_says_so() -> None:
    """A limit and a quota in shadow mode decide and record, and do not appear in responses."""
    policies = "rate_limits: {main: {limits: [1/d], mode: shadow}}"
    async with route(policies) as behind:
        assert await behind.passed(5, "acme") == 5
        status, headers, made = await behind.answer("acme")
    assert (status, headers) == (200, {})
    assert [(each.rule, each.verdict) for each in made.decisions] == [("rate_limit:main", "shadow-deny")]


@pytest.mark.parametrize(
    ("on_failure", "statuses"),
    [("open", [200, 200, 200]), ("closed", [503, 503, 503]), ("local", [200, 200, 429])],
)
@pytest.mark.parametrize("sync", ["exact", "leased"])
async def test_without_redis_a_limit_does_what_it_says(on_failure: str, statuses: list[int], sync: str) -> None:
    """Open lets pass, closed is a 503, local counts here."""
    redis = "redis: {url: 'redis://127.0.0.1:1'}\n"
    limit = f"rate_limits: {{main: {{limits: [2/d], store: redis, sync: {sync}, on_failure: {on_failure}}}}}"
    async with route(redis + limit) as behind:
        link = behind.policies[0].link  # type: ignore[attr-defined]
        await eventually(lambda: not link.available)
        assert [await behind.ask("acme") for _ in range(3)] == statuses


@pytest.mark.parametrize(("limits", "passed"), [("6/d", 2), ("2/d", 1)])
@pytest.mark.parametrize("sync", ["exact", "leased"])
async def test_without_redis_a_limit_is_shared_by_the_replicas(sync: str, limits: str, passed: int) -> None:
    """Each takes what is its share by how many there were, and at least one request."""
    redis = "redis: {url: 'redis://127.0.0.1:1'}\n"
    limit = f"rate_limits: {{main: {{limits: [{limits}], store: redis, sync: {sync}, on_failure: local}}}}"
    async with route(redis + limit) as behind:
        link = behind.policies[0].link  # type: ignore[attr-defined]
        await eventually(lambda: not link.available)
        link.replicas = 3
        assert [await behind.ask("acme") for _ in range(3)] == [200] * passed + [429] * (3 - passed)


async def test_a_quota_refuses_until_its_window_ends(tmp_path: Path) -> None:
    """Above the quota a request is a 429, and Retry-After is when the month ends."""
    quotas = "quotas: {monthly: {key: [tenant], limit: 3, window: month, timezone: Europe/Berlin}}"
    async with route(quotas, tmp_path) as behind:
        answers = [await behind.answer(name) for name in ("a", "b", "a", "b")]
    assert [status for status, _, _ in answers] == [200, 200, 200, 429]
    assert answers[0][1][b"ratelimit"].startswith(b'"monthly";r=2;t=')
    refused = answers[-1][1]
    assert refused[b"ratelimit"] == b'"monthly";r=0;t=' + refused[b"retry-after"]
    assert answers[-1][2].decisions[-1].rule == "quota:monthly"


async def test_a_tier_has_a_quota_of_its_own(tmp_path: Path) -> None:
    """By the groups of the caller, the first that is listed; headers and refusals say its limit."""
    quotas = "quotas: {daily: {limit: 1, window: day, tiers: {gold: 3, staff: 2}}}"
    async with route(quotas, tmp_path) as behind:
        for name, groups, limit in (("a", ["staff", "gold"], 3), ("b", ["staff"], 2), ("c", ["other"], 1)):
            answers = [await behind.answer(name, *groups) for _ in range(limit + 1)]
            assert [status for status, *_ in answers] == [200] * limit + [429]
            assert b";q=%d;" % limit in answers[0][1][b"ratelimit-policy"]
            assert f"({limit} in a day)" in answers[-1][2].decisions[-1].reason


async def test_a_quota_that_refuses_keeps_the_others_from_counting(tmp_path: Path) -> None:
    """A request that one quota refuses is counted by none, in whatever order they are."""
    quotas = "quotas: {daily: {limit: 9, window: day}, monthly: {limit: 2, window: month}}"
    async with route(quotas, tmp_path) as behind:
        assert await behind.passed(6, "acme") == 2
        daily = behind.policies[0].quotas[0]  # type: ignore[attr-defined]
        assert daily.ledger.used("=acme") == 2


@pytest.mark.parametrize(
    ("on_failure", "statuses"), [("open", [200] * 3), ("closed", [503] * 3), ("local", [200, 200, 429])]
)
async def test_without_its_file_a_quota_does_what_it_says(tmp_path: Path, on_failure: str, statuses: list[int]) -> None:
    """Open lets pass, closed is a 503, local counts here."""
    (tmp_path / "state").touch()  # a file where the directory should be
    quotas = f"quotas: {{daily: {{limit: 2, window: day, on_failure: {on_failure}}}}}"
    async with route(quotas, tmp_path) as behind:
        assert [await behind.ask("acme") for _ in range(3)] == statuses


async def test_a_quota_in_shadow_mode_refuses_no_request(tmp_path: Path) -> None:
    """It decides and records, and lets pass."""
    async with route("quotas: {daily: {limit: 1, window: day, mode: shadow}}", tmp_path) as behind:
        assert await behind.passed(4, "acme") == 4
        _, headers, made = await behind.answer("acme")
        assert behind.policies[0].quotas[0].ledger.used("=acme") == 1  # type: ignore[attr-defined]
    assert headers == {}
    assert made.decisions[-1].verdict == "shadow-deny"
