"""Headers of the backend's request, and of the client's response."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.http import WholeBody
from gateway.http.testing import make_exchange
from gateway.upstream.request import request_headers
from tests.support import running_gateway, scripted_backend
from tests.upstream.conftest import Sites
from tests.upstream.wire import OK, Script, Wire, always, connected, read_message


def recording(requests: list[Wire]) -> Script:
    """A backend that keeps what it gets."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            requests.append(await read_message(reader))
            writer.write(OK)

    return script


async def sent(
    sites: Sites,
    *lines: str,
    kind: str = "plain",
    body: bytes = b"",
    method: str = "GET",
    tail: bytes = b"",
    version: str = "1.1",
) -> Wire:
    """What reaches the backend of a request with these header lines; `tail` follows them as it is."""
    requests: list[Wire] = []
    async with sites.backend(recording(requests), kind) as backend, connected(sites.gateway.port) as (reader, writer):
        head = [f"{method} {backend.path}/x HTTP/{version}", "Host: example.test", "Connection: close", *lines]
        head += [f"Content-Length: {len(body)}"] if body else []
        writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + body + tail)
        assert (await read_message(reader)).status == 200
    return requests[0]


HOP_BY_HOP = [
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic x",
    "TE: gzip",
    "Proxy: http://evil",
    "HTTP2-Settings: x",
]


async def test_hop_by_hop_request(sites: Sites) -> None:
    """Headers for the next hop only, and those that Connection names, end here."""
    lines = [*HOP_BY_HOP, "Connection: X-Private, x-other", "X-Private: 1", "X-Other: 2", "X-Kept: 3"]
    fields = (await sent(sites, *lines)).fields
    assert fields["x-kept"] == "3"
    assert not {line.partition(":")[0].lower() for line in lines} - {"x-kept"} & set(fields)


async def test_connection_cannot_drop_everything(sites: Sites) -> None:
    """What the backend relies on stays, though Connection names it."""
    names = "Host, X-Forwarded-For, Forwarded, Authorization, Cookie, Content-Length, Content-Type, X-Request-Id, Via"
    lines = [f"Connection: close, {names}", "Authorization: a", "Cookie: b", "Content-Type: c/d"]
    request = await sent(sites, *lines, body=b"1234", method="POST")
    assert {name.strip().lower() for name in names.split(",")} <= set(request.fields)
    assert request.body == b"1234"


async def test_hop_by_hop_response(sites: Sites) -> None:
    """The same towards the client; Set-Cookie survives, each line of it."""
    lines = (
        b"Connection: X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\n"
    )
    answer = OK.replace(b"200 OK\r\n", b"200 OK\r\n" + lines + b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Kept: 3\r\n")
    async with sites.backend(always(answer)) as backend:
        response = await sites.get(backend.path + "/x")
        assert response.all("set-cookie") == ["a=1", "b=2"]
        assert response.fields["x-kept"] == "3"
        assert not {"x-private", "keep-alive", "proxy-authenticate", "upgrade"} & set(response.fields)


@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        ("GET", b"", {}),
        ("POST", b"", {}),
        ("GET", b"abc", {"content-length": "3"}),
        ("POST", b"abc", {"content-length": "3"}),
    ],
)
async def test_framing(sites: Sites, method: str, body: bytes, framing: dict[str, str]) -> None:
    """A body is framed as the client framed it; none is not framed at all."""
    request = await sent(sites, method=method, body=body)
    lines = {name: value for name, value in request.headers if name in ("content-length", "transfer-encoding")}
    assert (lines, request.body) == (framing, body)


async def test_empty_post_keeps_its_length(sites: Sites) -> None:
    """A Content-Length of 0 stays, because some backends answer 411 without."""
    assert (await sent(sites, "Content-Length: 0", method="POST")).fields["content-length"] == "0"


def test_no_length_is_empty() -> None:
    """A body of no bytes that a policy has put in the place of none has the length 0."""
    exchange = make_exchange("POST", body=b"")
    exchange.body = WholeBody(b"", [])
    assert dict(request_headers(exchange))[b"content-length"] == b"0"


async def test_host(sites: Sites) -> None:
    """The backend is asked by its own name, or by the client's where the route preserves it."""
    request = await sent(sites)
    assert request.fields["host"].startswith("127.0.0.1:")
    preserved = await sent(sites, kind="preserving")
    assert (preserved.all("host"), preserved.fields["x-forwarded-host"]) == (["example.test"], "example.test")


