"""How far a source is trusted, and what is reported of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import httpx2
import pytest

from gateway.registry.allowed import AllowedNetworks
from gateway.registry.discovery import Caution, Discovery
from gateway.registry.source import Instances, Sink, SourceLost
from gateway.upstream.member import Address, Member
from tests.lifecycle.support import admin_url
from tests.registry.support import shows
from tests.support import eventually, running_gateway
from tests.upstream.test_service import named_backends, upstream_of

A, B = (Member(Address(f"10.0.0.{number}", 80)) for number in (1, 2))


async def test_changes_are_logged_by_name(caplog: pytest.LogCaptureFixture) -> None:
    """What is new and what is gone, of many the first five."""
    many = [Member(Address("10.0.0.9", port)) for port in range(1, 8)]
    with caplog.at_level(logging.INFO, "gateway.registry"):
        async with discovering(Caution(hold_empty=0)) as (discovery, source):
            for changes, members in enumerate(([A, B], [B], [replace(B, weight=2)], many, []), 1):
                source.say(*members)
                await eventually(lambda: discovery.changes == changes)  # noqa: B023  until then
    assert [line.partition("(a test): ")[2] for line in caplog.messages] == [
        "new: 10.0.0.1:80, 10.0.0.2:80",
        "removed: 10.0.0.1:80",
        "none is new or removed",
        "new: 10.0.0.9:1, 10.0.0.9:2, 10.0.0.9:3, 10.0.0.9:4, 10.0.0.9:5, 2 more; removed: 10.0.0.2:80",
        "removed: 10.0.0.9:1, 10.0.0.9:2, 10.0.0.9:3, 10.0.0.9:4, 10.0.0.9:5, 2 more",
    ]


class ScriptedSource:
    """A source that delivers what a test says."""

    place = "a test"

    def __init__(self) -> None:
        self._said: asyncio.Queue[Sequence[Member] | str] = asyncio.Queue()
        self.taken = 0

    def say(self, *members: Member) -> None:
        self._said.put_nowait(members)

    def lose(self, reason: str) -> None:
        self._said.put_nowait(reason)

    async def watch(self, sink: Sink) -> None:
        while True:
            said = await self._said.get()
            if isinstance(said, str):
                raise SourceLost(said)
            sink.deliver(Instances(said, "7", time.perf_counter()))
            self.taken += 1


@contextlib.asynccontextmanager
async def discovering(caution: Caution | None = None) -> AsyncIterator[tuple[Discovery, ScriptedSource]]:
    source = ScriptedSource()
    discovery = Discovery(upstream_of(), source, caution)
    await discovery.start()
    try:
        yield discovery, source
    finally:
        await discovery.stop()


async def has(discovery: Discovery, *members: Member) -> None:
    await eventually(lambda: {each.member for each in discovery.upstream.endpoints} == set(members))


def trouble(discovery: Discovery) -> str:
    return "; ".join(discovery.troubles())


async def test_an_empty_set_is_held_back(caplog: pytest.LogCaptureFixture) -> None:
    """For the configured time, with a line in the log; one that is filled again meanwhile has never been empty."""
    async with discovering(Caution(hold_empty=60)) as (discovery, source):
        source.say(A, B)
        await has(discovery, A, B)
        source.say()
        await eventually(lambda: "has no instances any more; the last ones stay" in trouble(discovery))
        source.say(A)
        await has(discovery, A)
        await eventually(lambda: not trouble(discovery))
        remedy = "start one, or see why none is listed"
        assert f"a test says that s has no instances any more; the last ones stay for 60 s; {remedy}" in caplog.messages
    async with discovering(Caution(hold_empty=0.3)) as (discovery, source):
        source.say(A)
        await has(discovery, A)
        began = time.perf_counter()
        source.say()
        source.say()
        await has(discovery)
        assert time.perf_counter() - began >= 0.3
        assert discovery.use.count == 1  # the time for which it was held back is none of its use
        await eventually(lambda: "has no endpoints: a test says that there are none" in trouble(discovery))


async def test_a_source_that_is_lost_keeps_the_set() -> None:
    """It is stale then, and says since when."""
    async with discovering() as (discovery, source):
        assert "a test has not answered yet; see that it runs, and can be reached" in trouble(discovery)
        source.say(A)
        await has(discovery, A)
        source.lose("it is gone")
        await eventually(
            lambda: bool(re.search(r"are stale: a test answered \d+ s ago: it is gone", trouble(discovery)))
        )
        await has(discovery, A)
        source.say(B)
        await has(discovery, B)
        assert not trouble(discovery)


async def test_only_allowed_networks_are_used(caplog: pytest.LogCaptureFixture) -> None:
    """What is outside is counted and named; a name instead of an address may lead anywhere, and is outside, too."""
    allowed = AllowedNetworks([ip_network("10.0.0.0/31"), ip_network("::1/128")])
    name, local = Member(Address("metadata.test", 80)), Member(Address("::1", 80))
    async with discovering(Caution(allowed=allowed)) as (discovery, source):
        source.say(A, B, name, local)
        await has(discovery, A, local)
        expected = "2 instances of s (10.0.0.2:80, metadata.test:80) not used: outside of allowed_networks"
        assert (discovery.dropped, trouble(discovery)) == (2, expected)
        assert expected in caplog.text
        source.say(A)
        await has(discovery, A)
        assert not discovery.dropped


async def test_the_last_of_several_sets_counts() -> None:
    """Those that come at once are one change, and a set that is the same is none."""
    began = time.perf_counter()
    async with discovering() as (discovery, source):
        source.say(A)
        source.say(A, B)
        source.say(B)
        await has(discovery, B)
        assert (discovery.changes, discovery.revision) == (1, "7")
        source.say(Member(B.address))
        await eventually(lambda: source.taken == 4)
        source.say(A)
        await has(discovery, A)
        assert discovery.changes == 2
        assert 0 < discovery.use.total < 2 * (time.perf_counter() - began)  # of two changes


async def test_a_gateway_is_ready_when_its_sources_have_answered(tmp_path: Path) -> None:
    """Before that it serves what it can; metrics have each service."""
    routes = """
    services: {legacy: {discovery: {file: legacy.yaml, first_answer: 60s}}}
    routes: [{path: /x, target: legacy}]
    """
    async with named_backends("one") as (port,):
        with running_gateway(tmp_path, routes, ready=False) as gateway:
            unready = httpx2.get(f"{gateway.url}/health/ready")
            assert (unready.status_code, unready.json()["status"]) == (503, "waiting for the instances of services")
            assert httpx2.get(f"{gateway.url}/x").status_code == 503
            (gateway.directory / "legacy.yaml").write_text(f"['127.0.0.1:{port}']")
            await shows(f"{gateway.url}/x", "one")
            await shows(f"{gateway.url}/health/ready", '"ok"')
            await shows(admin_url(gateway, "/metrics"), 'gateway_discovery_endpoints{upstream="legacy"} 1.0')
            metrics = httpx2.get(admin_url(gateway, "/metrics")).text
            assert 'gateway_discovery_use_seconds_bucket{upstream="legacy",le="1.0"} 1.0' in metrics
            assert 'gateway_discovery_stale{upstream="legacy"} 0.0' in metrics


async def test_a_new_service_has_its_instances_when_it_is_served(tmp_path: Path) -> None:
    """A reload waits for first answers of sources, while the former configuration serves; not for one that fails."""
    before = "routes: [{path: /x, target: '127.0.0.1:1'}]"
    routes = """
    services:
      legacy: {discovery: {file: legacy.yaml}}
      missing: {discovery: {file: missing.yaml, first_answer: 1h}}
    routes: [{path: /x, target: legacy}, {path: /y, target: missing}]
    """
    async with named_backends("one") as (port,):
        with running_gateway(tmp_path, before) as gateway:
            (gateway.directory / "legacy.yaml").write_text(f"['127.0.0.1:{port}']")
            gateway.write(routes)
            seen = set()
            async with httpx2.AsyncClient() as client:
                while "one" not in seen:
                    seen.add((await client.get(f"{gateway.url}/x")).text)
            assert not any("has no endpoint" in text for text in seen)


async def test_a_source_that_answers_and_fails_at_once_is_asked_less_often() -> None:
    """One that may list but not watch is not asked several times a second for ever."""

    class Listing(ScriptedSource):
        async def watch(self, sink: Sink) -> None:
            self.taken += 1
            sink.deliver(Instances([A], "1"))
            raise SourceLost("watching is forbidden")

    source = Listing()
    discovery = Discovery(upstream_of(), source)
    await discovery.start()
    await asyncio.sleep(2.0)
    assert source.taken <= 6
    await eventually(lambda: source.taken >= 3)
    await discovery.stop()


async def test_many_faults_are_counted_and_not_all_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A registry full of junk does not flood the log."""
    async with discovering() as (discovery, _):
        for number in range(1000):
            discovery.fault(f"the value of key {number} cannot be used")
        assert discovery.faults == 1000
    assert 1 <= caplog.text.count("cannot be used") < 100


async def test_what_a_registry_says_is_one_line_without_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    """In the log and on terminals: no other that answers in its place writes lines of the log, or clears a screen."""
    async with discovering() as (discovery, source):
        source.lose("it answers 500: \x1b[2J\n2026-01-01 all is well")
        await eventually(lambda: "it answers 500: ?[2J 2026-01-01 all is well" in trouble(discovery))
        discovery.fault("the key \x9b31m\r\nx")
    assert "500: ?[2J 2026" in caplog.text
    assert "the key ?31m x" in caplog.text
