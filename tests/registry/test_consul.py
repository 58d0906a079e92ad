"""Instances in Consul, by a stand-in for its agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.registry.consul import ConsulQuery, ConsulSource
from gateway.upstream.member import Address, Member
from tests.registry.fake_consul import FakeConsul, entry
from tests.registry.support import Heard, listening, shows
from tests.support import eventually, free_port, running_gateway, scripted_backend
from tests.upstream.test_service import named_backends

ONE, TWO = entry("10.0.0.1", 80), entry("10.0.0.2", 80)


@asynccontextmanager
async def heard_of(consul: FakeConsul, wait: int = 30, **more: str) -> AsyncIterator[Heard]:
    """What a gateway hears of the service `mail`."""
    async with scripted_backend(consul.serve) as port:
        query = replace(ConsulQuery(f"http://127.0.0.1:{port}", "mail"), **more)  # type: ignore[arg-type]
        async with listening(ConsulSource(query, wait)) as heard:
            yield heard


async def test_instances_come_and_go() -> None:
    """Long before a query that waits for a change would have ended without one."""
    consul = FakeConsul([ONE])
    async with heard_of(consul) as heard:
        await heard.has("10.0.0.1:80")
        consul.change(ONE, TWO)
        await heard.has("10.0.0.1:80", "10.0.0.2:80")
        consul.change()
        await heard.has()
        consul.change(TWO)
        await heard.has("10.0.0.2:80")
        assert (heard.lost, heard.faults) == ([], [])
    assert consul.queries[0] == {"stale": ""}
    assert consul.queries[1] == {"stale": "", "index": "10", "wait": "30s"}


@pytest.mark.parametrize(
    ("said", "member"),
    [
        (entry("", 80, node="10.0.0.9"), Member(Address("10.0.0.9", 80))),
        (entry("a", 80, zone="z", weights={"Passing": 5, "Warning": 2}), Member(Address("a", 80), 5, "z")),
        (entry("a", 80, checks={"http": "warning"}, weights={"Passing": 5, "Warning": 2}), Member(Address("a", 80), 2)),
        (
            entry("a", 80, checks={"http": "critical"}),
            Member(Address("a", 80), up=False, reason="its check 'http' is critical"),
        ),
        (
            entry("a", 80, checks={"http": "passing", "serfHealth": "critical"}),
            Member(Address("a", 80), up=False, reason="its check 'serfHealth' is critical"),
        ),
        (
            entry("a", 80, checks={"http": "odd\x1b[2J\nline"}),
            Member(Address("a", 80), up=False, reason="its check 'http' is odd?[2J line"),
        ),
    ],
)
async def test_what_is_said_of_an_instance(said: dict[str, object], member: Member) -> None:
    """The worst of the checks of the instance and its node counts; the weight is that of its state."""
    async with heard_of(FakeConsul([said])) as heard:
        await eventually(lambda: heard.members == [member], message=str(heard.members))


async def test_an_answer_without_a_change() -> None:
    """It delivers nothing, and however many come, queries keep their distance."""
    consul = FakeConsul([ONE])
    async with heard_of(consul) as heard:
        await heard.has("10.0.0.1:80")
        before = len(consul.queries)
        began = asyncio.get_running_loop().time()
        while (passed := asyncio.get_running_loop().time() - began) < 1.0 or len(consul.queries) - before < 2:
            assert passed < 30
            consul.wake()
            await asyncio.sleep(0.005)
        assert len(consul.queries) - before <= 12 * max(1.0, passed)
        assert heard.delivered == 1
        assert heard.signs > 0


async def test_a_query_that_ends_without_a_change() -> None:
    """It is a sign of life, and asked again with the same index."""
    consul = FakeConsul([ONE])
    async with heard_of(consul, wait=1) as heard:
        await heard.has("10.0.0.1:80")
        await heard.lives()
        await heard.lives()
        assert [query.get("index") for query in consul.queries[:3]] == [None, "10", "10"]


async def test_an_index_that_goes_back() -> None:
    """As after a restore: the next query begins again, and waits from there."""
    consul = FakeConsul([ONE], index=500)
    async with heard_of(consul) as heard:
        await heard.has("10.0.0.1:80")
        await eventually(lambda: len(consul.queries) == 2)
        consul.change(TWO, index=3)
        await heard.has("10.0.0.2:80")
        await eventually(lambda: len(consul.queries) == 4)
        assert [query.get("index") for query in consul.queries] == [None, "500", None, "3"]


async def test_an_index_of_zero() -> None:
    """It counts as 1, so that queries wait."""
    consul = FakeConsul([ONE], index=0)
    async with heard_of(consul) as heard:
        await heard.has("10.0.0.1:80")
        await eventually(lambda: len(consul.queries) > 1)
        assert consul.queries[1]["index"] == "1"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"X-Consul-KnownLeader": "false"}, "it has no leader"),
        ({"X-Consul-LastContact": "61000"}, "has not heard of the leader for 61 s"),
        ({"X-Consul-Index": ""}, "it answers without an index"),
        ({"X-Consul-Index": "9" * 5000}, "it answers without an index"),
    ],
)
async def test_answers_that_cannot_be_right(headers: dict[str, str], reason: str) -> None:
    """The last set stays, as stale, until there is a better one."""
    consul = FakeConsul([ONE])
    async with heard_of(consul) as heard:
        await heard.has("10.0.0.1:80")
        consul.headers = headers
        consul.change(TWO)
        await heard.is_lost(reason)
        assert heard.addresses == ["10.0.0.1:80"]
        consul.headers = {}
        await heard.has("10.0.0.2:80")


async def test_the_token_and_the_tag() -> None:
    """Both are sent; without the token, the reason is reported."""
    consul = FakeConsul([entry("10.0.0.1", 80, tags=["v1"]), entry("10.0.0.2", 80, tags=["v2"])], token="secret")
    async with heard_of(consul, token="secret", tag="v2", datacenter="dc2") as heard:
        await heard.has("10.0.0.2:80")
        assert consul.queries[0] == {"tag": "v2", "dc": "dc2", "stale": ""}
    async with heard_of(consul) as heard:
        await heard.is_lost("it answers 403: Permission denied")


async def test_an_instance_that_cannot_be_used_costs_no_other() -> None:
    """It is left out, and counted once."""
    consul = FakeConsul([entry("10.0.0.1", 0), TWO])
    async with heard_of(consul) as heard:
        await heard.has("10.0.0.2:80")
        consul.change(entry("10.0.0.1", 0), TWO, ONE)
        await heard.has("10.0.0.1:80", "10.0.0.2:80")
        (fault,) = heard.faults
        assert "the instance 'mail-10.0.0.1-0' is left out: port is missing" in fault


async def test_an_agent_that_is_away() -> None:
    """The last set stays until it is back, with another one."""
    consul, port = FakeConsul([ONE]), free_port()
    server = await asyncio.start_server(consul.serve, "127.0.0.1", port)
    async with listening(ConsulSource(ConsulQuery(f"http://127.0.0.1:{port}", "mail"), 1)) as heard:
        await heard.has("10.0.0.1:80")
        server.close()
        consul.headers = {"Connection": "close"}
        await heard.is_lost("it does not answer")
        assert heard.addresses == ["10.0.0.1:80"]
        consul.change(TWO)
        server = await asyncio.start_server(consul.serve, "127.0.0.1", port)
        await heard.has("10.0.0.2:80")
    server.close()


async def test_a_service_whose_endpoints_are_in_consul(tmp_path: Path) -> None:
    """As the configuration has it."""
    async with named_backends("one", "two") as (one, two):
        consul = FakeConsul([entry("127.0.0.1", one, tags=["v2"]), entry("127.0.0.1", two)])
        async with scripted_backend(consul.serve) as port:
            discovery = f"{{consul: {{url: 'http://127.0.0.1:{port}', service: mail, tag: v2}}}}"
            routes = f"services: {{mail: {{discovery: {discovery}}}}}\nroutes: [{{path: /x, target: mail}}]"
            with running_gateway(tmp_path, routes, ready=False) as gateway:
                await shows(f"{gateway.url}/x", "one")