async def test_repeated_headers_keep_their_order(sites: Sites) -> None:
    """Lines of the same name stay apart and in order."""
    assert (await sent(sites, "X-A: 1", "X-B: 2", "X-A: 3")).all("x-a") == ["1", "3"]


FORGED = [
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-For: 7.7.7.7",
    "X_Forwarded_For: 6.6.6.6",
    "X-Forwarded_Proto: https",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /evil",
    "Forwarded: for=6.6.6.6",
    "X-Real-IP: 6.6.6.6",
    "X_Real_IP: 6.6.6.6",
    "X-Request-Id: forged",
]


async def test_untrusted_peer(sites: Sites) -> None:
    """Of what a stranger says about where a request came from, nothing reaches the backend."""
    request = await sent(sites, *FORGED, "Via: 1.0 old")
    fields = request.fields
    about = {name: value for name, value in request.headers if "forward" in name or "real" in name}
    assert about == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "example.test",
        "x-forwarded-port": "80",
        "forwarded": "for=127.0.0.1;host=example.test;proto=http",
        "x-real-ip": "127.0.0.1",
    }
    assert fields["via"] == "1.0 old, 1.1 gateway"
    assert fields["x-request-id"] != "forged"


async def test_via_names_the_version_of_the_request(sites: Sites) -> None:
    """Via tells the backend in which version of HTTP each hop was asked (RFC 9110, 7.6.3)."""
    assert (await sent(sites, version="1.1")).fields["via"] == "1.1 gateway"
    assert (await sent(sites, "Via: 1.1 before", version="1.0")).fields["via"] == "1.1 before, 1.0 gateway"


OF_PROXIES = [
    "X-Script-Name: /x",
    "X-Original-URL: /admin",
    "X-Original-Host: evil",
    "X-Rewrite-URL: /admin",
    "Front-End-Https: on",
    "X-Url-Scheme: https",
    "X-HTTP-Method-Override: DELETE",
    "X-Client-IP: 6.6.6.6",
    "True-Client-IP: 6.6.6.6",
    "CF-Connecting-IP: 6.6.6.6",
    "Client-Cert: :AAAA:",
    "X-SSL-Client-Verify: SUCCESS",
    "X-Accel-Mapping: /=/",
    "X-Sendfile-Type: X-Accel-Redirect",
    "X-Middleware-Subrequest: middleware",
    "X-HTTP-Host-Override: evil",
    "WL-Proxy-SSL: true",
    "X-ARR-ClientCert: AAAA",
    "CloudFront-Forwarded-Proto: https",
    "X-Auth-Request-User: root",
    "X-Authentik-Username: root",
    "X-Pomerium-Jwt-Assertion: x",
    "Tailscale-User-Login: root",
    "Cf-Access-Jwt-Assertion: x",
    "X-Forwarded-Ssl: on",
    "X-Forwarded: for=6.6.6.6",
]
UNKNOWN_HEADERS = [
    "Transfer_Encoding: chunked",
    "Content_Length: 5",
    "X.Consumer.Name: root",
    "X_Consumer_Name: root",
    "X.Forwarded.For: 6.6.6.6",
    "X!Forwarded~For: 6.6.6.6",
    "X_Custom: 1",
    "X.Custom: 1",
    *(f"X{mark}Consumer{mark}Name: root" for mark in "!#$%&'*+^`|~"),
]
"""Names that backends in the manner of CGI read as others."""


def names(lines: list[str]) -> set[str]:
    return {line.partition(":")[0].lower() for line in lines}


async def test_a_stranger_is_no_proxy(sites: Sites) -> None:
    """What frameworks believe because a proxy is to write it, no client writes; nor does a name pass for another."""
    fields = (await sent(sites, *OF_PROXIES, *UNKNOWN_HEADERS, "X-Custom: 2", "X-Http: 3")).fields
    assert not (names(OF_PROXIES) | names(UNKNOWN_HEADERS)) & set(fields)
    assert (fields["x-custom"], fields["x-http"]) == ("2", "3")


