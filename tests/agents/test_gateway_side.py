"""The way from the bridge to a gateway: over Redis, and by the admin API, also when these come and go."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.agents.gateway_side import MOST_WAITING, PAUSES, AdminSide, BusSide
from gateway.events import AgentRegistry, AgentStanding, HealthFeedback, RequestReport, ServiceRegistry
from tests.lifecycle.support import admin_url
from tests.redis_server import RedisServer
from tests.roles.support import middleware, running
from tests.support import GatewayProcess, eventually, running_gateway, scripted_backend

ROUTES = """\
services:
  users: {endpoints: ["127.0.0.1:1"]}
  user-api: {discovery: {agents: acme, first_answer: 0.2s}}
routes:
- {path: /users/*, target: users}
- {path: /api/*, target: user-api}
"""
REGISTRY = AgentRegistry(
    prefix="acme",
    service="user-api",
    by="acme-discovery",
    instances=({"host": "10.0.1.5", "port": 8080, "health": "passing"},),
)


async def _shown(gateway: GatewayProcess, path: str) -> Any:
    async with httpx2.AsyncClient() as client:
        return (await client.get(admin_url(gateway, path))).json()


async def _becomes(gateway: GatewayProcess, path: str, text: str) -> None:
    for _ in range(400):
        if text in str(await _shown(gateway, path)):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"no {text!r} in {await _shown(gateway, path)}")


async def test_over_redis(tmp_path: Path, redis: RedisServer) -> None:
    """Both ways; the bridge is no replica of the gateway, and says so where Redis does not answer."""
    settings = f"redis: {{url: '{redis.url}'}}\nbus: redis\nagents: {{prefix: acme, networks: [10.0.0.0/8]}}\n"
    told: list[RequestReport] = []
    services: list[str] = []

    async def take(report: RequestReport) -> None:
        told.append(report)

    async def take_service(message: ServiceRegistry) -> None:
        services.append(message.service)

    with running_gateway(tmp_path, ROUTES, settings) as gateway:
        side = BusSide(redis.url, 10.0, "gateway:")
        side.subscribe(RequestReport, take)
        side.subscribe(ServiceRegistry, take_service)
        await side.start()
        side.publish(REGISTRY)
        await _becomes(gateway, "/services/user-api", "10.0.1.5:8080")
        async with httpx2.AsyncClient() as client:
            await client.get(f"{gateway.url}/users/1")
        await eventually(lambda: len(told) == 1 and "users" in services)
        assert (told[0].path, told[0].attempts[0][:2]) == ("/users/1", ("users", "127.0.0.1:1"))
        side.publish(HealthFeedback(service="user-api", instance="10.0.1.5:8080", status="failing", by="acme-monitor"))
        side.publish(AgentStanding(hostname="acme-router", role="router", state="connected"))
        await _becomes(gateway, "/health", "acme-router")
        assert side.problem == ""
        await side.stop()


async def test_by_the_admin_api_through_restarts(tmp_path: Path) -> None:
    """What waits is said once the gateway is there; what was said by key is to be said again after its restart."""
    told: list[str] = []

    async def take(message: ServiceRegistry) -> None:
        told.append(message.service)

    with running_gateway(tmp_path, ROUTES, "agents: {networks: [10.0.0.0/8]}") as gateway:
        token = gateway.admin_token["authorization"].removeprefix("Bearer ")
        side = AdminSide(f"127.0.0.1:{gateway.admin_port}", lambda: token)
        side.subscribe(ServiceRegistry, take)
        side.publish(REGISTRY)
        await side.start()
        await _becomes(gateway, "/services/user-api", "10.0.1.5:8080")
        await eventually(lambda: "users" in told)
        losses, known = side.losses, len(told)
        await asyncio.to_thread(gateway.stop)
        await eventually(lambda: "is not reached" in side.problem, 30)
        side.publish(REGISTRY.model_copy(update={"age": 1.0}))
        await asyncio.to_thread(gateway.start)
        await eventually(lambda: side.losses > losses and len(told) > known and not side.problem, 30)
        await _becomes(gateway, "/services/user-api", "10.0.1.5:8080")
        await side.stop()


async def test_what_waits_is_bounded_and_a_wrong_token_is_said() -> None:
    """Of a service the last word waits, of all others the latest."""
    side = AdminSide("127.0.0.1:9", lambda: None)
    for number in range(2 * MOST_WAITING):
        side.publish(HealthFeedback(service="x", instance=f"10.0.0.1:{number + 1}", status="failing", by="m"))
        side.publish(REGISTRY)
    assert side.dropped >= MOST_WAITING
    assert len(side._waiting) == MOST_WAITING
    assert sum(kind == AgentRegistry.KIND for kind, _ in side._waiting) == 1


async def test_a_wrong_token_is_said(tmp_path: Path) -> None:
    """In words that say what is missing, and what is said is not lost."""
    with running_gateway(tmp_path, ROUTES, "agents: {}") as gateway:
        side = AdminSide(f"127.0.0.1:{gateway.admin_port}", lambda: "gwa_another_token_that_is_none")
        side.publish(REGISTRY)
        await side.start()
        await eventually(lambda: "401" in side.problem and "GATEWAY_ADMIN_TOKEN" in side.problem)
        assert len(side._waiting) == 1
        await side.stop()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b" " * (17 * 1024 * 1024), "sent more than 16384 KiB"),
        (b"{}", "its answer has no messages"),
        (b'{"next":"a-1","messages":[],"missed":null}', "its answer has no messages"),
        (b'{"next":"a-1","messages":null,"missed":0}', "its answer has no messages"),
    ],
)
async def test_what_is_no_admin_api_is_asked_again_after_a_pause(answer: bytes, said: str) -> None:
    """Whatever it answers: it is said what is wrong, no more is read than an answer may have, and not at once again."""
    asked = 0

    async def another(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                asked += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)

    async with scripted_backend(another) as port:
        side = AdminSide(f"127.0.0.1:{port}", lambda: None)
        side.subscribe(ServiceRegistry, _nothing)
        began = time.monotonic()
        await side.start()
        await eventually(lambda: said in side.problem, 30)
        await eventually(lambda: asked >= 3, 60)
        assert time.monotonic() - began >= 0.8 * (PAUSES[0] + PAUSES[1])
        await side.stop()


async def _nothing(message: ServiceRegistry) -> None:
    """Nobody wants it."""


async def test_over_redis_to_a_gateway_in_parts(tmp_path: Path, redis: RedisServer) -> None:
    """Discovery takes instances and votes, which routers hear of; requests of each router are reported."""
    settings = middleware(redis, tmp_path) + "agents: {prefix: acme, networks: [10.0.0.0/8]}\n"
    told: list[RequestReport] = []

    async def take(report: RequestReport) -> None:
        told.append(report)

    with (
        running(tmp_path, "monitor,discovery", ROUTES, settings) as discovery,
        running(tmp_path, "router,auth", ROUTES, settings) as router,
    ):
        side = BusSide(redis.url, 10.0, f"{tmp_path.name}:")
        side.subscribe(RequestReport, take)
        await side.start()
        side.publish(REGISTRY.model_copy(update={"instances": ({"host": "10.0.1.5", "port": 1}, _instance(2))}))
        await eventually(lambda: len(router.ask("/services/user-api")["endpoints"]) == 2)
        side.publish(HealthFeedback(service="user-api", instance="10.0.1.6:2", status="failing", by="acme-monitor"))
        await eventually(lambda: "acme-monitor says failing" in str(router.ask("/services/user-api")))
        router.status("/users/1")
        await eventually(lambda: len(told) == 1)
        side.publish(AgentStanding(hostname="acme-router", role="router", state="connected"))
        for process in (discovery, router):
            await eventually(lambda process=process: "acme-router" in process.health()["agents"])  # type: ignore[misc]
        await side.stop()


def _instance(number: int) -> dict[str, Any]:
    return {"host": "10.0.1.6", "port": number}
