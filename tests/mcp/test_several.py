"""Several servers behind an endpoint, as one."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from tests.mcp.support import Door, McpStub, Piece, door, serving, tool

FULL: dict[str, Any] = {"tools": {"listChanged": True}, "prompts": {}, "resources": {"subscribe": True}, "logging": {}}


def all_of(*stubs: McpStub, more: str = "", endpoint: str = "") -> str:
    """An endpoint with these servers, of which each denies `write*`."""
    servers = ", ".join(f"{{name: {each.name}, url: '{each.url}', deny: ['write*'], {more}}}" for each in stubs)
    return f"tools: {{secret: 0123456789abcdef, {endpoint} servers: [{servers}]}}"


async def begun(stubs: tuple[McpStub, ...], **options: str) -> tuple[Door, str]:
    made = door(all_of(*stubs, **options))
    return made, (await made.initialize()).session


async def test_tools_of_all_are_listed_and_called() -> None:
    """Tools are named `server__tool`, and a call reaches its server in that one's session, by any gateway."""
    one, two = McpStub("one"), McpStub("two", events=True)
    async with serving(one, two):
        endpoint, session = await begun((one, two))
        replica = door(all_of(one, two))
        listed = await endpoint.call("tools/list", session)
        called = [
            await replica.call("tools/call", session, name=f"{name}__read_file", x=1.0) for name in ("one", "two")
        ]
    assert listed.tools == ["one__read_file", "two__read_file"]
    assert [each.message["result"]["content"][0]["text"] for each in called] == ["one:read_file", "two:read_file"]
    assert one.received[-1].body == (
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_file", "x": 1.0}}'
    )
    assert [each.received[-1].headers["mcp-session-id"] for each in (one, two)] == ["one-1", "two-1"]


async def test_greeting_is_that_of_all() -> None:
    """What any server offers, the endpoint offers, in the oldest version that one of them has chosen."""
    one = McpStub("one", version="2025-03-26", capabilities={"tools": {}, "tasks": {}})
    two = McpStub("two", capabilities=FULL)
    two.results["initialize"] = {
        "protocolVersion": "2025-06-18",
        "capabilities": FULL,
        "serverInfo": {"name": "two", "version": "1"},
        "instructions": "ask me",
    }
    async with serving(one, two):
        endpoint = door(all_of(one, two, endpoint="instructions: both of them,"))
        result = (await endpoint.initialize()).json["result"]
        session = (await endpoint.initialize()).session
        await endpoint.call("tools/list", session)
    assert result["protocolVersion"] == "2025-03-26"
    assert result["capabilities"] == {
        "tools": {"listChanged": True},
        "prompts": {},
        "resources": {"subscribe": True},
        "logging": {},
    }
    assert result["instructions"] == "both of them\n\n# two\nask me"
    assert [each.received[-1].headers["mcp-protocol-version"] for each in (one, two)] == ["2025-03-26", "2025-06-18"]


@pytest.mark.parametrize(
    "name", ["one__write_file", "one__WRITE", "three__read_file", "read_file", "__read_file", "one__"]
)
async def test_no_tool_is_reached_that_is_not_allowed(name: str) -> None:
    """The rules of a server hold behind the prefix, too; of servers that are not there, nothing is called."""
    one, two = McpStub("one"), McpStub("two")
    async with serving(one, two):
        endpoint, session = await begun((one, two), more="allow: ['*_file']")
        got = await endpoint.call("tools/call", session, id="i", name=name)
        batch = await endpoint.post(
            [{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}}], session
        )
    assert (got.status, got.json["id"], got.json["error"]["code"]) == (200, "i", -32602)
    assert batch.json[0]["error"]["code"] == -32602
    assert one.methods() == two.methods() == ["initialize"]


