"""The trace that the backend gets, which one is continued, and what the log has of it (W3C Trace Context)."""

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

from .support import ROUTES, answering, chain, errors

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CONTINUED = f"00-{TRACE}-{PARENT}-01"
TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")

Lines = dict[str, list[str]]


async def traced(
    *headers: tuple[str, str], trust: str = "proxies", by_proxy: bool = True, more: str = "", route: str = ROUTES
) -> tuple[Exchange, Lines]:
    """A request that has passed, and the lines that the backend gets of it."""
    request = make_exchange(headers=headers)
    request.peer_trusted = by_proxy
    await chain(f"trace: {{enabled: true, trust: {trust}{more}}}", answering(), routes=route)(request)
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
    """No two requests share an id. That it was made at random is said, and that nothing is recorded of it."""
    (first, lines), (second, _) = await traced(), await traced()
    assert parts(lines)["trace"] == first.trace_id
    assert parts(lines)["flags"] == "02"
    assert first.trace_id != second.trace_id


async def test_the_trace_of_a_trusted_peer_goes_on() -> None:
    """Unchanged, where the gateway records nothing of it: the id of an unknown span would break it."""
    request, lines = await traced(("traceparent", CONTINUED), ("tracestate", "a=1"), ("tracestate", "b=2"))
    assert request.trace_id == TRACE
    assert lines["traceparent"] == [CONTINUED]
    assert lines["tracestate"] == ["a=1", "b=2"]


@pytest.mark.parametrize(("given", "sent"), [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("fd", "01")])
async def test_flags_go_on_as_far_as_they_are_known(given: str, sent: str) -> None:
    """The origin of the trace decides whether it is sampled; flags that mean nothing yet are cleared."""
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
    """It would be ambiguous."""
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


@pytest.mark.parametrize(
    ("sample", "flags"), [("100%", {"03"}), ("1", {"03"}), ("0", {"02"}), ("0%", {"02"}), ("50%", {"02", "03"})]
)
async def test_the_flag_shows_what_was_decided(sample: str, flags: set[str]) -> None:
    """Backends record what is to be recorded, and nothing else."""
    seen = {parts((await traced(more=f", sample: {sample}"))[1])["flags"] for _ in range(100)}
    assert seen == flags


@pytest.mark.parametrize("sample", ["1%", "0.01"])
async def test_a_share_of_the_traces_is_sampled(sample: str) -> None:
    """As many as was said."""
    requests = [make_exchange() for _ in range(20_000)]
    handler = chain(f"trace: {{sample: {sample}}}", answering())
    for request in requests:
        await handler(request)
    sampled = sum(value.endswith(b"-03") for request in requests for _, value in request.extra_headers)
    assert 120 < sampled < 290


async def test_other_gateways_of_the_same_share_decide_likewise() -> None:
    """By the second half of the trace id, as the samplers of OpenTelemetry do."""
    for _ in range(200):
        request, lines = await traced(more=", sample: 50%")
        assert request.trace_id is not None
        assert (int(request.trace_id[16:], 16) < 2**63) is (parts(lines)["flags"] == "03")


async def test_a_route_has_a_share_of_its_own() -> None:
    """What is rare or new can be recorded whole, and what is noise left out."""
    route = "- {{id: test, path: /*, target: 'backend:80', trace: {}}}\n"
    for share, flags in (("100%", "03"), ("{sample: 1}", "03"), ("0", "02")):
        _, lines = await traced(more=", sample: 50%", route=route.format(share))
        assert parts(lines)["flags"] == flags


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_a_decision_that_was_made_is_kept(flags: str) -> None:
    """Whatever would be decided here."""
    for sample in ("0", "100%"):
        _, lines = await traced(("traceparent", f"00-{TRACE}-{PARENT}-{flags}"), more=f", sample: {sample}")
        assert lines["traceparent"] == [f"00-{TRACE}-{PARENT}-{flags}"]


@pytest.mark.parametrize(
    ("key", "on"), [("{}", False), ("{sample: 1%}", True), ("{sample: 1%, enabled: false}", False)]
)
async def test_saying_anything_of_traces_turns_them_on(key: str, on: bool) -> None:
    """Unless the same place says otherwise."""
    request = make_exchange()
    await chain(f"trace: {key}", answering())(request)
    assert (request.trace_id is not None) is on


