"""MCP endpoints in a whole gateway: their routes, whose keys they take, and what is reported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from tests.mcp.support import McpStub, serving
from tests.resilience.support import InProcess, running

KEY = "a-key-of-ann-0123456789"
AUTH = f"""
schemes: {{key: {{api_key: {{header: X-API-Key}}}}}}
default: [key]
consumers:
  - {{name: ann, keys: ['sha256:{sha256(KEY.encode()).hexdigest()}']}}
"""
ACCEPT = {"accept": "application/json, text/event-stream"}


@asynccontextmanager
async def gateway(directory: Path, stub: McpStub, routes: str = "") -> AsyncIterator[InProcess]:
    models = f"mcp: {{tools: {{servers: [{{name: files, url: '{stub.url}', allow: ['read_*']}}], path: /mcp}}}}\n"
    (directory / "models.yaml").write_text(models)
    (directory / "auth.yaml").write_text(AUTH)
    async with running(directory, routes or "- {path: /x, target: '127.0.0.1:1'}\n") as made:
        yield made


def message(method: str, **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


async def test_endpoint_is_there_by_itself(tmp_path: Path) -> None:
    """With `mcp` in models.yaml its path takes a consumer's key, which the server does not get, and refuses others as
    JSON-RPC does."""
    stub = McpStub()
    async with serving(stub), gateway(tmp_path, stub) as made:
        headers = ACCEPT | {"authorization": f"Bearer {KEY}"}
        begun = await made.client.post("/mcp", json=message("initialize"), headers=headers)
        session = {"mcp-session-id": begun.headers["mcp-session-id"]}
        listed = await made.client.post("/mcp", json=message("tools/list"), headers=headers | session)
        without = await made.client.post("/mcp", json=message("tools/list"), headers=ACCEPT)
        public = await made.client.get("/.well-known/oauth-protected-resource/mcp?key=k", headers=headers)
        ended = await made.client.delete("/mcp", headers=headers | session)
    assert [each["name"] for each in listed.json()["result"]["tools"]] == ["read_file"]
    assert all(KEY not in str(each.headers) for each in stub.received)
    assert len(stub.received) == 4
    assert (without.status_code, without.json()["id"], without.json()["error"]["code"]) == (401, 1, -32000)
    assert without.headers["content-type"] == "application/json"
    assert (public.status_code, ended.status_code, stub.open) == (200, 200, set())


async def test_refused_call_is_a_decision(tmp_path: Path) -> None:
    """What was called, and what was refused, stands in what logs have of the request: with names of tools only."""
    stub = McpStub(sessions=False)
    async with serving(stub), gateway(tmp_path, stub) as made:
        headers = ACCEPT | {"x-api-key": KEY}
        for name in ("write_file", "read_file", "my password is"):
            await made.client.post("/mcp", json=message("tools/call", name=name), headers=headers)
        said = [[each for each in done.decisions if each.rule == "mcp:files"] for done, _ in made.outcomes]
    assert [(each[0].verdict, each[0].reason) for each in said] == [
        ("deny", "the tool write_file may not be called"),
        ("allow", "the tool read_file may be called"),
        ("deny", "a tool whose name is none may not be called"),
    ]


async def test_route_of_ones_own(tmp_path: Path) -> None:
    """A route with `target: mcp` has another path, and passes an Authorization header that it does not use."""
    stub = McpStub(sessions=False)
    routes = "- {path: /tools/mcp, strip_prefix: /tools, target: mcp, auth: []}\n"
    async with serving(stub), gateway(tmp_path, stub, routes) as made:
        headers = ACCEPT | {"authorization": "Bearer of-the-server"}
        got = await made.client.post("/tools/mcp", json=message("tools/list"), headers=headers)
        other = await made.client.post("/mcp", json=message("tools/list"), headers=headers)
    assert (got.status_code, other.status_code) == (200, 404)
    assert stub.received[0].headers["authorization"] == "Bearer of-the-server"


async def test_endpoint_is_explained(tmp_path: Path) -> None:
    """`explain` names the servers, and the map of the traffic leads to them."""
    stub = McpStub()
    async with serving(stub), gateway(tmp_path, stub) as made:
        asked = {"url": "/mcp", "method": "POST", "header": f"x-api-key: {KEY}"}
        explained = (await made.admin.get("/explain", params=asked)).json()
        shown = (await made.admin.get("/map")).json()
    assert explained["endpoints"] == [f"files: {stub.url}"]
    assert explained["outcome"] == "forwarded"
    (row,) = (each for each in shown if each["route"] == "mcp")
    assert [way["name"] for way in row["ways"]] == [f"http://127.0.0.1:{stub.port}"]


async def test_server_that_fails_is_left_alone(tmp_path: Path) -> None:
    """Behind its breaker, a server that answered with nothing but failures gets no more calls for a while."""
    stub = McpStub(raw=(500, "text/plain", [b"broken"]))
    async with serving(stub), gateway(tmp_path, stub) as made:
        headers = ACCEPT | {"x-api-key": KEY}
        said = [(await made.client.post("/mcp", json=message("ping"), headers=headers)).status_code for _ in range(15)]
        last = await made.client.post("/mcp", json=message("ping"), headers=headers)
    assert said == [500] * 10 + [503] * 5
    assert (last.json()["id"], last.json()["error"]["code"], "retry-after" in last.headers) == (1, -32000, True)
    assert len(stub.received) == 10