async def test_server_that_is_down_is_missing_and_said_to_be() -> None:
    """The others serve on; what is missing stands in the greeting, in lists, and in the errors of its tools."""
    one, two = McpStub("one"), McpStub("two", port=1)
    async with serving(one):
        endpoint = door(all_of(one, two))
        begun = await endpoint.initialize()
        listed = await endpoint.call("tools/list", begun.session)
        called = await endpoint.call("tools/call", begun.session, name="two__read_file")
        fine = await endpoint.call("tools/call", begun.session, name="one__read_file")
    assert "The server two is missing at the moment" in begun.json["result"]["instructions"]
    assert listed.tools == ["one__read_file"]
    assert listed.json["result"]["_meta"]["gateway/unavailable"][0]["server"] == "two"
    assert "two was missing when this session began" in called.json["error"]["message"]
    assert "result" in fine.json


async def test_server_that_goes_down_later() -> None:
    """A server that stops in a session is missing in lists, and its tools are errors with the id."""
    one, two = McpStub("one"), McpStub("two")
    async with serving(one):
        async with serving(two):
            endpoint, session = await begun((one, two))
        listed = await endpoint.call("tools/list", session)
        called = await endpoint.call("tools/call", session, id=5, name="two__read_file")
    assert listed.tools == ["one__read_file"]
    assert listed.json["result"]["_meta"]["gateway/unavailable"][0]["server"] == "two"
    assert (called.status, called.json["id"]) == (502, 5)


async def test_server_that_hangs_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are not kept waiting: it is missing soon after they have answered, and an error for its breaker."""
    monkeypatch.setattr("gateway.mcp.group.LATE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        one, two = McpStub("one"), McpStub("two", port=silent.getsockname()[1])
        async with serving(one), asyncio.timeout(20):
            greeted = await door(all_of(one, two)).initialize()
    assert "The server two is missing at the moment: it has not answered" in greeted.json["result"]["instructions"]


async def test_answer_that_stops_halfway_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the head of an answer has come."""
    monkeypatch.setattr("gateway.mcp.group.LATE_SECONDS", 0.05)
    one, two = McpStub("one"), McpStub("two", raw=(200, "application/json", [b"{", 30.0]))
    async with serving(one, two), asyncio.timeout(20):
        greeted = await door(all_of(one, two)).initialize()
    assert "The server two is missing at the moment: it has not answered" in greeted.json["result"]["instructions"]


async def test_nothing_answers() -> None:
    """Where no server answers, a session does not begin, and the error says why."""
    got = await door(all_of(McpStub("one", port=1), McpStub("two", port=1))).initialize()
    assert (got.status, got.json["id"], "mcp-session-id" in got.headers) == (503, 1, False)
    assert "none of the servers answers: one: " in got.json["error"]["message"]


async def test_pages_of_all_servers_come_together() -> None:
    """A cursor stands for the cursors of all servers, of which those that are through are not asked again."""

    def pages(*names: str) -> Any:
        def page(message: Any) -> Any:
            at = int(message["params"].get("cursor") or 0)
            more = {"nextCursor": str(at + 1)} if at + 1 < len(names) else {}
            return {"tools": [tool(names[at])], **more}

        return page

    one = McpStub("one", results={"tools/list": pages("a", "write", "c")})
    two = McpStub("two", results={"tools/list": pages("x")})
    async with serving(one, two):
        endpoint, session = await begun((one, two))
        found: list[list[str]] = []
        cursor: dict[str, Any] = {}
        for _ in range(3):
            page = await endpoint.call("tools/list", session, **cursor)
            found.append(page.tools)
            cursor = {"cursor": page.json["result"].get("nextCursor")}
        wrong = await endpoint.call("tools/list", session, cursor="???")
    assert found == [["one__a", "two__x"], [], ["one__c"]]
    assert cursor == {"cursor": None}
    assert wrong.json["error"]["code"] == -32602
    assert two.methods().count("tools/list") == 1


