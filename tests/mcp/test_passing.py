"""One server behind an endpoint."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.mcp.support import McpStub, Piece, door, serving

RULES = "allow: ['read_*'], deny: ['read_secret*']"


def one(stub: McpStub, more: str = "") -> str:
    return f"tools: {{secret: 0123456789abcdef, servers: [{{name: files, url: '{stub.url}', {more}}}]}}"


async def test_message_and_answer_are_passed_as_they_are() -> None:
    """The server gets the very bytes of a message, and the client those of the answer."""
    raw = b'{ "result" : {"x": 1.0, "tools_": []}, "id" : 7, "jsonrpc":"2.0" }'
    stub = McpStub(raw=(200, "application/json", [raw]))
    async with serving(stub):
        sent = b'{"id":7, "jsonrpc": "2.0",\n "params": {"name": "read_x", "arguments": {"n": 1.0}}, '
        sent += b'"method": "tools\\/call"}'
        got = await door(one(stub, RULES)).post(sent)
    assert (stub.received[0].body, got.body, got.status) == (sent, raw, 200)


@pytest.mark.parametrize("events", [False, True])
async def test_only_allowed_tools_are_listed(events: bool) -> None:
    """A list of tools has what may be called, in JSON and in events, and keeps its cursor."""
    listed = {"tools": [{"name": n} for n in ("read_a", "read_secrets", "write")], "nextCursor": "2"}
    stub = McpStub(events=events, results={"tools/list": listed})
    async with serving(stub):
        endpoint = door(one(stub, RULES))
        session = (await endpoint.initialize()).session
        got = await endpoint.call("tools/list", session)
    assert got.tools == ["read_a"]
    assert b'"nextCursor": "2"' in got.body
    assert int(got.headers.get("content-length", len(got.body))) == len(got.body)


@pytest.mark.parametrize(
    "name",
    ["write_file", "READ_SECRET", "read_secret2", "read_\\u0073ecret", "\\u0077rite", "", "read_\uff53ecret", "Read_a"],
)
async def test_other_tools_cannot_be_called(name: str) -> None:
    """A tool that is not allowed is refused with the id of the call, however it is spelled; the server is not asked."""
    stub = McpStub()
    async with serving(stub):
        body = f'{{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{{"name":"{name}"}}}}'.encode()
        got = await door(one(stub, RULES)).post(body)
    assert (got.status, got.json["id"], got.json["error"]["code"], stub.received) == (200, "a", -32602, [])


def _call(rest: str, method: str = "tools/call") -> bytes:
    return f'{{"jsonrpc":"2.0","id":1,"method":"{method}",{rest}}}'.encode()


def _ping(id: str) -> bytes:
    return f'{{"jsonrpc":"2.0","id":{id},"method":"ping"}}'.encode()


@pytest.mark.parametrize(
    "body",
    [
        _call('"method":"tools/call","params":{"name":"write"}', "ping"),
        _call('"\\u006dethod":"tools/call","params":{"name":"write"}', "ping"),
        _call('"params":{"name":"read_a","name":"write"}'),
        _call('"params":{"name":"read_a"},"params":{"name":"write"}'),
        _call('"params":{"name":"read_a","Name":"write"}'),
        _call('"params":{"name":"read_a"},"Params":{"name":"write"}'),
        _call('"params":{"name":"read_a","name\\u0000":"write"}'),
        _call('"params":{"name":"read_a","arguments":{"x":1,"x":2}}'),
        _call('"params":{"name":"write"}', "Tools/Call"),
        _call('"params":{"name":"write"}', " tools/call"),
        _call('"params":{"name":"write"}', "tools/call\\u0000"),
        _call('"params":{"name":["write"]}'),
        _call('"params":{"name":"write"}', "tools/invoke"),
        _call('"params":{"name":"write"}', "tools//call"),
        _call('"params":["write"]'),
        _call('"params":{}'),
        _call('"result":{}', "ping"),
        _call('"params":{"x":NaN}', "ping"),
        _call('"params":{"x":"\\ud800"}', "ping"),
        _call('"params":{"x":' + "[" * 5000 + "]" * 5000 + "}", "ping"),
        _call('"params":{"x":' + "[" * 1010 + "]" * 1010 + "}", "ping"),
        _call('"params":{"x":' + "9" * 10000 + "}", "ping"),
        _ping("1.5"),
        _ping("null"),
        _ping("true"),
        _ping("{}"),
        _ping('"\xff"').replace("\xff".encode(), b"\xff"),
        _ping("1").replace(b"2.0", b"1.0"),
        _ping("1").replace(b'"ping"', b"7"),
        _ping("1").decode().encode("utf-16"),
        b"\xef\xbb\xbf" + _ping("1"),
        b'{"jsonrpc":"2.0","id":1}',
        b"[]",
        b"[[]]",
        _call('"params":{"x":[' + "[]," * 200_000 + "[]]}", "ping"),
        b"7",
        b"",
        b"{",
        b" ",
    ],
)
async def test_what_can_be_read_in_two_ways_is_refused(body: bytes) -> None:
    """A message that another reader could take for something else never reaches the server."""
    stub = McpStub()
    async with serving(stub):
        got = await door(one(stub, RULES)).post(body)
    assert "error" in got.json
    assert got.headers["content-type"] == "application/json"
    assert stub.received == []


async def test_ids_of_errors_are_as_they_were_sent() -> None:
    """An id of many digits comes back as it was."""
    stub = McpStub(port=1)
    body = _call('"params":{"name":"w"}').replace(b'"id":1', b'"id":123456789012345678901234567890')
    got = await door(one(stub, RULES)).post(body)
    assert b'"id":123456789012345678901234567890,' in got.body


@pytest.mark.parametrize("events", [False, True])
async def test_batch_is_passed_without_what_is_refused(events: bool) -> None:
    """Of a batch, what is refused is answered by the gateway, and the rest by the server."""
    stub = McpStub(events=events)
    async with serving(stub):
        endpoint = door(one(stub, RULES))
        session = (await endpoint.initialize()).session
        calls = [
            {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": name}}
            for n, name in enumerate(("read_a", "write", "read_b"))
        ]
        got = await endpoint.post(calls, session)
    assert [each["params"]["name"] for each in stub.received[-1].json] == ["read_a", "read_b"]
    answers = {each["id"]: "result" in each for each in (got.events if events else got.json)}
    assert answers == {0: True, 1: False, 2: True}


async def test_batch_of_which_nothing_is_left() -> None:
    """A batch of refused calls is answered as a batch, and one of refused notifications not at all."""
    stub = McpStub()
    async with serving(stub):
        endpoint = door(one(stub, RULES))
        call = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "write"}}
        calls = await endpoint.post([{**call, "id": 1}, {**call, "id": 2}])
        ack = await endpoint.post([call])
    assert ([each["id"] for each in calls.json], ack.status, stub.received) == ([1, 2], 202, [])


async def test_session_of_one_consumer_is_no_session_of_another() -> None:
    """A session id that leaked opens nothing for another consumer, or when it is changed."""
    stub = McpStub()
    async with serving(stub):
        endpoint = door(one(stub))
        session = (await endpoint.initialize(consumer="ann")).session
        own = await endpoint.call("tools/list", session, consumer="ann")
        other = await endpoint.call("tools/list", session, id=9, consumer="bob")
        changed = await endpoint.call("tools/list", session[:-3] + "AAA", consumer="ann")
    assert "stub" not in session
    assert own.session == session
    assert (own.status, other.status, changed.status, other.json["id"]) == (200, 404, 404, 9)
    assert [each.headers["mcp-session-id"] for each in stub.received[1:]] == ["stub-1"]


async def test_session_stays_with_its_endpoint() -> None:
    """Of several endpoints of a service, a session stays with that which it began at, and ends when that leaves."""
    stubs = [McpStub(name="one"), McpStub(name="two"), McpStub(name="three")]
    models = "tools: {secret: 0123456789abcdef, servers: [{name: files, service: files}]}"
    async with serving(*stubs):
        endpoint = door(models, endpoints={"files": [each.port for each in stubs]})
        replica = door(models, endpoints={"files": [each.port for each in reversed(stubs)]})
        sessions = [(await endpoint.initialize()).session for _ in stubs]
        for session in sessions * 2:
            assert (await endpoint.call("tools/list", session)).status == 200
            assert (await replica.call("tools/list", session)).status == 200
        fewer = door(models, endpoints={"files": [each.port for each in stubs[1:]]})
        assert sorted([(await fewer.call("tools/list", session)).status for session in sessions]) == [200, 200, 404]
    assert [each.methods().count("initialize") for each in stubs] == [1, 1, 1]


async def test_id_that_the_gateway_did_not_give_is_for_the_server() -> None:
    """A session that a client had before there was a gateway goes on."""
    stub = McpStub()
    stub.open.add("old")
    async with serving(stub):
        endpoint = door(one(stub))
        assert (await endpoint.call("tools/list", "old")).session == "old"
        assert (await endpoint.call("tools/list", "unknown")).status == 404


async def test_headers_of_the_protocol_are_passed() -> None:
    """The version, the id of the last event and the server's own headers reach the other side; a header that is set for
    the server replaces the client's."""
    challenge = 'Bearer resource_metadata="http://x/y"'
    stub = McpStub(headers=[(b"www-authenticate", challenge.encode())])
    async with serving(stub):
        stub.said.put_nowait(b"id: 5\ndata: {}\n\n")
        stub.said.put_nowait(b"")
        said = {"mcp_protocol_version": "2025-06-18", "last_event_id": "4", "x_key": "mine", "mcp_session_id": "s"}
        got = await door(one(stub, "headers: {X-Key: k}")).ask("GET", None, **said)
    sent = stub.received[0].headers
    assert (sent["mcp-protocol-version"], sent["last-event-id"], sent["x-key"]) == ("2025-06-18", "4", "k")
    assert sent["mcp-session-id"] == "s"
    assert got.body == b"id: 5\ndata: {}\n\n"
    assert got.headers["www-authenticate"] == challenge


