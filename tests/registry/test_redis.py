"""Instances that register themselves in a real Redis, or Valkey."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path

import pytest
from redis import Redis

from gateway.outside.redis_link import RedisLink
from gateway.registry.client import Registration
from gateway.registry.redis import RedisRegistry, RedisSource
from gateway.upstream.member import Address, Member
from tests.lifecycle.support import admin_url
from tests.redis_server import RedisServer, redis_program, valkey_program
from tests.registry.support import Heard, listening, shows
from tests.support import eventually, running_gateway
from tests.upstream.test_service import named_backends

_NUMBERS = count()


@pytest.fixture(scope="module", params=[redis_program, valkey_program], ids=["redis", "valkey"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that stays up, for all tests of this file."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), program=request.param)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def service() -> str:
    return f"service-{next(_NUMBERS)}"


@asynccontextmanager
async def heard_of(server: RedisServer, service: str, recovery: float = 10.0) -> AsyncIterator[Heard]:
    """What a gateway hears of a service."""
    link = RedisLink(server.url, 1.0, "gateway:")
    registry = RedisRegistry(link)
    await link.start()
    await registry.start()
    try:
        async with listening(RedisSource(registry, service, recovery)) as heard:
            yield heard
    finally:
        await registry.stop()
        await link.stop()


def heartbeat(server: RedisServer, service: str, instance: str, seconds: float) -> None:
    """What a service in any language does."""
    with Redis.from_url(server.url) as redis:
        redis.zadd(f"gateway:registry:{service}", {instance: time.time() + seconds})


async def test_instances_register_and_leave(server: RedisServer, service: str) -> None:
    """Each is used within a second, and gone as soon."""
    async with heard_of(server, service) as heard:
        await heard.has()
        for _ in range(5):  # until it took no longer, unless the machine had other work each time
            took = [0.0]
            with Registration(service, "10.0.0.1:80", redis=server.url, weight=2, zone="a"):
                took.append(await seconds_until(heard, "10.0.0.1:80"))
                assert heard.members == [Member(Address("10.0.0.1", 80), 2, "a")]
                with Registration(service, "10.0.0.2:80", redis=server.url):
                    took.append(await seconds_until(heard, "10.0.0.1:80", "10.0.0.2:80"))
                took.append(await seconds_until(heard, "10.0.0.1:80"))
            took.append(await seconds_until(heard))
            if max(took) < 1:
                break
        assert max(took) < 1
        assert heard.faults == []


async def seconds_until(heard: Heard, *addresses: str) -> float:
    """How long it takes until these are the instances."""
    began = time.monotonic()
    await heard.has(*addresses)
    return time.monotonic() - began


async def test_a_heartbeat_that_is_late(server: RedisServer, service: str) -> None:
    """The instance is known as late, until it is heard of again."""
    heartbeat(server, service, "10.0.0.1:80", 0.3)
    heartbeat(server, service, '{"host": "10.0.0.2", "port": 80}', 60)
    async with heard_of(server, service) as heard:
        await heard.has("10.0.0.1:80", "10.0.0.2:80")
        late = Member(Address("10.0.0.1", 80), late=True)
        await eventually(lambda: late in heard.members)
        heartbeat(server, service, "10.0.0.1:80", 60)
        await eventually(lambda: late not in heard.members)
        await heard.has("10.0.0.1:80", "10.0.0.2:80")


async def test_an_instance_that_was_forgotten_long_ago_is_gone(server: RedisServer, service: str) -> None:
    """A minute after it was late, it is not an instance any more."""
    heartbeat(server, service, "10.0.0.1:80", -61)
    heartbeat(server, service, "10.0.0.2:80", 60)
    async with heard_of(server, service) as heard:
        await heard.has("10.0.0.2:80")


async def test_what_cannot_be_read_costs_no_other_instance(server: RedisServer, service: str) -> None:
    """It is left out, counted, and named once."""
    heartbeat(server, service, "http://10.0.0.1", 60)
    heartbeat(server, service, "10.0.0.2:80", 60)
    async with heard_of(server, service) as heard:
        await heard.has("10.0.0.2:80")
        heartbeat(server, service, "10.0.0.3:80", 60)
        await heard.has("10.0.0.2:80", "10.0.0.3:80")
        (fault,) = heard.faults
        assert "the instance 'http://10.0.0.1' is left out: an address is host:port" in fault


async def test_a_key_of_another_program_costs_no_other_service(server: RedisServer, service: str) -> None:
    """The service that it is in the way of is lost, with the reason."""
    with Redis.from_url(server.url) as redis:
        redis.set(f"gateway:registry:{service}", "x")
    link = RedisLink(server.url, 0.2, "gateway:")
    registry = RedisRegistry(link)
    await link.start()
    await registry.start()
    heartbeat(server, f"{service}-other", "10.0.0.2:80", 60)
    async with (
        listening(RedisSource(registry, service)) as heard,
        listening(RedisSource(registry, f"{service}-other")) as other,
    ):
        await heard.is_lost("Redis cannot read it: WRONGTYPE")
        await other.has("10.0.0.2:80")
        with Redis.from_url(server.url) as redis:
            redis.delete(f"gateway:registry:{service}")
        heartbeat(server, service, "10.0.0.1:80", 60)
        await heard.has("10.0.0.1:80")
    await registry.stop()
    await link.stop()


@pytest.mark.parametrize("program", [redis_program, valkey_program], ids=["redis", "valkey"])
async def test_a_restart_with_another_set(tmp_path: Path, service: str, program: object) -> None:
    """Nothing goes while Redis is away and until the instances may have registered again; then those that did count."""
    server = RedisServer(tmp_path, program=program)  # type: ignore[arg-type]
    server.start()
    for number in range(3):
        heartbeat(server, service, f"10.0.0.{number}:80", 60)
    before = [f"10.0.0.{number}:80" for number in range(3)]
    async with heard_of(server, service, recovery=6.0) as heard:
        await heard.has(*before)
        server.kill()
        await heard.is_lost("Redis does not answer")
        server.start()
        heartbeat(server, service, "10.0.0.1:80", 60)
        heartbeat(server, service, "10.0.0.7:80", 60)
        await heard.has(*before, "10.0.0.7:80")
        await heard.has("10.0.0.1:80", "10.0.0.7:80")
        assert len(heard.lost) == 1
    server.kill()


async def test_after_an_outage_none_is_late_for_what_redis_missed(tmp_path: Path, service: str) -> None:
    """While Redis hung, no heartbeat could arrive."""
    server = RedisServer(tmp_path)
    server.start()
    with Registration(service, "10.0.0.1:80", redis=server.url, seconds=1.2):
        async with heard_of(server, service, recovery=5.0) as heard:
            await heard.has("10.0.0.1:80")
            server.freeze()
            await heard.is_lost("Redis does not answer")
            await asyncio.sleep(1.5)  # longer than an instance may be silent
            server.thaw()
            delivered = heard.delivered + heard.signs
            await eventually(lambda: heard.delivered + heard.signs > delivered + 1)
            assert heard.members == [Member(Address("10.0.0.1", 80), 1)]
    server.kill()


async def test_a_registration_waits_for_redis(tmp_path: Path, service: str, caplog: pytest.LogCaptureFixture) -> None:
    """It says that Redis does not answer, once, and that the instance is registered after all."""
    server = RedisServer(tmp_path)
    with Registration(service, "10.0.0.1:80", redis=server.url, seconds=1.2):
        await eventually(lambda: "is not registered: Redis does not answer" in caplog.text)
        server.start()
        await eventually(lambda: "is registered: Redis answers" in caplog.text)
    assert len(caplog.messages) == 2
    server.kill()


async def test_what_a_command_registers(own_redis: RedisServer, tmp_path: Path) -> None:
    """`gateway register` keeps an instance registered, and takes it out when it is ended; all readers agree."""
    routes = "services: {jobs: {discovery: {redis: jobs}}}\nroutes: [{path: /x, target: jobs}]"
    async with named_backends("one", "two") as (one, two):
        with (
            registering(own_redis, f"127.0.0.1:{one}") as first,
            registering(own_redis, f"127.0.0.1:{two}"),
            running_gateway(tmp_path, routes, f"redis: {{url: {own_redis.url}}}") as gateway,
        ):
            async with heard_of(own_redis, "jobs") as other:
                await other.has(f"127.0.0.1:{one}", f"127.0.0.1:{two}", seconds=30)
                await shows(f"{gateway.url}/x", "one")
                await shows(f"{gateway.url}/x", "two")
                first.send_signal(signal.SIGTERM)
                await eventually(lambda: first.poll() is not None)
                assert first.returncode == 0
                await other.has(f"127.0.0.1:{two}")
                await shows(admin_url(gateway, "/endpoints"), f"127.0.0.1:{one}", shown=False)
                await shows(f"{gateway.url}/x", "two")


@contextmanager
def registering(server: RedisServer, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """`gateway register`, running."""
    command = [sys.executable, "-m", "gateway.cli", "register", "--service", "jobs", "--redis", server.url]
    process = subprocess.Popen([*command, "--address", address])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_a_command_registers_nothing_outside_of_the_allowed_networks(server: RedisServer, service: str) -> None:
    """It says which they are, as soon as a gateway has, and what to do; also after Redis has lost what it knew."""
    link = RedisLink(server.url, 0.2, "gateway:")
    registry = RedisRegistry(link)
    await link.start()
    await registry.start()

    async def register(address: str) -> str:
        command = ["register", "--service", service, "--address", address, "--redis", server.url]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", *command, stderr=asyncio.subprocess.PIPE
        )
        _, printed = await process.communicate()
        assert process.returncode == 1
        return printed.decode()

    with Redis.from_url(server.url) as redis:

        def said() -> bool:
            return bool(redis.hget("gateway:registry-networks", service) == b"10.0.0.0/8,fd00::/8")

        try:
            async with listening(RedisSource(registry, service, networks="10.0.0.0/8,fd00::/8")) as heard:
                await eventually(said)
                for address in ("169.254.169.254:80", "metadata:80", "[::ffff:11.0.0.1]:80"):
                    assert "is outside of allowed_networks (10.0.0.0/8, fd00::/8) of" in await register(address)
                await heard.has()
                redis.delete("gateway:registry-networks", "gateway:registry")
                await eventually(said)
            async with listening(RedisSource(registry, service)):
                await eventually(lambda: not redis.hexists("gateway:registry-networks", service))
        finally:
            await registry.stop()
            await link.stop()


def test_the_client_for_services_is_light() -> None:
    """It imports nothing else of the gateway."""
    listed = "import sys, gateway.registry.client; print([name for name in sys.modules if name.startswith('gateway')])"
    imported = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True).stdout
    assert imported.strip() == "['gateway', 'gateway.registry', 'gateway.registry.client']"


def test_a_gateway_without_redis_does_not_load_its_library() -> None:
    """It would cost each of them memory, and time at the start."""
    loaded = "import sys, gateway.server.run, gateway.registry.commands; print('redis' in sys.modules)"
    imported = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout
    assert imported.strip() == "False"