async def test_prompts_and_resources_have_names_of_their_own() -> None:
    """Prompts are named as tools are, resources by a URI with the server in front, wherever they are mentioned."""
    link = {"type": "resource_link", "uri": "file:///a", "name": "a"}
    embedded = {"type": "resource", "resource": {"uri": "file:///b", "text": "uri"}}
    results = {
        "prompts/list": {"prompts": [{"name": "p"}]},
        "prompts/get": {"messages": [{"role": "user", "content": embedded}]},
        "resources/list": {"resources": [{"uri": "file:///a", "name": "a"}]},
        "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "file:///{x}", "name": "x"}]},
        "resources/read": {"contents": [{"uri": "file:///a", "text": "t"}]},
        "tools/call": {"content": [link, embedded, {"type": "text", "text": "x"}]},
    }
    one, two = McpStub("my_one", capabilities=FULL, results=results), McpStub("two")
    async with serving(one, two):
        endpoint, session = await begun((one, two))

        async def result(method: str, **params: Any) -> Any:
            return (await endpoint.call(method, session, **params)).json["result"]

        assert (await result("prompts/list"))["prompts"] == [{"name": "my_one__p"}]
        got = await result("prompts/get", name="my_one__p")
        assert got["messages"][0]["content"]["resource"] == {"uri": "my.one+file:///b", "text": "uri"}
        assert (await result("resources/list"))["resources"][0]["uri"] == "my.one+file:///a"
        listed = await result("resources/templates/list")
        assert listed["resourceTemplates"][0]["uriTemplate"] == "my.one+file:///{x}"
        assert (await result("resources/read", uri="my.one+file:///a"))["contents"][0]["uri"] == "my.one+file:///a"
        assert one.received[-1].json["params"]["uri"] == "file:///a"
        content = (await result("tools/call", name="my_one__read"))["content"]
        assert (content[0]["uri"], content[1]["resource"]["uri"]) == ("my.one+file:///a", "my.one+file:///b")
        await result("completion/complete", ref={"type": "ref/prompt", "name": "my_one__p"}, argument={})
        assert one.received[-1].json["params"]["ref"]["name"] == "p"
        await result("completion/complete", ref={"type": "ref/resource", "uri": "my.one+file:///{x}"}, argument={})
        assert one.received[-1].json["params"]["ref"]["uri"] == "file:///{x}"
        await result("resources/subscribe", uri="my.one+file:///a")
        assert await result("ping") == {}
        await result("logging/setLevel", level="info")
    assert two.methods() == ["initialize"]


async def test_request_of_a_server_finds_its_way_back() -> None:
    """Servers may use the same ids: the client gets different ones, and each server the answer to its own."""
    asks = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "roots/list", "params": {"_meta": {"progressToken": 7}}})
    done = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": []}})
    one, two = McpStub("one"), McpStub("two")
    async with serving(one, two):
        endpoint, session = await begun((one, two))
        ids = []
        for stub in (one, two):
            pieces = [f"id: 1\ndata: {asks}\n\ndata: {done}\n\n".encode()]
            stub.raw = (200, "text/event-stream", pieces)
            events = (await endpoint.call("tools/call", session, name=f"{stub.name}__read")).events
            ids.append(events[0]["id"])
            assert events[0]["params"]["_meta"]["progressToken"] == events[0]["id"]
            assert events[1]["id"] == 1
            stub.raw = None
            answer = await endpoint.post({"jsonrpc": "2.0", "id": ids[-1], "result": {"roots": []}}, session)
            progress = {"progressToken": ids[-1], "progress": 1}
            await endpoint.post({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}, session)
            assert answer.status == 202
            assert stub.received[-2].json == {"jsonrpc": "2.0", "id": 7, "result": {"roots": []}}
            assert stub.received[-1].json["params"]["progressToken"] == 7
        for id in ("three:7", "one:[7]", "one", 7, "one:"):
            assert (await endpoint.post({"jsonrpc": "2.0", "id": id, "result": {}}, session)).status == 202
    assert ids == ["one:7", "two:7"]
    assert [each.methods().count("answer") for each in (one, two)] == [1, 1]


async def test_notifications_reach_all() -> None:
    """That the client is ready, has other roots, or gives a request up, every server of the session learns."""
    one, two = McpStub("one"), McpStub("two")
    async with serving(one, two):
        endpoint, session = await begun((one, two))
        for method in ("notifications/initialized", "notifications/cancelled", "notifications/unknown"):
            assert (await endpoint.post({"jsonrpc": "2.0", "method": method}, session)).status == 202
    assert one.methods() == two.methods() == ["initialize", "notifications/initialized", "notifications/cancelled"]


