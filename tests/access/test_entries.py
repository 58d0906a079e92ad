"""Whom the entries of middleware.yaml block."""

from __future__ import annotations

import time
import timeit
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.access.entries import Entry, EntryTable, canonical, from_json
from gateway.config.problems import ConfigError
from gateway.http import Identity
from gateway.middleware import blocklist
from tests.access.support import context, guarded, request

EVERYTHING = """
blocklist:
  entries:
  - 203.0.113.0/24
  - {network: "2001:db8::/32", reason: scraping}
  - {consumer: mallory}
  - {user_agent: "*SQLmap*"}
  - {path: "*/.git/*"}
  - {network: 192.0.2.1, until: 2001-01-01}
"""


async def test_entries_block(tmp_path: Path) -> None:
    """Addresses, also in IPv6 clothes, user agents, paths and consumers; no other client, and no expired entry."""
    async with guarded(EVERYTHING, tmp_path) as stage:
        blocked = ["203.0.113.9", "::ffff:203.0.113.9", "2001:db8::1"]
        assert [await stage.status(client) for client in blocked] == [403, 403, 403]
        assert await stage.status(agent="curl sqlMAP 1") == 403
        assert await stage.status(path="/x/.GIT/config") == 403
        assert stage.answers.asked == 0
        assert [await stage.status(client) for client in ("203.0.114.9", "192.0.2.1", "unknown")] == [200, 200, 200]
        stage.recognise("mallory")
        assert await stage.decide("198.51.100.1") == (403, [("blocklist:consumer", "deny")])
        stage.recognise("mallory2")
        assert await stage.status() == 200


async def test_shadow_mode_only_reports(tmp_path: Path) -> None:
    """What would be refused is recorded, and passes."""
    async with guarded(EVERYTHING + "  mode: shadow\n", tmp_path) as stage:
        stage.recognise("mallory")
        shadow = [("blocklist:network", "shadow-deny"), ("blocklist:consumer", "shadow-deny")]
        assert await stage.decide("203.0.113.9") == (200, shadow)


async def test_the_client_does_not_learn_why(tmp_path: Path) -> None:
    """The reason is for the operator: it is in the decision, and not in the answer."""
    async with guarded(EVERYTHING, tmp_path) as stage:
        exchange = request("2001:db8::1")
        with pytest.raises(Exception, match="this client is blocked") as caught:
            await stage.handler(exchange)
        assert "scraping" not in str(caught.value)
        assert exchange.decisions[-1].reason == "network 2001:db8::/32 is blocked (file): scraping"


async def test_explain_names_the_entry(tmp_path: Path) -> None:
    """Both parts say which entry is about a request, without counting or refusing anything."""
    built = context(EVERYTHING, tmp_path)
    route = built.configuration.routes.routes[0]
    outer, inner = blocklist.for_route(built, route), blocklist.consumers_for_route(built, route)
    assert outer is not None
    assert inner is not None
    decision = await outer.explain(request("203.0.113.9"))
    assert decision is not None
    assert (decision.rule, decision.verdict) == ("blocklist:network", "deny")
    exchange = request("198.51.100.1")
    assert await outer.explain(exchange) is None
    exchange.identity = Identity("mallory", "keys")
    decision = await inner.explain(exchange)
    assert decision is not None
    assert decision.reason == "consumer mallory is blocked (file)"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{reason: x}", "exactly one of network, consumer, user_agent and path is needed"),
        ("{network: 10.0.0.1, consumer: x}", "exactly one of"),
        ("10.0.0.1/8", "bits set beyond the prefix length"),
        ("{user_agent: '**'}", "would block every client"),
        ("{path: admin}", "a path begins with /"),
    ],
)
def test_entries_that_mean_nothing_are_refused(entry: str, message: str, tmp_path: Path) -> None:
    """With what is wrong, and where."""
    with pytest.raises(ConfigError) as caught:
        context(f"blocklist:\n  entries:\n  - {entry}\n", tmp_path)
    assert message in str(caught.value)
    assert "middleware.yaml:3:" in str(caught.value)


def test_ten_thousand_networks_cost_the_same_as_one() -> None:
    """Also for addresses that were never asked for before."""

    def seconds(entries: int) -> float:
        networks = ip_network("10.0.0.0/8").subnets(new_prefix=22)
        table = EntryTable(Entry("network", str(next(networks))) for _ in range(entries))
        clients = [f"172.16.{number // 250}.{number % 250}" for number in range(4000)]
        return min(
            timeit.repeat(lambda: [list(table.about(client, [b""], ["/"])) for client in clients], number=1, repeat=5)
        )

    assert seconds(10_000) < 3 * seconds(1)


def test_entries_survive_their_store() -> None:
    """What is read is what was written, and what is no entry is refused."""
    entry = Entry("network", "10.0.0.0/8", "why", time.time(), "automatic", 1.5, 3, False, 7.5)
    assert from_json(entry.to_json()) == entry
    for text in (b"[]", b"{}", b'{"kind":"x","value":"y"}', b'{"kind":"network","value":"10.0.0.1/8"}', b"nonsense"):
        with pytest.raises(ValueError, match=r"."):
            from_json(text)


def test_a_path_is_kept_in_the_form_in_which_paths_are_compared() -> None:
    """However it is escaped, also in an entry that was stored before there was one form."""
    assert canonical("path", "/Users%3aDelete*") == canonical("path", "/users:delete*") == "/users:delete*"
    assert from_json(Entry("path", "/users%3adelete").to_json()).value == "/users:delete"


def test_an_escaped_asterisk_is_no_wildcard() -> None:
    """`%2A` would be `*`, which stands for any text: such an entry is refused, not made one for everybody."""
    for value in ("/%2A", "/a%2ab/*"):
        with pytest.raises(ValueError, match="%2A"):
            canonical("path", value)
