"""The map: which routes lead where, and how that is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.admin.support import short_turns
from tests.resilience.support import InProcess, running

ROUTES = """\
services:
  good: {endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}
  other: {endpoints: ["127.0.0.1:3"]}
  empty: {discovery: {file: nowhere.yaml, first_answer: 0.1s}}
routes:
- {id: simple, path: /simple/*, target: good, methods: [GET], host: a.example}
- {id: lost, path: /lost, target: empty}
- {id: divided, path: /divided, target: good, split: [{target: other, weight: 20}, {target: good, weight: 80}]}
- {id: guarded, path: /guarded, target: good, breaker: {minimum: 5}, hedge: {after: 1s}}
- {id: saved, path: /saved, target: good, fallback: {target: other}, mirror: {target: empty}}
- {id: moved, path: /moved, redirect: /simple/}
- {id: fixed, path: /fixed, respond: 204}
- {id: ours, path: /ours, target: "asgi:tests.lifecycle.apps:one"}
"""


async def _map(gateway: InProcess, query: str = "") -> dict[str, Any]:
    gateway_map = (await gateway.admin.get(f"/map{query}")).json()
    return {row["route"]: row for row in gateway_map}


async def _feedback(gateway: InProcess, instance: str, status: str) -> None:
    body = {"service": "good", "instance": instance, "status": status}
    assert (await gateway.admin.post("/health-feedback", json=body)).status_code == 200
    await asyncio.sleep(1.05)  # for which a map is shown again


async def test_each_route_shows_where_it_leads(tmp_path: Path) -> None:
    """Through splits, breakers, hedges, fallbacks and mirrors; the worst routes first."""
    async with running(tmp_path, ROUTES) as gateway:
        rows = await _map(gateway)
        assert next(iter(rows)) == "lost"
        assert (rows["lost"]["state"], rows["lost"]["reason"]) == ("down", "it has no endpoints")
        ways = {
            name: [(way["role"], way["service"] or way["name"], way["weight"]) for way in row["ways"]]
            for name, row in rows.items()
        }
        assert ways["simple"] == [("target", "good", None)]
        assert ways["divided"] == [("split", "other", 20), ("split", "good", 80)]
        assert ways["guarded"] == [("target", "good", None)]
        assert ways["saved"] == [
            ("target", "good", None),
            ("fallback", "other", None),
            ("mirror", "mirror:empty", None),
        ]
        assert ways["ours"] == [("target", "asgi:tests.lifecycle.apps:one", None)]
        assert (rows["moved"]["answers"], rows["fixed"]["answers"]) == ("redirect", "answers 204")
        assert (rows["simple"]["methods"], rows["simple"]["hosts"]) == (["GET"], ["a.example"])


async def test_nothing_is_up_while_a_part_of_it_fails(tmp_path: Path) -> None:
    """One of two endpoints: degraded. Both: down, also where the other service of a split is up: degraded."""
    async with running(tmp_path, ROUTES) as gateway:
        await _feedback(gateway, "127.0.0.1:1", "failing")
        rows = await _map(gateway)
        assert rows["simple"]["state"] == rows["divided"]["state"] == "degraded"
        assert rows["simple"]["ways"][0] | {"usable": 1, "of": 2} == rows["simple"]["ways"][0]
        await _feedback(gateway, "127.0.0.1:2", "failing")
        rows = await _map(gateway)
        assert (rows["simple"]["state"], rows["divided"]["state"]) == ("down", "degraded")


async def test_an_open_breaker_is_shown(tmp_path: Path) -> None:
    """The endpoints are up, but the route gets none of them."""
    async with running(tmp_path, ROUTES) as gateway:
        await gateway.admin.put("/breakers/guarded", json={"state": "open", "reason": "migration"})
        rows = await _map(gateway)
        assert (rows["guarded"]["state"], rows["simple"]["state"]) == ("down", "up")
        assert rows["guarded"]["reason"] == "the breaker is open: migration"


async def test_ten_thousand_routes_are_found_and_turned_like_pages(tmp_path: Path) -> None:
    """A page of fifty, how many there are, and a search; nothing else of the gateway waits longer than a moment."""
    routes = "".join(f"- {{id: r{n}, path: /r{n}/*, target: s{n % 500}}}\n" for n in range(10_000))
    services = "".join(f'  s{n}: {{endpoints: ["127.0.0.1:{n + 1}"]}}\n' for n in range(500))
    async with running(tmp_path, f"services:\n{services}routes:\n{routes}") as gateway:
        async with short_turns(0.1):
            answer = await gateway.admin.get("/map")
        assert len(answer.json()) == 50
        assert answer.headers["x-total-count"] == "10000"
        assert (answer.headers["x-down"], answer.headers["x-degraded"]) == ("0", "0")
        found = await gateway.admin.get("/map?search=R9999&state=up")
        assert [row["route"] for row in found.json()] == ["r9999"]
        page = await gateway.admin.get("/map?offset=9990&limit=50")
        assert len(page.json()) == 10
        assert (await gateway.admin.get("/map?state=green")).status_code == 400