@pytest.mark.parametrize(
    ("sampler", "argument", "flags"),
    [
        ("always_on", "", "03"),
        ("parentbased_always_off", "1", "02"),
        ("traceidratio", "1.0", "03"),
        ("parentbased_traceidratio", "0", "02"),
        ("parentbased_traceidratio", "many", "03"),
    ],
)
async def test_the_variables_of_opentelemetry_say_what_is_sampled(
    monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str, flags: str
) -> None:
    """Where the configuration does not."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    assert parts((await traced())[1])["flags"] == flags
    assert parts((await traced(more=", sample: 0"))[1])["flags"] == "02"


@pytest.mark.parametrize(("trust", "kept"), [("always", True), ("never", False)])
async def test_baggage_goes_on_from_those_who_are_trusted(trust: str, kept: bool) -> None:
    """Also without a trace; what strangers say of it is dropped."""
    _, lines = await traced(("baggage", "tenant=acme"), ("baggage", "a=b"), trust=trust)
    assert lines.get("baggage", []) == (["tenant=acme", "a=b"] if kept else [])
    assert "traceparent" in lines


B3 = f"{TRACE}-{PARENT}"


@pytest.mark.parametrize(
    ("given", "sampled"),
    [
        ({"b3": f"{B3}-1"}, True),
        ({"b3": f"{B3}-d"}, True),
        ({"b3": f"{B3}-0-{'c' * 16}"}, False),
        ({"X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT, "X-B3-Sampled": "1"}, True),
        ({"X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT, "X-B3-Sampled": "false"}, False),
        ({"X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT, "X-B3-Flags": "1"}, True),
    ],
)
async def test_b3_is_understood_where_that_is_wanted(given: dict[str, str], sampled: bool) -> None:
    """It goes on unchanged, and as traceparent, too; without the wish, a new trace begins beside it."""
    _, lines = await traced(*given.items(), more=", b3: single, sample: 50%")
    assert lines["traceparent"] == [f"00-{TRACE}-{PARENT}-0{int(sampled)}"]
    assert {name: lines[name.lower()] for name in given} == {name: [value] for name, value in given.items()}
    _, lines = await traced(*given.items())
    assert parts(lines)["trace"] != TRACE


async def test_b3_of_64_bits_and_without_a_decision_is_completed() -> None:
    """The decision is made here then."""
    for sample, sampled in (("0", 0), ("100%", 1)):
        request, lines = await traced(("b3", f"{TRACE[16:]}-{PARENT}"), more=f", b3: single, sample: {sample}")
        whole = f"{'0' * 16}{TRACE[16:]}"
        assert request.trace_id == whole
        assert lines["traceparent"] == [f"00-{whole}-{PARENT}-0{sampled}"]
        assert lines["b3"] == [f"{whole}-{PARENT}-{sampled}"]


@pytest.mark.parametrize(("given", "flags"), [("0", "02"), ("1", "03")])
async def test_b3_may_be_a_decision_alone(given: str, flags: str) -> None:
    """The trace begins here."""
    _, lines = await traced(("b3", given), more=", b3: multi, sample: 50%")
    assert parts(lines)["flags"] == flags
    assert lines["x-b3-sampled"] == [str(int(flags, 16) & 1)]
    assert lines["x-b3-traceid"] == [parts(lines)["trace"]]
    assert lines["x-b3-spanid"] == [parts(lines)["parent"]]
    assert "b3" not in lines


@pytest.mark.parametrize(
    "given",
    [
        {"b3": "junk"},
        {"b3": f"{B3}-2"},
        {"b3": f"{'0' * 32}-{PARENT}-1"},
        {"b3": f"{TRACE}-{'0' * 16}-1"},
        {"X-B3-TraceId": TRACE},
        {"X-B3-TraceId": TRACE, "X-B3-SpanId": "1"},
        {"X-B3-TraceId": TRACE, "X_B3_SpanId": PARENT},
    ],
)
async def test_malformed_b3_is_replaced(given: dict[str, str]) -> None:
    """No backend sees any of it."""
    _, lines = await traced(*given.items(), more=", b3: multi")
    assert parts(lines)["trace"] != TRACE
    assert lines["x-b3-traceid"] == [parts(lines)["trace"]]


async def test_traceparent_goes_before_b3() -> None:
    """And strangers are believed in neither."""
    both = (("traceparent", CONTINUED), ("b3", f"{'1' * 32}-{PARENT}-0"))
    _, lines = await traced(*both, more=", b3: single")
    assert (lines["traceparent"], lines["b3"]) == ([CONTINUED], [f"{B3}-1"])
    _, lines = await traced(*both, more=", b3: single", trust="never")
    assert parts(lines)["trace"] not in {TRACE, "1" * 32}
    assert lines["b3"][0].startswith(parts(lines)["trace"])


@pytest.mark.parametrize(("named", "header"), [("tracecontext,b3", "b3"), ("b3multi, baggage", "x-b3-traceid")])
async def test_the_variable_of_opentelemetry_names_b3(monkeypatch: pytest.MonkeyPatch, named: str, header: str) -> None:
    """Where the configuration does not."""
    monkeypatch.setenv("OTEL_PROPAGATORS", named)
    assert header in (await traced())[1]


@pytest.mark.parametrize("share", ["101%", "1.5", "-1", "much", "true", "1s"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    """With what is expected."""
    (error,) = errors(f"trace: {{sample: {share}}}")
    assert "trace.sample" in error
    assert "1%" in error


def test_an_exporter_whose_packages_are_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is to be installed: otherwise only the log of a running gateway would say it."""
    monkeypatch.setattr("gateway.monitor.telemetry.exporting.find_spec", lambda name: None)
    (error,) = errors("telemetry: {exporter: grpc}")
    assert "telemetry.exporter" in error
    assert "flowmaster-gateway[otlp-grpc]" in error
    assert not errors("telemetry: {exporter: http}")


def test_a_typing_error_is_reported() -> None:
    """With the values that there are."""
    (error,) = errors("trace: {enabled: true, trust: proxy}")
    assert "trace.trust" in error
    assert "proxies" in error


async def test_backend_and_log_get_the_same_trace(tmp_path: Path) -> None:
    """On the wire, in the line of a request that is refused, and in its problem document."""
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
                answer = await exchange(gateway.port, head.encode())
            await eventually(lambda: gateway.access_log.count("\n") == 2)
            records = [orjson.loads(line) for line in gateway.access_log.splitlines()]
    assert f'"trace_id":"{TRACE}"'.encode() in answer
    (header,) = TRACEPARENT.finditer(heads[0])
    assert (header["trace"], len(heads)) == (TRACE, 1)
    assert [(record["status"], record["trace_id"]) for record in records] == [(204, TRACE), (403, TRACE)]