LISTED = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "write"}, {"name": "read_a"}]}})


async def test_list_of_tools_on_a_stream_is_filtered_too() -> None:
    """A list that comes when a stream is resumed has no tools that may not be called, wherever it is split."""
    stub = McpStub()
    data = f": hi\r\n\r\nid: 1\r\nevent: message\r\ndata: {LISTED}\r\n\r\n".replace('"tools"', '"\\u0074ools"').encode()
    async with serving(stub):
        for at in range(0, len(data), 7):
            stub.said.put_nowait(data[at : at + 7])
        stub.said.put_nowait(b"")
        got = await door(one(stub, RULES)).ask("GET")
    assert b"write" not in got.body
    assert b"read_a" in got.body
    assert b"id: 1\n" in got.body


@pytest.mark.parametrize("ending", ["\n\n", "\r\n\r\n", "\r\r", ""])
@pytest.mark.parametrize("message", [LISTED, f"[{LISTED}]"])
async def test_no_end_of_an_event_hides_a_tool(ending: str, message: str) -> None:
    """However an event ends, or where it does not, its tools are filtered; those in a batch, too."""
    stub = McpStub(raw=(200, "text/event-stream", [f"data: {message}{ending}".encode()]))
    async with serving(stub):
        got = await door(one(stub, RULES)).call("tools/list")
    assert b"write" not in got.body
    assert b"read_a" in got.body