async def test_trailers_are_held_to_the_same(sites: Sites) -> None:
    """A trailer cannot say either what a header may not."""
    requests: list[Wire] = []
    async with sites.backend(recording(requests)) as backend, connected(sites.gateway.port) as (reader, writer):
        trailers = "\r\n".join([*OF_PROXIES, *UNKNOWN_HEADERS, "X-Checksum: 1"])
        head = f"POST {backend.path}/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        writer.write(f"{head}1\r\na\r\n0\r\n{trailers}\r\n\r\n".encode())
        assert (await read_message(reader)).status == 200
    assert requests[0].trailers == [("x-checksum", "1")]


async def test_connection_cannot_hide_what_the_gateway_says(sites: Sites) -> None:
    """Connection names the headers that the gateway adds in vain."""
    fields = (await sent(sites, "Connection: close, X-Forwarded-Port, X-Forwarded-Prefix, X-Real-IP")).fields
    assert (fields["x-forwarded-port"], fields["x-real-ip"]) == ("80", "127.0.0.1")


async def test_a_length_is_written_in_one_way(sites: Sites) -> None:
    """Zeros before a Content-Length, which some would read as octal, are not sent on."""
    for length, wanted in (("05", "5"), ("0005", "5")):
        request = await sent(sites, f"Content-Length: {length}", method="POST", tail=b"12345")
        assert (request.all("content-length"), request.body) == ([wanted], b"12345")
    assert (await sent(sites, "Content-Length: 000", method="POST")).all("content-length") == ["0"]


@pytest.mark.parametrize(("length", "body", "wanted"), [("05", b"12345", "5"), ("000", b"", "0"), ("0", b"", "0")])
async def test_so_is_that_of_a_response(sites: Sites, length: str, body: bytes, wanted: str) -> None:
    """Nor does a client get the zeros of a backend."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: " + length.encode() + b"\r\n\r\n" + body
    async with sites.backend(always(answer)) as backend:
        response = await sites.get(backend.path + "/x")
        assert (response.all("content-length"), response.body) == ([wanted], body)


async def received(
    tmp_path: Path,
    lines: list[str],
    *,
    path: str = "/x",
    route: str = "",
    middleware: str | None = None,
    auth: str = "{}",
) -> dict[str, str]:
    """What a backend gets of a request to a gateway with these files."""
    requests: list[Wire] = []
    pattern = "/v1/*" if "strip_prefix" in route else "/*"
    async with scripted_backend(recording(requests)) as port:
        routes = f"base_path: /api\nroutes: [{{path: '{pattern}', target: '127.0.0.1:{port}'{route}}}]"
        with running_gateway(tmp_path, routes, middleware, auth) as gateway:
            async with connected(gateway.port) as (reader, writer):
                writer.write("\r\n".join([f"GET {path} HTTP/1.1", "Host: a.test:81", *lines, "", ""]).encode())
                assert (await read_message(reader)).status == 200
            assert "Traceback" not in gateway.log
    return requests[0].fields


async def test_a_proxy_may_say_what_proxies_say(tmp_path: Path) -> None:
    """A trusted proxy's headers pass, with any name that is no other's."""
    fields = await received(tmp_path, [*OF_PROXIES, *UNKNOWN_HEADERS], auth="trusted_proxies: [127.0.0.0/8]")
    assert names(OF_PROXIES) <= set(fields)
    assert not names(UNKNOWN_HEADERS) & set(fields)


async def test_underscores_can_be_let_through(tmp_path: Path) -> None:
    """`underscore_headers: pass` keeps names with an underscore, but for those that could be the gateway's own."""
    limits = "limits: {underscore_headers: pass, allowed_proxy_headers: [X-HTTP-Method-Override]}"
    fields = await received(tmp_path, [*OF_PROXIES, *UNKNOWN_HEADERS], middleware=limits)
    assert {name for name in fields if "_" in name or "." in name or "!" in name} == {"x_custom"}
    assert names(OF_PROXIES) & set(fields) == {"x-http-method-override"}


@pytest.mark.parametrize(
    ("path", "route", "middleware", "prefix"),
    [
        ("/x", "", "", None),
        ("/api/x", "", "", "/api"),
        ("/v1/x", ", strip_prefix: /v1", "", "/v1"),
        ("/api/v1/x", ", strip_prefix: /v1", "", "/api/v1"),
        ("/x", ", rewrite: /y/$1", "", None),
        ("/api/x", "", "headers: {a: {request: {set: {X-Forwarded-Prefix: /mine}}}}", "/mine"),
        ("/api/x", "", "headers: {a: {request: {remove: [X-Forwarded-Prefix]}}}", None),
    ],
)
async def test_a_stripped_prefix(tmp_path: Path, path: str, route: str, middleware: str, prefix: str | None) -> None:
    """The backend learns what was taken off the path, and the port."""
    fields = await received(
        tmp_path, ["X-Forwarded-Prefix: //evil"], path=path, route=route, middleware=middleware or None
    )
    assert (fields.get("x-forwarded-prefix"), fields["x-forwarded-port"]) == (prefix, "81")


