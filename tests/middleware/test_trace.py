"""Which trace the backend is told, whose is continued, and what the log has of it (W3C Trace Context)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import orjson
import pytest

from gateway.http import Exchange
from gateway.http.testing import make_exchange
from gateway.upstream.request import request_headers
from tests.support import eventually, exchange, read_head, running_gateway, scripted_backend

from .support import answering, chain, errors

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CONTINUED = f"00-{TRACE}-{PARENT}-01"
TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")

Lines = dict[str, list[str]]


async def traced(*headers: tuple[str, str], trust: str = "proxies", by_proxy: bool = True) -> tuple[Exchange, Lines]:
    """A request that has passed, and the lines that the backend gets of it."""
    request = make_exchange(headers=headers)
    request.peer_trusted = by_proxy
    await chain(f"trace: {{enabled: true, trust: {trust}}}", answering())(request)
    lines: Lines = {}
    for name, value in request_headers(request):
        lines.setdefault(name.decode(), []).append(value.decode())
    return request, lines


def parts(lines: Lines) -> re.Match[str]:
    """The one traceparent of a request."""
    (value,) = lines["traceparent"]
    match = TRACEPARENT.fullmatch(value)
    assert match is not None, value
    return match


async def test_a_request_without_a_trace_begins_one() -> None:
    """It is sampled, and no two requests share an id."""
    (first, lines), (second, _) = await traced(), await traced()
    assert parts(lines)["trace"] == first.trace_id
    assert parts(lines)["flags"] == "01"
    assert first.trace_id != second.trace_id


async def test_the_trace_of_a_trusted_peer_goes_on() -> None:
    """Its id and its state stay, and the hop has an id of its own."""
    request, lines = await traced(("traceparent", CONTINUED), ("tracestate", "a=1"), ("tracestate", "b=2"))
    assert request.trace_id == parts(lines)["trace"] == TRACE
    assert parts(lines)["parent"] != PARENT
    assert lines["tracestate"] == ["a=1", "b=2"]


@pytest.mark.parametrize(("given", "sent"), [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("fd", "01")])
async def test_flags_go_on_as_far_as_they_are_known(given: str, sent: str) -> None:
    """Whoever began the trace decides whether it is sampled; flags that mean nothing yet are cleared."""
    _, lines = await traced(("traceparent", f"00-{TRACE}-{PARENT}-{given}"))
    assert parts(lines)["flags"] == sent


@pytest.mark.parametrize("value", [f"01-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like"])
async def test_later_versions_are_understood_as_far_as_they_are_like_this_one(value: str) -> None:
    """A newer proxy in front does not end the trace."""
    _, lines = await traced(("traceparent", value))
    assert parts(lines)["trace"] == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        "junk",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01-",
        f"01-{TRACE}-{PARENT}-01.more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-0x",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"{CONTINUED},{CONTINUED}",
    ],
)
async def test_a_malformed_trace_is_replaced(value: str) -> None:
    """With it goes its state, which belongs to no trace any more."""
    _, lines = await traced(("traceparent", value), ("tracestate", "a=1"))
    assert parts(lines)["trace"] != TRACE
    assert "tracestate" not in lines


async def test_two_traces_are_none() -> None:
    """Nobody could say which of them the request belongs to."""
    _, lines = await traced(("traceparent", CONTINUED), ("traceparent", f"00-{'1' * 32}-{PARENT}-01"))
    assert parts(lines)["trace"] not in {TRACE, "1" * 32}


@pytest.mark.parametrize(
    ("trust", "by_proxy", "continued"),
    [
        ("proxies", True, True),
        ("proxies", False, False),
        ("always", True, True),
        ("always", False, True),
        ("never", True, False),
        ("never", False, False),
    ],
)
async def test_only_those_who_are_trusted_are_believed(trust: str, by_proxy: bool, continued: bool) -> None:
    """A stranger can neither join a trace nor leave a state behind."""
    _, lines = await traced(("traceparent", CONTINUED), ("tracestate", "a=1"), trust=trust, by_proxy=by_proxy)
    assert (parts(lines)["trace"] == TRACE) is continued
    assert ("tracestate" in lines) is continued


async def test_a_state_without_a_trace_is_dropped() -> None:
    """It would be taken for that of the new trace."""
    _, lines = await traced(("tracestate", "a=1"))
    assert "tracestate" not in lines


async def test_without_traces_headers_pass_as_they_are() -> None:
    """Who has not asked for them keeps what clients and backends agreed upon."""
    request = make_exchange(headers=[("traceparent", "junk")])
    await chain("", answering())(request)
    assert (b"traceparent", b"junk") in request_headers(request)
    assert request.trace_id is None


def test_a_typing_error_is_told() -> None:
    """With the values that there are."""
    (error,) = errors("trace: {enabled: true, trust: proxy}")
    assert "trace.trust" in error
    assert "proxies" in error


async def test_backend_and_log_are_told_the_same_trace(tmp_path: Path) -> None:
    """On the wire, and in the line of a request that is refused, too."""
    heads: list[str] = []

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await read_head(reader)).decode())
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with scripted_backend(backend) as port:
        routes = f"- {{id: open, path: /open, target: '127.0.0.1:{port}'}}\n- {{id: shut, path: /shut, target: a:80}}"
        middleware = "trace: {enabled: true, trust: always}\nip_allow: {x: {networks: [192.0.2.0/24], routes: [shut]}}"
        with running_gateway(tmp_path, routes, middleware) as gateway:
            for path in ("/open", "/shut"):
                head = f"GET {path} HTTP/1.1\r\nHost: a\r\nTraceparent: {CONTINUED}\r\nConnection: close\r\n\r\n"
                await exchange(gateway.port, head.encode())
            await eventually(lambda: gateway.access_log.count("\n") == 2)
            records = [orjson.loads(line) for line in gateway.access_log.splitlines()]
    (told,) = TRACEPARENT.finditer(heads[0])
    assert (told["trace"], len(heads)) == (TRACE, 1)
    assert [(record["status"], record["trace_id"]) for record in records] == [(204, TRACE), (403, TRACE)]
