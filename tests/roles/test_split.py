"""Discovery, router and monitor in processes of their own, over a real Redis: they behave as one does."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from tests.redis_server import RedisServer
from tests.registry.support import shows
from tests.roles.support import Load, RoleProcess, checked_backend, middleware, running
from tests.support import eventually
from tests.upstream.test_service import named_backends

FILE = """
services:
  user-api:
    discovery: {file: instances.json}
routes:
- {path: /x, target: user-api}
"""


def instances(gateway: RoleProcess, *ports: int) -> None:
    """Write what there is of the service."""
    listed = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    temporary = gateway.directory / ".new"
    temporary.write_text(f"[{listed}]")
    temporary.rename(gateway.directory / "instances.json")


def endpoints(gateway: RoleProcess) -> dict[str, Any]:
    return {each["endpoint"]: (each["state"], each["reason"]) for each in gateway.ask("/endpoints")}


async def stands(gateway: RoleProcess, port: int, state: tuple[str, str | None]) -> None:
    """Wait until this gateway says this of the endpoint."""
    await eventually(lambda: endpoints(gateway).get(f"127.0.0.1:{port}") == state)


async def test_an_endpoint_that_discovery_finds_is_used_by_the_router(tmp_path: Path, redis: RedisServer) -> None:
    """Also one that comes later; and a router that starts later than that knows it at once."""
    async with named_backends("one", "two") as (one, two):
        with running(tmp_path, "monitor,discovery", FILE, middleware(redis, tmp_path)) as discovery:
            instances(discovery, one)
            with running(tmp_path, "router,auth", FILE, middleware(redis, tmp_path)) as router:
                await shows(f"{router.url}/x", "one")
                instances(discovery, two)
                await shows(f"{router.url}/x", "two")
                with running(tmp_path, "router,auth", FILE, middleware(redis, tmp_path)) as later:
                    await shows(f"{later.url}/x", "two")
                [shown] = router.ask("/registry")
                assert shown["source"] == "discovery (over the bus)"
                assert shown["source_age_s"] < 30
                assert router.health()["roles"] == "router,auth"
                await eventually(lambda: router.health()["failing"] == [])
                assert discovery.health()["roles"] == "discovery,monitor"
                await eventually(lambda: discovery.health()["failing"] == [])


STATIC = """
services:
  user-api:
    endpoints: ["127.0.0.1:{one}", "127.0.0.1:{two}"]
    health: {{path: /health, interval: 200ms, timeout: 1s, unhealthy_after: 1, healthy_after: 1}}