async def test_streams_of_all_are_one() -> None:
    """What any server says by itself comes on one stream, with ids by which all of them are resumed."""
    one, two = McpStub("one"), McpStub("two")
    changed = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "x:y"}}
    async with serving(one, two):
        endpoint, session = await begun((one, two))
        response, exchange = await endpoint.begin("GET", mcp_session_id=session)
        assert not isinstance(response.body, bytes)
        pieces = []
        for stub, id in ((one, "a"), (two, "b")):
            stub.said.put_nowait(f"id: {id}\ndata: {json.dumps(changed)}\n\n".encode())
            pieces.append((await response.body.read()).decode())
        exchange.close()
        last = pieces[-1].split("id: ")[1].split("\n")[0]
        response, exchange = await endpoint.begin("GET", mcp_session_id=session, last_event_id=last)
        exchange.close()
    assert ['"one+x:y"' in pieces[0], '"two+x:y"' in pieces[1]] == [True, True]
    assert [each.received[-1].headers.get("last-event-id") for each in (one, two)] == ["a", "b"]


async def test_stream_of_a_request_is_resumed_at_its_server() -> None:
    """An event of a call leads back to the server of that call, and to no other."""
    one, two = McpStub("one"), McpStub("two", raw=(200, "text/event-stream", [b"id: 5\ndata: \n\n"]))
    async with serving(one, two):
        two.raw, raw = None, two.raw
        endpoint, session = await begun((one, two))
        two.raw = raw
        cut = await endpoint.call("tools/call", session, name="two__read")
        last = cut.body.decode().split("id: ")[1].split("\n")[0]
        done = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [tool("read"), tool("write")]}}
        two.said.put_nowait(f"id: 6\ndata: {json.dumps(done)}\n\n".encode())
        two.said.put_nowait(b"")
        rest = await endpoint.ask("GET", None, mcp_session_id=session, last_event_id=last)
    assert rest.tools == ["two__read"]
    assert two.received[-1].headers["last-event-id"] == "5"
    assert [each.method for each in one.received] == ["POST"]


async def test_lost_session_is_lost_as_a_whole() -> None:
    """A server that was restarted does not know the session: the client gets a 404, which begins a new one."""
    one, two = McpStub("one"), McpStub("two")
    async with serving(one, two):
        endpoint, session = await begun((one, two))
        two.open.clear()
        called = await endpoint.call("tools/call", session, id=3, name="two__read_file")
        other = await endpoint.call("tools/list", session, consumer="bob")
        none = await endpoint.call("tools/list")
        unknown = await endpoint.call("tools/list", "one-1")
    assert (called.status, called.json["id"]) == (404, 3)
    assert (other.status, none.status, unknown.status) == (404, 400, 404)


async def test_session_is_ended_everywhere() -> None:
    """DELETE ends the sessions at all servers."""
    one, two = McpStub("one"), McpStub("two")
    async with serving(one, two):
        endpoint, session = await begun((one, two))
        got = await endpoint.ask("DELETE", None, mcp_session_id=session)
    assert (got.status, one.open, two.open) == (200, set(), set())


async def test_batch_of_several_servers() -> None:
    """Each message of a batch goes its own way; the answers come together."""
    one, two = McpStub("one"), McpStub("two", events=True)
    async with serving(one, two):
        endpoint, session = await begun((one, two))
        calls = [
            {"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": {"name": name}}
            for name in ("one__read", "two__read", "two__write", "three__x")
        ]
        got = await endpoint.post([*calls, {"jsonrpc": "2.0", "method": "notifications/initialized"}], session)
        answer = await endpoint.post([{"jsonrpc": "2.0", "method": "notifications/initialized"}], session)
    assert {each["id"]: "result" in each for each in got.json} == {
        "one__read": True,
        "two__read": True,
        "two__write": False,
        "three__x": False,
    }
    assert answer.status == 202