async def test_stream_that_is_cut_off_ends_with_an_error() -> None:
    """A request whose answer does not come is answered with an error, in the stream."""
    progress = b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n'
    for end in (OSError(), b""):
        stub = McpStub(raw=(200, "text/event-stream", [progress, end]))
        async with serving(stub):
            got = await door(one(stub)).call("tools/call", id="x", name="read_file")
        assert got.body.startswith(progress)
        assert (got.events[-1]["id"], got.events[-1]["error"]["code"]) == ("x", -32000)


async def test_stream_that_can_be_resumed_just_ends() -> None:
    """A server may close the stream of a request, and have the client come back for the rest (2025-11-25)."""
    pieces = [b"id: 7\nretry: 10\ndata: \n\n"]
    stub = McpStub(raw=(200, "text/event-stream", pieces))
    async with serving(stub):
        got = await door(one(stub)).call("tools/call", name="read_file")
    assert got.body == pieces[0]


async def test_call_that_takes_too_long_is_ended() -> None:
    """A tool has its own time limit: after it the client gets an error, and the server is notified."""
    cases: list[tuple[str, list[Piece]]] = [("application/json", [5.0]), ("text/event-stream", [b": hi\n\n", 5.0])]
    for kind, pieces in cases:
        stub = McpStub(raw=(200, kind, pieces))
        async with serving(stub):
            endpoint = door(one(stub, "tools: {'read_*': {timeout: 200ms}}"))
            got = await endpoint.call("tools/call", id=4, name="read_file")
        assert (got.message["id"], got.message["error"]["code"]) == (4, -32001)