routes:
- {{path: /x, target: user-api}}
"""


async def test_what_health_checks_find_counts_in_the_router(tmp_path: Path, redis: RedisServer) -> None:
    """Discovery checks, and the router leaves an endpoint out, by the same reason, until it is well again."""
    async with checked_backend() as one, checked_backend() as two:
        routes = STATIC.format(one=one.port, two=two.port)
        with (
            running(tmp_path, "discovery", routes, middleware(redis, tmp_path)),
            running(tmp_path, "router,auth", routes, middleware(redis, tmp_path)) as router,
        ):
            label = f"127.0.0.1:{two.port}"
            await stands(router, two.port, ("in", None))
            two.well = False
            await eventually(lambda: str(endpoints(router)[label][1]).endswith(" checks failed: answered 500"))
            before = one.checks, two.checks
            await eventually(lambda: two.checks >= before[1] + 3)
            assert one.checks + two.checks - sum(before) <= 12  # by one process only
            two.well = True
            await eventually(lambda: endpoints(router)[label][0] == "in")


async def test_health_feedback_reaches_the_routers(tmp_path: Path, redis: RedisServer) -> None:
    """Whichever process gets the report, discovery weighs it, and the routers leave the endpoint out."""
    async with named_backends("one", "two") as (one, two):
        routes = STATIC.format(one=one, two=two)
        with (
            running(tmp_path, "discovery", routes, middleware(redis, tmp_path)) as discovery,
            running(tmp_path, "router,auth", routes, middleware(redis, tmp_path)) as router,
            running(tmp_path, "monitor", routes, middleware(redis, tmp_path)) as monitor,
        ):
            message = {"service": "user-api", "instance": f"127.0.0.1:{two}", "status": "failing", "error_rate": 0.42}
            reason = "feedback: a monitor says failing, 42% errors"
            for process in (discovery, monitor, router):
                assert process.send("/health-feedback", message)["until"] is not None
                for each in (discovery, router, monitor):
                    await stands(each, two, ("out", reason))
                process.send("/health-feedback", message | {"status": "passing"})
                for each in (discovery, router, monitor):
                    await stands(each, two, ("in", None))


async def test_no_request_fails_while_others_are_gone(tmp_path: Path, own_redis: RedisServer) -> None:
    """Discovery and monitor killed, Redis stopped: routers go on with what they have, say so, and heal."""
    async with named_backends("one", "two") as (one, two):
        with running(tmp_path, "monitor,discovery", FILE, middleware(own_redis, tmp_path)) as others:
            instances(others, one)
            with running(tmp_path, "router,auth", FILE, middleware(own_redis, tmp_path)) as router:
                await outlives(router, others, own_redis, one, two)


async def outlives(router: RoleProcess, others: RoleProcess, own_redis: RedisServer, one: int, two: int) -> None:
    await shows(f"{router.url}/x", "one")
    async with Load(f"{router.url}/x") as load:
        others.kill()
        await eventually(lambda: _says(router, "is not heard of any more"), 30)
        assert _says(router, "the endpoints of user-api are stale: discovery (over the bus) answered")
        others.start()
        instances(others, two)
        await shows(f"{router.url}/x", "two")
        own_redis.kill()
        await eventually(lambda: _says(router, "Redis does not answer"))
        instances(others, one)
        await eventually(lambda: one_of(others) == [f"127.0.0.1:{one}"])
        own_redis.start()
        await shows(f"{router.url}/x", "one")
        await eventually(lambda: router.health()["failing"] == [])
        await eventually(lambda: others.health()["failing"] == [])
    assert set(load.statuses) == {200}
    assert load.total > 100


def one_of(gateway: RoleProcess) -> list[str]:
    return list(endpoints(gateway))


def _says(gateway: RoleProcess, text: str) -> bool:
    return any(text in trouble for trouble in gateway.health()["failing"])


async def test_one_discovery_speaks_and_another_takes_its_place(tmp_path: Path, redis: RedisServer) -> None:
    """Two that see different things do not have endpoints come and go; when the first ends, the second is heard."""
    async with named_backends("one", "two") as (one, two):
        with running(tmp_path, "discovery", FILE, middleware(redis, tmp_path)) as first:
            instances(first, one)
            with running(tmp_path, "router,auth", FILE, middleware(redis, tmp_path)) as router:
                await shows(f"{router.url}/x", "one")
                with running(tmp_path, "discovery", FILE, middleware(redis, tmp_path)) as second:
                    instances(second, two)
                    await eventually(lambda: one_of(second) == [f"127.0.0.1:{two}"])
                    for _ in range(20):
                        await shows(f"{router.url}/x", "one")
                    first.stop()
                    await shows(f"{router.url}/x", "two")


async def test_copies_go_to_what_discovery_finds(tmp_path: Path, redis: RedisServer) -> None:
    """The endpoints of a service that gets copies of requests are found in the same way."""
    async with named_backends("one") as [one], checked_backend() as copied:
        mirrored = f"target: 'http://127.0.0.1:{one}', mirror: {{target: user-api}}}}"
        routes = FILE.replace("target: user-api}", mirrored)
        with running(tmp_path, "discovery", routes, middleware(redis, tmp_path)) as discovery:
            instances(discovery, copied.port)
            with running(tmp_path, "router,auth", routes, middleware(redis, tmp_path)) as router:
                await shows(f"{router.url}/x", "one")
                await eventually(lambda: copied.others > 0)


async def test_the_monitor_sums_up_what_routers_served(tmp_path: Path, redis: RedisServer) -> None:
    """It has the requests of both, by service and endpoint, with their durations; the routers have no windows."""
    async with named_backends("one") as [one]:
        with running(tmp_path, "monitor,discovery", FILE, middleware(redis, tmp_path)) as monitor:
            instances(monitor, one)
            with (
                running(tmp_path, "router,auth", FILE, middleware(redis, tmp_path)) as router,
                running(tmp_path, "router,auth", FILE, middleware(redis, tmp_path)) as other,
            ):
                for gateway in (router, router, other):
                    assert await asyncio.to_thread(gateway.status, "/x") == 200
                    assert gateway.status("/missing") == 404
                for by, name, requests in [
                    ("upstream", "user-api", 3),
                    ("endpoint", f"user-api/127.0.0.1:{one}", 3),
                ]:
                    await eventually(partial(has, monitor, by, name, requests), 30, f"{by} {name}")
                assert httpx2.get(f"http://127.0.0.1:{router.admin_port}/monitor").status_code == 409
                await eventually(lambda: monitor.ask("/monitor?by=all&window=5m")["all"]["requests"] == 6)
                assert monitor.ask("/monitor?by=all&window=5m")["all"]["requests"] == 6
                [shown] = monitor.ask("/monitor?by=upstream&window=5m")["subjects"]
                assert shown["p50_ms"] > 0


def has(monitor: RoleProcess, by: str, name: str, requests: int) -> bool:
    """Whether the monitor has seen so many requests of something."""
    items = monitor.ask(f"/monitor?by={by}&window=5m")["subjects"]
    return {each["name"]: each["requests"] for each in items}.get(name) == requests
