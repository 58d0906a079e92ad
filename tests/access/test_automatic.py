"""Clients whose authentication fails again and again are banned, each time for longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.access import runtime_entries as module
from gateway.access.entries import Entry
from gateway.access.runtime_entries import BlocklistFull, RuntimeEntries
from gateway.access.store import EntryFile
from gateway.config.models.blocklist import AutomaticBans
from gateway.http import Identity
from tests.access.support import guarded

SETTINGS = """
blocklist:
  automatic: {failures: 3, window: 60s, ban: 10s, longest: 25s, exempt: [192.0.2.0/24]%s}
"""


class Clock:
    """Time that goes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def live(tmp_path: Path, clock: Clock) -> AsyncIterator[RuntimeEntries]:
    blocklist = RuntimeEntries(EntryFile(tmp_path / "x.sqlite"), None, clock)
    await blocklist.start()
    yield blocklist
    await blocklist.stop()


def _ban(live: RuntimeEntries, value: str = "10.0.0.1/32", settings: AutomaticBans | None = None) -> float | None:
    """Fail as often as it takes; the length of the ban."""
    settings = settings or AutomaticBans(failures=3, window=60, ban=10, longest=25)
    for _ in range(3):
        live.failed(("network", value), settings)
    found = [entry for entry in live.entries() if entry.value == value]
    return found[0].until if found else None


async def test_an_address_is_banned_after_its_failures(tmp_path: Path) -> None:
    """And no other one; what it sends then does not reach the authentication."""
    async with guarded(SETTINGS % "", tmp_path) as stage:
        stage.fail()
        assert [await stage.status("10.0.0.1") for _ in range(4)] == [401, 401, 401, 403]
        assert stage.answers.asked == 3
        assert await stage.status("10.0.0.2") == 401
        assert [entry.value for entry in stage.live.entries()] == ["10.0.0.1/32"]


async def test_ipv6_is_banned_by_its_network(tmp_path: Path) -> None:
    """A /64 network counts as one client."""
    async with guarded(SETTINGS % "", tmp_path) as stage:
        stage.fail()
        assert [await stage.status(f"2001:db8::{number}") for number in range(1, 5)] == [401, 401, 401, 403]
        assert await stage.status("2001:db8:0:1::1") == 401


async def test_proxies_and_exempt_networks_are_never_banned(tmp_path: Path) -> None:
    """However often clients behind them fail, and also if there is an entry for them."""
    async with guarded(SETTINGS % "", tmp_path, auth="trusted_proxies: [10.9.0.0/16]") as stage:
        stage.fail()
        for client in ("10.9.0.1", "192.0.2.7", "unknown"):
            assert {await stage.status(client) for _ in range(10)} == {401}
        assert stage.live.entries() == []
        stage.live.add(Entry("network", "10.9.0.1/32", source="automatic"))
        assert await stage.status("10.9.0.1") == 401


async def test_a_consumer_is_banned_wherever_it_comes_from(tmp_path: Path) -> None:
    """Wrong passwords from many addresses; then not even the right one shows that it is right."""
    async with guarded(SETTINGS % ", per: [consumer]", tmp_path) as stage:
        stage.fail(claimed="acme")
        assert [await stage.status(f"10.0.0.{number}") for number in range(4)] == [401, 401, 403, 403]
        stage.recognise("acme")
        assert await stage.status("10.0.1.1") == 403
        stage.recognise("other")
        assert await stage.status("10.0.0.1") == 200


async def test_a_consumer_is_banned_who_tries_what_it_may_not(tmp_path: Path) -> None:
    """Refusals of an authenticated consumer count for the consumer, and not for its address."""
    async with guarded(SETTINGS % ", per: [address, consumer]", tmp_path) as stage:
        stage.forbid("acme")
        assert [await stage.status("10.0.0.1") for _ in range(3)] == [403, 403, 403]
        assert [entry.key for entry in stage.live.entries()] == [("consumer", "acme")]
        stage.recognise("other")
        assert await stage.status("10.0.0.1") == 200


async def test_automatic_bans_can_be_watched_first(tmp_path: Path) -> None:
    """`mode: shadow` makes the entries, and refuses no request."""
    async with guarded(SETTINGS % ", mode: shadow", tmp_path) as stage:
        stage.fail()
        assert {await stage.status("10.0.0.1") for _ in range(6)} == {401}
        assert await stage.decide("10.0.0.1") == (401, [("blocklist:network", "shadow-deny")])


async def test_without_automatic_no_client_is_banned(tmp_path: Path) -> None:
    """It is off unless it is asked for."""
    async with guarded("", tmp_path) as stage:
        stage.fail(claimed="acme")
        assert {await stage.status("10.0.0.1") for _ in range(200)} == {401}


async def test_a_success_is_no_failure(tmp_path: Path) -> None:
    """Authenticated requests are not counted."""
    async with guarded(SETTINGS % "", tmp_path) as stage:
        stage.answers.identity = Identity("acme", "keys")
        assert {await stage.status("10.0.0.1") for _ in range(20)} == {200}
        assert stage.live.entries() == []


async def test_bans_grow_and_are_forgotten(live: RuntimeEntries, clock: Clock) -> None:
    """10 s, 20 s, then the cap of 25 s; so long after the last one, 10 s again."""
    for length in (10, 20, 25, 25):
        assert _ban(live) == clock.now + length
        clock.now += length
    clock.now += 26
    await live.settle()
    assert _ban(live) == clock.now + 10


async def test_lifting_forgives(live: RuntimeEntries, clock: Clock) -> None:
    """Who was let in again by hand begins anew."""
    _ban(live)
    assert live.lift(("network", "10.0.0.1/32"))
    assert not live.lift(("network", "10.0.0.1/32"))
    assert live.entries() == []
    assert _ban(live) == clock.now + 10


async def test_the_table_is_bounded(live: RuntimeEntries, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many bans those that end soonest are dropped; entries made by operators stay."""
    monkeypatch.setattr(module, "CAPACITY", 100)
    monkeypatch.setattr(module, "DROPPED_AT_A_TIME", 10)
    live.add(Entry("network", "192.0.2.1/32", source="admin"))
    for number in range(250):
        clock.now += 0.001
        _ban(live, f"10.0.{number}.0/32")
    values = {entry.value for entry in live.entries()}
    assert 90 <= len(values) <= 100
    assert {"192.0.2.1/32", "10.0.249.0/32"} <= values
    assert "10.0.0.0/32" not in values


async def test_patterns_are_bounded(live: RuntimeEntries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs every request that has a new path, so that there is an end to them; one more network is fine."""
    monkeypatch.setattr(module, "MAX_PATTERNS", 2)
    for path in ("/a*", "/b*", "/a*"):
        live.add(Entry("path", path, source="admin"))
    with pytest.raises(BlocklistFull):
        live.add(Entry("user_agent", "*x*", source="admin"))
    live.add(Entry("network", "192.0.2.1/32", source="admin"))


async def test_a_list_full_of_wishes_is_full(live: RuntimeEntries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is added, and nothing is lost."""
    monkeypatch.setattr(module, "CAPACITY", 2)
    for number in range(2):
        live.add(Entry("consumer", f"c{number}", source="admin"))
    with pytest.raises(BlocklistFull):
        live.add(Entry("consumer", "c2", source="admin"))
    assert _ban(live) is None
    assert len(live.entries()) == 2