async def test_tool_may_be_called_so_often() -> None:
    """A tool has its own rate limit, for each consumer; others are not counted."""
    stub = McpStub()
    async with serving(stub):
        endpoint = door(one(stub, "tools: {'read_*': {limit: {limits: [2/h]}}}"))
        session = (await endpoint.initialize(consumer="ann")).session
        got = [await endpoint.call("tools/call", session, id=n, consumer="ann", name="read_a") for n in range(3)]
        other = await endpoint.call("tools/call", session, consumer="ann", name="write")
        second = (await endpoint.initialize(consumer="bob")).session
        bobs = await endpoint.call("tools/call", second, consumer="bob", name="read_a")
    assert [each.status for each in got] == [200, 200, 429]
    assert (got[2].json["id"], "retry-after" in got[2].headers) == (2, True)
    assert (other.status, bobs.status) == (200, 200)


async def test_tool_is_counted_however_it_is_written() -> None:
    """A server may ignore letter case or width: nobody gets more calls by that."""
    stub = McpStub()
    async with serving(stub):
        endpoint = door(one(stub, "tools: {'Read_*': {limit: {limits: [2/h]}}}"))
        session = (await endpoint.initialize(consumer="ann")).session
        names = ("Read_a", "read_a", "READ_A", "\uff32ead_a", "write")
        got = [await endpoint.call("tools/call", session, id=1, consumer="ann", name=name) for name in names]
    assert [each.status for each in got] == [200, 200, 429, 429, 200]


async def test_server_that_is_down_is_an_error_with_the_id() -> None:
    """Nothing listens: the client gets a JSON-RPC error with its id, and the status of a gateway."""
    got = await door(one(McpStub(port=1))).call("tools/list", id="q")
    assert (got.status, got.json["id"], got.json["error"]["code"]) == (502, "q", -32000)
    assert got.json["error"]["data"]["type"] == "urn:problem-type:gateway:upstream-refused"
    assert "127.0.0.1" not in got.body.decode()


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"mcp_method": "tools/call", "mcp_name": "read_a"}, False),
        ({"mcp_method": "tools/call", "mcp_name": "=?base64?cmVhZF9h?="}, False),
        ({"mcp_method": "tools/list"}, True),
        ({"mcp_name": "write"}, True),
        ({"mcp_name": "=?base64?!?="}, True),
    ],
)
async def test_headers_must_say_what_the_message_says(headers: dict[str, str], refused: bool) -> None:
    """A header that names another tool than the message is refused."""
    stub = McpStub(sessions=False)
    async with serving(stub):
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_a"}}
        got = await door(one(stub)).post(message, "", **headers)
    assert (got.status == 400, "error" in got.json, not stub.received) == (refused, refused, refused)


async def test_compressed_message_is_read_and_sent_plainly() -> None:
    """A message may be compressed, and is still looked into; a bomb is refused."""
    stub = McpStub(sessions=False)
    async with serving(stub):
        endpoint = door(one(stub, RULES))
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "write"}}
        plain = json.dumps(message).encode()
        denied = await endpoint.ask("POST", gzip.compress(plain), content_encoding="gzip")
        fine = await endpoint.ask("POST", gzip.compress(plain.replace(b"write", b"read_")), content_encoding="gzip")
        bomb = await endpoint.ask("POST", gzip.compress(b" " * 2**24), content_encoding="gzip")
        other = await endpoint.ask("POST", plain, content_encoding="br")
    assert denied.json["error"]["code"] == -32602
    assert (fine.status, bomb.status, other.status) == (200, 413, 415)
    assert stub.received[0].json["params"]["name"] == "read_"
    assert "content-encoding" not in stub.received[0].headers