TRUSTED = [
    (["X-Forwarded-For: 9.9.9.9"], "9.9.9.9, 127.0.0.1", "9.9.9.9"),
    (["X-Forwarded-For: 6.6.6.6, 9.9.9.9, 10.0.0.1"], "6.6.6.6, 9.9.9.9, 10.0.0.1, 127.0.0.1", "9.9.9.9"),
    (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 9.9.9.9"], "6.6.6.6, 9.9.9.9, 127.0.0.1", "9.9.9.9"),
    (["X-Forwarded-For: 9.9.9.9:4711"], "9.9.9.9:4711, 127.0.0.1", "9.9.9.9"),
    (["X-Forwarded-For: [2001:db8::1]:4711"], "[2001:db8::1]:4711, 127.0.0.1", "2001:db8::1"),
    (["X-Forwarded-For: 2001:db8::1"], "2001:db8::1, 127.0.0.1", "2001:db8::1"),
    (["X-Forwarded-For: unknown, 10.0.0.1"], "unknown, 10.0.0.1, 127.0.0.1", "10.0.0.1"),
    (["X-Forwarded-For: garbage!"], "garbage!, 127.0.0.1", "127.0.0.1"),
    (["Forwarded: for=9.9.9.9;proto=https"], "9.9.9.9, 127.0.0.1", "9.9.9.9"),
    (['Forwarded: for="[2001:db8::1]:4711", for=10.0.0.1'], "[2001:db8::1]:4711, 10.0.0.1, 127.0.0.1", "2001:db8::1"),
    ([], "127.0.0.1", "127.0.0.1"),
]


async def test_a_trusted_peer_does_not_bring_back_what_is_hidden(tmp_path: Path) -> None:
    """A header that a scheme fills is no client's to fill, also where its name begins with X-Forwarded-."""
    requests: list[Wire] = []
    async with scripted_backend(recording(requests)) as port:
        routes = f"routes: [{{path: '/*', target: '127.0.0.1:{port}'}}]"
        asked = "{url: 'http://127.0.0.1:9/', response_headers: [X-Forwarded-User]}"
        auth = f"{{trusted_proxies: [127.0.0.0/8], schemes: {{asked: {{forward_auth: {asked}}}}}}}"
        with running_gateway(tmp_path, routes, auth=auth) as gateway:
            async with connected(gateway.port) as (reader, writer):
                writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: root\r\nX-Forwarded-Port: 443\r\n\r\n")
                assert (await read_message(reader)).status == 200
    assert "x-forwarded-user" not in requests[0].fields
    assert requests[0].fields["x-forwarded-port"] == "443"


async def test_trusted_peer(tmp_path: Path) -> None:
    """A trusted proxy's word is passed on, and the client is the nearest address that no trusted proxy vouches for."""
    requests: list[Wire] = []
    async with scripted_backend(recording(requests)) as port:
        routes = f"routes: [{{path: '/*', target: '127.0.0.1:{port}'}}]"
        auth = "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]"
        with running_gateway(tmp_path, routes, auth=auth) as gateway:
            async with connected(gateway.port) as (reader, writer):
                for lines, received, client in TRUSTED:
                    head = [
                        "GET /x HTTP/1.1",
                        "Host: a.test",
                        "X-Forwarded-Proto: https",
                        "X-Request-Id: req-1",
                        *lines,
                    ]
                    writer.write("\r\n".join([*head, "X-Forwarded-Port: 443", "", ""]).encode())
                    assert (await read_message(reader)).status == 200
                    fields = requests[-1].fields
                    assert (fields["x-forwarded-for"], fields["x-real-ip"]) == (received, client)
                    assert (fields["x-forwarded-proto"], fields["x-request-id"]) == ("https", "req-1")
                    assert fields["x-forwarded-port"] == "443"
                    assert fields["forwarded"].endswith("for=127.0.0.1;host=a.test;proto=https")
