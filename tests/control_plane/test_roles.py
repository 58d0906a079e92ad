"""What a role in one environment lets a caller do and see in another one: nothing, whatever the operation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.control_plane.support import client_of, control_plane

NAMES: Final = ("boss", "viewer", "deployer", "admin")
KEYS: Final = {name: f"gw_the-key-of-{name}-for-these-tests" for name in NAMES}
AUTH: Final = "schemes: {keys: {api_key: {header: X-API-Key}}}\nconsumers:\n" + "".join(
    f"- {{name: {name}, keys: ['sha256:{sha256(key.encode()).hexdigest()}']}}\n" for name, key in KEYS.items()
)
ROLES: Final = "roles:\n- {role: admin, consumers: [boss]}\n" + "".join(
    f"- {{role: {name}, consumers: [{name}], environments: [staging]}}\n" for name in NAMES[1:]
)
OURS: Final = {"kind": "flowmaster"}
FILES: Final = {"routes.yaml": "routes: [{path: /, respond: 204}]\n"}


@dataclass
class _World:
    client: httpx2.AsyncClient
    ids: dict[str, str]  # of what is in production
    operations: list[tuple[str, str]]  # method and path of all that the API documents

    async def ask(self, caller: str, method: str, path: str, body: Any = None) -> httpx2.Response:
        """As this caller."""
        headers = {"authorization": f"Bearer {KEYS[caller]}"}
        return await self.client.request(method, f"/api/v1{path}", json=body, headers=headers)

    async def made(self, path: str, body: Any) -> dict[str, Any]:
        """What the one who may do everything has made."""
        answer = await self.ask("boss", "POST", path, body)
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[_World]:
    (tmp_path / "auth.yaml").write_text(AUTH)
    async with control_plane(tmp_path, ROLES, database_url) as plane, client_of(plane, {}) as client:
        paths = (await client.get("/api/v1/openapi.json")).json()["paths"]
        operations = [(method.upper(), path.removeprefix("/api/v1")) for path, all_ in paths.items() for method in all_]
        world = _World(client, {}, operations)
        await world.made("/environments", {"name": "staging", "displayName": "Staging"})
        production = await world.made("/environments", {"name": "production", "displayName": "Hidden production"})
        gateway = await world.made(
            "/gateways",
            {
                "name": "hidden-gateway",
                "displayName": "Hidden gateway",
                "gatewayType": "EGRESS",
                "environmentIds": [production["uuid"]],
                "adapterConfig": OURS,
            },
        )
        token = await world.made(f"/gateways/{gateway['uuid']}/tokens", {})
        join = await world.made("/join-tokens", {"environment": "production", "ttl": 60, "maxUses": 1})
        revision = await world.made("/revisions", {"files": FILES, "message": "first"})
        rollout = await world.made(f"/environments/{production['uuid']}/rollouts", {"revision": revision["digest"]})
        world.ids |= {
            "environments": production["uuid"],
            "gateways": gateway["uuid"],
            "rollouts": rollout["uuid"],
            "tokens": token["id"],
            "join-tokens": join["id"],
            "digest": revision["digest"],
        }
        yield world


def _path(template: str, ids: dict[str, str]) -> str:
    """The path of an operation, with what is in production for its parameters."""
    parts = template.strip("/").split("/")
    for index, part in enumerate(parts):
        if part.startswith("{"):
            kind = "environments" if part == "{envId}" else parts[index - 1]
            parts[index] = ids.get(kind, ids["digest"])
    return "/" + "/".join(parts)


FREE: Final = ("/revisions", "/audit", "/overview")
"""What is of no environment, or has its own tests."""


@pytest.mark.parametrize("caller", NAMES[1:])
async def test_nothing_of_another_environment_is_shown_or_changed(world: _World, caller: str) -> None:
    """Every operation that the API has is asked about what is in production by who has a role in staging only."""
    asked = 0
    for method, template in world.operations:
        path = _path(template, world.ids)
        if "{" not in template or path.startswith(FREE):
            continue
        body = {"revision": world.ids["digest"], "from": "staging"} if method in ("POST", "PUT") else None
        answer = await world.ask(caller, method, path, body)
        assert answer.status_code in (400, 403, 404), f"{method} {template}: {answer.status_code} {answer.text}"
        assert "idden" not in answer.text, f"{method} {template}: {answer.text}"
        asked += 1
    assert asked > 25


@pytest.mark.parametrize("caller", NAMES[1:])
async def test_lists_leave_out_what_is_in_another_environment(world: _World, caller: str) -> None:
    """And do not count it."""
    for method, template in world.operations:
        if method == "GET" and "{" not in template and not template.startswith(("/audit", "/revisions")):
            answer = await world.ask(caller, method, template)
            assert answer.status_code == 200, f"{template}: {answer.text}"
            for hidden in ("idden", world.ids["gateways"], world.ids["environments"], world.ids["join-tokens"]):
                assert hidden not in answer.text, f"{template}: {answer.text}"
            if template != "/environments":
                assert answer.json().get("total", 0) == 0, template


async def test_a_role_lets_do_what_it_says_in_its_own_environment(world: _World) -> None:
    """A viewer looks, a deployer rolls out, an admin has gateways."""
    [staging] = (await world.ask("viewer", "GET", "/environments")).json()["environments"]
    own = f"/environments/{staging['uuid']}"
    gateway = {
        "name": "own",
        "displayName": "Own",
        "gatewayType": "EGRESS",
        "environmentIds": [staging["uuid"]],
        "adapterConfig": OURS,
    }
    begin = {"revision": world.ids["digest"]}
    for caller, may in (("viewer", (403, 403, 403)), ("deployer", (200, 201, 403)), ("admin", (200, 409, 201))):
        pushed = await world.ask(caller, "POST", "/revisions", {"files": FILES, "message": caller})
        begun = await world.ask(caller, "POST", f"{own}/rollouts", begin)
        made = await world.ask(caller, "POST", "/gateways", gateway)
        assert (pushed.status_code, begun.status_code, made.status_code) == may, caller
    assert (await world.ask("admin", "POST", "/environments", {"name": "a", "displayName": "A"})).status_code == 403


async def test_who_is_in_one_environment_moves_no_gateway_into_or_out_of_another(world: _World) -> None:
    """Neither by making one that is in both, nor by taking one out of its own."""
    [staging] = (await world.ask("admin", "GET", "/environments")).json()["environments"]
    both = {
        "name": "both",
        "displayName": "Both",
        "gatewayType": "EGRESS",
        "environmentIds": [staging["uuid"], world.ids["environments"]],
        "adapterConfig": OURS,
    }
    assert (await world.ask("admin", "POST", "/gateways", both)).status_code in (403, 404)
    shared = await world.made("/gateways", both)
    for method, path in (
        ("DELETE", f"/gateways/{shared['uuid']}"),
        ("DELETE", f"/gateways/{shared['uuid']}/environments/{world.ids['environments']}"),
        ("POST", f"/gateways/{shared['uuid']}/tokens"),
        ("PUT", f"/gateways/{shared['uuid']}"),
    ):
        answer = await world.ask("admin", method, path, {"displayName": "Mine"} if method == "PUT" else None)
        assert answer.status_code in (403, 404), f"{method} {path}: {answer.text}"
    seen = (await world.ask("viewer", "GET", f"/gateways/{shared['uuid']}")).json()
    assert [each["name"] for each in seen["environments"]] == ["staging"]