async def test_requests_that_stand_for_themselves() -> None:
    """Since 2026-07-28 there are no sessions: the name is another one in its header, too, and what servers are is
    asked of all."""
    version = "2026-07-28"
    meta = {"io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {}}
    found = {
        "supportedVersions": [version],
        "capabilities": {"tools": {}},
        "resultType": "complete",
        "ttlMs": 5,
        "cacheScope": "public",
    }
    listed_as = {"tools": [tool("read")], **{key: found[key] for key in ("resultType", "ttlMs", "cacheScope")}}
    results: dict[str, Any] = {"server/discover": found, "tools/list": listed_as}
    one, two = McpStub("one", results=results, sessions=False), McpStub("two", results=results, sessions=False)

    async with serving(one, two):
        endpoint = door(all_of(one, two))

        async def ask(method: str, about: str = "", **params: Any) -> Any:
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta, **params}}
            headers = {"mcp_protocol_version": version, "mcp_method": method, "mcp_name": about}
            return await endpoint.post(message, **headers)

        discovered = (await ask("server/discover")).json["result"]
        listed = await ask("tools/list")
        called = await ask("tools/call", "two__read", name="two__read")
        denied = await ask("tools/call", "two__write", name="two__write")
        unknown = await ask("tasks/list")
        two.results["server/discover"] = {"!error": {"code": -32601, "message": "no"}}
        fallback = await ask("server/discover")
    assert (discovered["supportedVersions"], discovered["capabilities"]) == ([version], {"tools": {}})
    assert (discovered["ttlMs"], discovered["cacheScope"], discovered["resultType"]) == (5, "public", "complete")
    assert listed.tools == ["one__read", "two__read"]
    assert listed.json["result"]["resultType"] == "complete"
    assert called.json["result"]["content"][0]["text"] == "two:read"
    sent = next(each for each in two.received if each.json["method"] == "tools/call")
    assert (sent.headers["mcp-name"], sent.json["params"]["name"]) == ("read", "read")
    assert (denied.status, unknown.status, fallback.status) == (400, 404, 404)


async def test_subscription_is_to_all() -> None:
    """A subscription begins once, and each server is asked for its own resources only."""
    version = "2026-07-28"
    meta = {"io.modelcontextprotocol/protocolVersion": version}
    ack = {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}}
    answer = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    pieces: list[Piece] = [f"data: {json.dumps(ack)}\n\n".encode(), f"data: {json.dumps(answer)}\n\n".encode(), 5.0]
    one, two = McpStub("one", raw=(200, "text/event-stream", pieces)), McpStub("two", raw=(405, "", []))
    async with serving(one, two):
        wanted = {"toolsListChanged": True, "resourceSubscriptions": ["one+a:b", "two+c:d"]}
        message = {"jsonrpc": "2.0", "id": 9, "method": "subscriptions/listen"}
        body = json.dumps({**message, "params": {"_meta": meta, "notifications": wanted}}).encode()
        response, exchange = await door(all_of(one, two)).begin("POST", body, mcp_protocol_version=version)
        assert not isinstance(response.body, bytes)
        async with asyncio.timeout(20):
            first, second = await response.body.read(), await response.body.read()
        exchange.close()
    assert json.loads(first.split(b"data: ")[1])["params"]["notifications"] == wanted
    assert json.loads(second.split(b"data: ")[1]) == answer
    assert one.received[0].json["params"]["notifications"]["resourceSubscriptions"] == ["a:b"]
    assert two.received[0].json["params"]["notifications"]["resourceSubscriptions"] == ["c:d"]


async def test_session_ids_that_are_too_long_are_an_error() -> None:
    """What a client gets fits into a header."""
    one, two = McpStub("x" * 7000), McpStub("two")
    async with serving(one, two):
        servers = f"{{name: one, url: '{one.url}'}}, {{name: two, url: '{two.url}'}}"
        got = await door(f"tools: {{secret: 0123456789abcdef, servers: [{servers}]}}").initialize()
    assert (got.status, got.json["id"], "mcp-session-id" in got.headers) == (502, 1, False)