async def test_metadata_of_the_server_is_passed() -> None:
    """What the server says of its protection is there under the endpoint's own path."""
    stub = McpStub()
    async with serving(stub):
        got = await door(one(stub)).ask("GET", path="/.well-known/oauth-protected-resource/mcp")
        wrong = await door(one(stub)).ask("PUT", b"{}")
    assert got.json == {"resource": "/.well-known/oauth-protected-resource/mcp"}
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, POST, DELETE")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ('Application/JSON; charset="UTF-8"', 200),
        ("application/json; charset=utf-7", 415),
        ("application/json;charset=utf-16le", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_message_is_json_in_utf8(kind: str, status: int) -> None:
    """In another charset the server could read another tool than the gateway."""
    stub = McpStub(sessions=False)
    async with serving(stub):
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        got = await door(one(stub)).post(message, content_type=kind)
    assert (got.status, len(stub.received)) == (status, int(status == 200))


async def test_redirect_is_an_error() -> None:
    """A server that leads elsewhere has its address written wrongly: the operator learns of it, not the client."""
    stub = McpStub(raw=(307, "", []), headers=[(b"location", b"http://127.0.0.1:9/mcp/")])
    async with serving(stub):
        got = await door(one(stub)).call("ping")
    assert (got.status, "location" in got.headers, got.json["id"]) == (502, False, 1)


@pytest.mark.parametrize("events", [False, True])
async def test_compressed_list_is_not_passed_unseen(events: bool) -> None:
    """A server that compresses although it was not asked to gets no list past the rules."""
    data = f"data: {LISTED}\n\n" if events else LISTED
    kind = "text/event-stream" if events else "application/json"
    stub = McpStub(raw=(200, kind, [gzip.compress(data.encode())]), headers=[(b"content-encoding", b"gzip")])
    async with serving(stub):
        got = await door(one(stub, RULES)).call("tools/list")
    assert "error" in got.message
    assert "accept-encoding" not in stub.received[0].headers


@pytest.mark.parametrize("answer", [LISTED, f"[{LISTED}]", LISTED.replace('"tools"', '"\\u0074ools"')])
@pytest.mark.parametrize("status", [200, 201])
async def test_list_in_json_is_filtered_however_it_is_written(answer: str, status: int) -> None:
    """A list in a batch, with escapes in its key, or with another status, is without what may not be called."""
    stub = McpStub(raw=(status, "application/json; charset=utf-8", [answer.encode()]))
    async with serving(stub):
        got = await door(one(stub, RULES)).call("tools/list")
    assert b"read_a" in got.body
    assert b"write" not in got.body


HERE = {"client": "127.0.0.1", "host": "localhost:9000"}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({**HERE, "origin": "http://evil.test"}, 403),
        ({**HERE, "host": "evil.test:9000", "origin": "http://evil.test:9000"}, 403),
        ({**HERE, "origin": "null"}, 403),
        ({**HERE, "origin": "http://[::1"}, 403),
        ({**HERE, "origin": "http://localhost:3000"}, 200),
        ({**HERE, "origin": "http://127.0.0.1:3000", "host": "[::1]:9000"}, 200),
        ({**HERE, "host": "gateway.test"}, 200),
        ({**HERE, "origin": "http://evil.test", "consumer": "ann"}, 200),
        ({"origin": "http://page.test"}, 200),
    ],
)
async def test_pages_of_elsewhere_do_not_reach_this_machine(said: dict[str, str], status: int) -> None:
    """Where no key is needed, a page whose name was made to lead here is refused; other clients are not."""
    stub = McpStub(sessions=False)
    async with serving(stub):
        got = await door(one(stub)).post({"jsonrpc": "2.0", "id": 1, "method": "ping"}, **said)
    assert (got.status, got.json["id"], len(stub.received)) == (status, 1, int(status == 200))
