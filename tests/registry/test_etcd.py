"""Instances in a real etcd, which is watched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path

import pytest

from gateway.registry.discovery import Discovery
from gateway.registry.etcd import EtcdSource
from gateway.upstream.member import Address, Member
from tests.etcd_server import EtcdServer
from tests.registry.support import listening, shows
from tests.support import eventually, free_port, running_gateway, scripted_backend
from tests.upstream.test_service import named_backends, upstream_of

_NUMBERS = count()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """One that stays up, for all tests of this file."""
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """One for a single test, to do harm to."""
    server = EtcdServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def prefix() -> str:
    return f"/services/{next(_NUMBERS)}/"


async def test_instances_come_change_and_go(etcd: EtcdServer, prefix: str) -> None:
    """Keys that are there, those that are set later, and those that are deleted; of other prefixes nothing."""
    etcd.put(f"{prefix}a", "10.0.0.1:80")
    etcd.put(f"{prefix.rstrip('/')}0", "10.9.9.9:80")
    async with listening(EtcdSource([etcd.url], prefix)) as heard:
        await heard.has("10.0.0.1:80")
        etcd.put(f"{prefix}b", '{"host": "10.0.0.2", "port": 80, "weight": 3, "zone": "a", "health": "failing"}')
        await heard.has("10.0.0.1:80", "10.0.0.2:80")
        reason = "its source says failing"
        assert heard.members[1] == Member(Address("10.0.0.2", 80), 3, "a", up=False, reason=reason)
        etcd.put(f"{prefix}a", "10.0.0.3:80")
        etcd.delete(f"{prefix}b")
        await heard.has("10.0.0.3:80")
        assert heard.lost == []


async def test_a_lease_that_ends_takes_its_instance_away(etcd: EtcdServer, prefix: str) -> None:
    """As an instance that died without a word."""
    lease = etcd.ask("lease/grant", TTL=60)["ID"]
    etcd.put(f"{prefix}a", "10.0.0.1:80", lease=lease)
    async with listening(EtcdSource([etcd.url], prefix)) as heard:
        await heard.has("10.0.0.1:80")
        etcd.ask("lease/revoke", ID=lease)
        await heard.has()


async def test_a_value_that_cannot_be_read_costs_no_other_instance(etcd: EtcdServer, prefix: str) -> None:
    """A new one is left out, a known one stays as it was; each is counted and named once."""
    etcd.put(f"{prefix}a", "10.0.0.1:80")
    etcd.put(f"{prefix}bad", "{")
    async with listening(EtcdSource([etcd.url], prefix)) as heard:
        await heard.has("10.0.0.1:80")
        etcd.put(f"{prefix}a", '{"host": "10.0.0.1"}')
        etcd.put(f"{prefix}b", "10.0.0.2:80")
        await heard.has("10.0.0.1:80", "10.0.0.2:80")
        assert len(heard.faults) == 2
        assert f"'{prefix}bad' cannot be used, so the instance is left out: it is not JSON" in heard.faults[0]
        assert f"'{prefix}a' cannot be used, so the instance stays as it was: port is missing" in heard.faults[1]


async def test_a_value_that_cannot_be_read_is_a_trouble_until_it_can(etcd: EtcdServer, prefix: str) -> None:
    """As long as it is there, whatever else changes; a replica would be missing and nobody would know."""
    etcd.put(f"{prefix}a", "10.0.0.1:80")
    etcd.put(f"{prefix}bad", "{")
    discovery = Discovery(upstream_of(), EtcdSource([etcd.url], prefix))
    await discovery.start()
    try:
        await eventually(lambda: len(discovery.upstream.endpoints) == 1)
        etcd.put(f"{prefix}b", "10.0.0.2:80")
        await eventually(lambda: len(discovery.upstream.endpoints) == 2)
        (trouble,) = discovery.troubles()
        assert f"'{prefix}bad' cannot be used, so the instance is left out: it is not JSON" in trouble
        assert trouble.endswith("; correct it where it is registered")
        etcd.put(f"{prefix}bad", "10.0.0.3:80")
        await eventually(lambda: len(discovery.upstream.endpoints) == 3)
        assert [*discovery.troubles()] == []
    finally:
        await discovery.stop()


async def test_a_restart_with_another_set(own_etcd: EtcdServer, prefix: str) -> None:
    """The last set stays while etcd is away, and the new one is used when it is back."""
    own_etcd.put(f"{prefix}a", "10.0.0.1:80")
    async with listening(EtcdSource([own_etcd.url], prefix)) as heard:
        await heard.has("10.0.0.1:80")
        own_etcd.kill()
        await heard.is_lost("it does not answer")
        assert heard.addresses == ["10.0.0.1:80"]
        own_etcd.start()
        own_etcd.put(f"{prefix}b", "10.0.0.2:80")
        own_etcd.delete(f"{prefix}a")
        await heard.has("10.0.0.2:80")


async def test_an_etcd_that_was_emptied_is_listed_anew(own_etcd: EtcdServer, prefix: str, tmp_path: Path) -> None:
    """Its revisions begin again below those that are known, and what is set then is used all the same."""
    for number in range(5):
        own_etcd.put(f"{prefix}a", f"10.0.0.{number}:80")
    async with listening(EtcdSource([own_etcd.url], prefix)) as heard:
        await heard.has("10.0.0.4:80")
        own_etcd.kill()
        (tmp_path / "etcd").rename(tmp_path / "former")
        own_etcd.start()
        await heard.has()
        own_etcd.put(f"{prefix}a", "10.0.0.9:80")
        await heard.has("10.0.0.9:80")


async def test_a_silent_watch_is_opened_anew(etcd: EtcdServer, prefix: str) -> None:
    """From where it was, so nothing is missed; what was compacted meanwhile is listed again."""
    etcd.put(f"{prefix}a", "10.0.0.1:80")
    async with listening(EtcdSource([etcd.url], prefix, silence=0.1)) as heard:
        await heard.has("10.0.0.1:80")
        await heard.lives()
        etcd.put("/elsewhere", "x")
        etcd.ask("kv/compaction", revision=etcd.put("/elsewhere", "y"))
        await eventually(lambda: heard.delivered > 1, message="it was not listed again")
        etcd.put(f"{prefix}b", "10.0.0.2:80")
        await heard.has("10.0.0.1:80", "10.0.0.2:80")
        assert heard.lost == []


async def test_a_change_that_the_watch_missed_is_found(etcd: EtcdServer, prefix: str) -> None:
    """By comparing with a list now and then; it is counted as a fault of the watch."""
    etcd.put(f"{prefix}a", "10.0.0.1:80")
    deaf = DeafProxy(etcd.port)
    async with scripted_backend(deaf.serve) as port:
        source = EtcdSource([f"http://127.0.0.1:{port}"], prefix, compare=0.3, grace=0.1)
        async with listening(source) as heard:
            await heard.has("10.0.0.1:80")
            await eventually(lambda: heard.signs > 0, message="it is not watched")
            deaf.deaf = True
            etcd.put(f"{prefix}b", "10.0.0.2:80")
            await heard.has("10.0.0.1:80", "10.0.0.2:80")
            assert heard.faults == ["its watch has missed 1 change; the keys are listed again"]
            assert heard.lost == []


async def test_a_list_that_agrees_with_the_watch_is_no_fault(etcd: EtcdServer, prefix: str) -> None:
    """While instances come and go all the time."""
    async with listening(EtcdSource([etcd.url], prefix, compare=0.05, grace=1.5)) as heard:
        ends, numbers = time.monotonic() + 5.0, cycle(range(250))  # for three comparisons
        while time.monotonic() < ends:
            number = next(numbers)
            await asyncio.to_thread(etcd.put, f"{prefix}{number % 7}", f"10.0.0.{number}:80")
            await asyncio.to_thread(etcd.delete, f"{prefix}{number % 5}")
        assert (heard.faults, heard.lost) == ([], [])


async def test_the_next_url_is_asked_where_one_fails(etcd: EtcdServer, prefix: str) -> None:
    """The order is that of the configuration."""
    etcd.put(f"{prefix}a", "10.0.0.1:80")
    async with listening(EtcdSource([f"http://127.0.0.1:{free_port()}", etcd.url], prefix)) as heard:
        await heard.has("10.0.0.1:80")
        assert len(heard.lost) == 1


async def test_logging_in(own_etcd: EtcdServer, prefix: str) -> None:
    """With the user and the password of the configuration; without them, the reason is reported."""
    own_etcd.put(f"{prefix}a", "10.0.0.1:80")
    own_etcd.ask("auth/user/add", name="root", password="secret")
    own_etcd.ask("auth/role/add", name="root")
    own_etcd.ask("auth/user/grant", user="root", role="root")
    own_etcd.ask("auth/enable")
    async with listening(EtcdSource([own_etcd.url], prefix, ("root", "secret"))) as heard:
        await heard.has("10.0.0.1:80")
    async with listening(EtcdSource([own_etcd.url], prefix, ("root", "wrong"))) as heard:
        await heard.is_lost("authentication failed")
    async with listening(EtcdSource([own_etcd.url], prefix)) as heard:
        await heard.is_lost("user name is empty")


async def test_what_is_no_etcd(prefix: str) -> None:
    """It is said what is wrong, and nothing is delivered."""

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
        await writer.drain()

    async with scripted_backend(other) as port, listening(EtcdSource([f"http://127.0.0.1:{port}"], prefix)) as heard:
        await heard.is_lost("it answers 404: it needs the JSON gateway")
        assert heard.delivered == 0


async def test_a_service_whose_endpoints_are_in_etcd(etcd: EtcdServer, tmp_path: Path) -> None:
    """What is set is asked within a second, without a reload."""
    routes = f"""
services: {{stock: {{discovery: {{etcd: {{url: "{etcd.url}", prefix: /services/stock/}}}}}}}}
routes: [{{path: /x, target: stock}}]
"""
    async with named_backends("one", "two") as (one, two):
        etcd.put("/services/stock/a", f"127.0.0.1:{one}")
        with running_gateway(tmp_path, routes) as gateway:
            await shows(f"{gateway.url}/x", "one")
            etcd.put("/services/stock/a", f"127.0.0.1:{two}")
            await shows(f"{gateway.url}/x", "two")


class DeafProxy:
    """A TCP proxy that passes on nothing more of an answer that has begun, once it is set to be deaf."""

    def __init__(self, port: int) -> None:
        self.deaf = False
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun_before = not self.deaf
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._port)

        async def back() -> None:
            while piece := await theirs.read(65536):
                if not (self.deaf and watching):
                    writer.write(piece)

        watching = False
        task = asyncio.create_task(back())
        try:
            while piece := await reader.read(65536):
                watching = begun_before and (watching or b"/v3/watch" in piece)
                ours.write(piece)
        finally:
            task.cancel()
            ours.close()
