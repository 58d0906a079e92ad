"""The client's address by trusted proxies, and the forwarded headers of the backend."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.http import Exchange
from gateway.http.addresses import peer_address
from gateway.http.forwarded import Caller, TrustedProxies, forwarded_elements, parameter
from gateway.upstream.request import forwarding_headers
from tests.support import computes_within

PROXIES = TrustedProxies([ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("2001:db8:a::/48")])


def caller(*lines: str, peer: str = "127.0.0.1", scheme: str = "http") -> Caller:
    headers = [(name.lower().encode(), value.encode()) for name, _, value in (line.partition(": ") for line in lines)]
    return PROXIES.caller(peer, scheme, headers, dict(headers))


def forwarded_fields(
    *lines: str, peer: str = "127.0.0.1", host: str = "a.test", paths: tuple[str, str] = ("/", "/")
) -> dict[str, str]:
    """What the backend gets."""
    headers = [(name.lower().encode(), value.encode()) for name, _, value in (line.partition(": ") for line in lines)]
    fields = dict(headers)
    who = PROXIES.caller(peer, "http", headers, fields)
    exchange = Exchange(
        "id", "GET", paths[0], b"", headers, fields, who.scheme, host, peer, who.peer_trusted, who.client
    )
    exchange.outer_host, exchange.outer_port, exchange.target_path = who.host, who.port, paths[1]
    made = forwarding_headers(exchange)
    assert len(dict(made)) == len(made)
    return {name.decode(): value.decode() for name, value in made}


@pytest.mark.parametrize(
    ("value", "client", "scheme", "host"),
    [
        ("for=6.6.6.6;proto=https, for=203.0.113.9;proto=http", "203.0.113.9", "http", ""),
        ("for=6.6.6.6;proto=http;host=evil, for=203.0.113.9;proto=https;host=a", "203.0.113.9", "https", "a"),
        ("for=203.0.113.9;proto=https;host=a, for=10.0.0.1;proto=http;host=b", "203.0.113.9", "https", "a"),
        ("for=203.0.113.9;proto=https, for=10.0.0.1", "203.0.113.9", "https", ""),
        ("for=6.6.6.6;proto=https, for=203.0.113.9", "203.0.113.9", "http", ""),
        ('for="203.0.113.9:4711";host="a.test:8443";proto=https', "203.0.113.9", "https", "a.test:8443"),
        ('for=203.0.113.9;host="a, b";proto=https', "203.0.113.9", "https", ""),
        ('for=203.0.113.9;by="a;b=c,d";PROTO=HTTPS', "203.0.113.9", "https", ""),
        ('for=203.0.113.9;by="a\\"b, for=6.6.6.6";proto=https', "203.0.113.9", "https", ""),
        ('for="6.6.6.6;proto=https, for=203.0.113.9;proto=http', "203.0.113.9", "http", ""),
        ('for="6.6.6.6;proto=https, for="[2001:db8::9]";proto=http', "2001:db8::9", "http", ""),
        ('for="[2001:db8::9]:4711";proto=wss', "2001:db8::9", "https", ""),
        ('For="[2001:DB8::9]" ; Proto=ws', "2001:db8::9", "http", ""),
        ("for=[2001:db8::9];proto=https", "2001:db8::9", "https", ""),
        ("for=203.0.113.9:_port;proto=https", "203.0.113.9", "https", ""),
        ("for=203.0.113.9;proto=ftp", "203.0.113.9", "http", ""),
        (", ,for=203.0.113.9;proto=https, ,", "203.0.113.9", "https", ""),
        ("for=unknown;proto=https", "127.0.0.1", "https", ""),
        ("for=6.6.6.6;proto=http, for=_hidden;proto=https", "127.0.0.1", "https", ""),
        ("for=6.6.6.6;proto=http, for=unknown;proto=https, for=10.0.0.1;proto=http", "10.0.0.1", "https", ""),
        ("proto=https", "127.0.0.1", "https", ""),
        ("for=203.0.113.9;proto=https;host=a/b", "203.0.113.9", "https", ""),
        ("for=203.0.113.9;proto=https;host=" + "a" * 300, "203.0.113.9", "https", ""),
        ("", "127.0.0.1", "http", ""),
        (';;==,"', "127.0.0.1", "http", ""),
    ],
)
def test_all_that_counts_is_the_element_of_the_client(value: str, client: str, scheme: str, host: str) -> None:
    """Scheme and host come from the element of Forwarded that gives the client, and from no other."""
    who = caller(f"Forwarded: {value}")
    assert (who.client, who.scheme, who.host) == (client, scheme, host)


def test_two_forwarded_lines_are_one_list() -> None:
    """What a second line says stands nearer; a quote that is left open in one does not reach into the other."""
    near = "Forwarded: for=203.0.113.9;proto=https"
    assert caller("Forwarded: for=6.6.6.6;proto=http", near)[:2] == ("203.0.113.9", "https")
    assert caller('Forwarded: for="6.6.6.6', near)[:2] == ("203.0.113.9", "https")
    assert caller(near, "Forwarded: for=10.0.0.1;proto=http")[:2] == ("203.0.113.9", "https")


FAR, NEAR = "X-Forwarded-For: 203.0.113.9, 10.0.0.1", "X-Forwarded-For: 6.6.6.6, 203.0.113.9"


@pytest.mark.parametrize(
    ("lines", "scheme"),
    [
        (["X-Forwarded-Proto: https"], "https"),
        (["X-Forwarded-Proto: wss"], "https"),
        (["X-Forwarded-Proto: WSS"], "https"),
        (["X-Forwarded-Proto: ws"], "http"),
        (["X-Forwarded-Proto: https,https"], "https"),
        (["X-Forwarded-Proto: https", "X-Forwarded-Proto: https"], "https"),
        (["X-Forwarded-Proto: https, http"], "http"),
        ([FAR, "X-Forwarded-Proto: https, http"], "https"),
        ([FAR, "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"], "https"),
        ([FAR, "X-Forwarded-Proto: https"], "https"),
        ([FAR, "X-Forwarded-Proto: , https ,, http,"], "https"),
        ([NEAR, "X-Forwarded-Proto: https, http"], "http"),
        ([NEAR, "X-Forwarded-Proto: http, https"], "https"),
        (["X-Forwarded-For: 203.0.113.9, 10.0.0.1, 10.0.0.2", "X-Forwarded-Proto: https, https, http"], "https"),
        (["X-Forwarded-For: 203.0.113.9, 10.0.0.1, 10.0.0.2", "X-Forwarded-Proto: https, http"], "http"),
        (["X-Forwarded-Proto: gopher"], "http"),
        (["X-Forwarded-Proto: "], "http"),
        (["X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9;proto=https"], "http"),
        (["X-Forwarded-Proto: http", "Forwarded: for=203.0.113.9;proto=https"], "https"),
        (["X-Forwarded-Proto: https", "Forwarded: for=203.0.113.9"], "https"),
    ],
)
def test_lists_align_with_the_client(lines: list[str], scheme: str) -> None:
    """The scheme is the one at the client's place, as nothing or everything else may be forged."""
    assert caller(*lines).scheme == scheme


def test_where_nothing_aligns_the_connection_counts() -> None:
    """A scheme that cannot be understood leaves the one that the connection to the gateway has."""
    for lines in (["X-Forwarded-Proto: http, ftp"], ["X-Forwarded-Proto: x"], ["Forwarded: for=203.0.113.9"]):
        assert caller(*lines, scheme="https").scheme == "https"


def test_a_stranger_says_nothing() -> None:
    """Of a peer that is not trusted, no line counts."""
    lines = ["Forwarded: for=6.6.6.6;proto=https;host=evil", "X-Forwarded-Proto: https", "X-Forwarded-Port: 1"]
    assert caller(*lines, peer="203.0.113.1") == Caller("203.0.113.1", "http", False, "", "")


@pytest.mark.parametrize(
    ("hop", "client"),
    [
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ('"[2001:db8::9]:1"', "2001:db8::9"),
        ("[2001:db8::9]x", "127.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("203.0.113.9:x", "127.0.0.1"),
        ("1" * 5000, "127.0.0.1"),
        ("203.0.113.9 evil", "127.0.0.1"),
    ],
)
def test_addresses_of_hops(hop: str, client: str) -> None:
    """An address has one spelling, whatever proxy wrote it; what is none hides the client."""
    assert caller(f"X-Forwarded-For: {hop}").client == client


@pytest.mark.parametrize(
    ("lines", "host", "port"),
    [
        ([], "a.test", "80"),
        (["X-Forwarded-Host: outer.test"], "outer.test", "80"),
        (["X-Forwarded-Host: outer.test:8443", "X-Forwarded-Proto: https"], "outer.test:8443", "8443"),
        (["X-Forwarded-Proto: https"], "a.test", "443"),
        (["X-Forwarded-Port: 8443", "X-Forwarded-Proto: https"], "a.test", "8443"),
        ([FAR, "X-Forwarded-Host: outer.test, inner.test", "X-Forwarded-Port: 1, 2"], "outer.test", "1"),
        ([NEAR, "X-Forwarded-Host: evil.test, inner.test", "X-Forwarded-Port: 1, 2"], "inner.test", "2"),
        (["X-Forwarded-Host: a b", "X-Forwarded-Port: 70000"], "a.test", "80"),
        (["X-Forwarded-Host: evil.test/@x", "X-Forwarded-Port: -1"], "a.test", "80"),
        (["Forwarded: for=203.0.113.9;host=outer.test;proto=https", "X-Forwarded-Host: x.test"], "outer.test", "443"),
        (['Forwarded: for=203.0.113.9;host="[2001:db8::1]:81"'], "[2001:db8::1]:81", "81"),
    ],
)
def test_host_and_port_for_the_backend(lines: list[str], host: str, port: str) -> None:
    """The backend gets the host and the port that the client asked for."""
    fields = forwarded_fields(*lines)
    assert (fields["x-forwarded-host"], fields["x-forwarded-port"]) == (host, port)


@pytest.mark.parametrize(
    ("host", "port"), [("a.test", "80"), ("a.test:9000", "9000"), ("[::1]", "80"), ("[::1]:9000", "9000"), ("", "80")]
)
def test_port_of_a_stranger(host: str, port: str) -> None:
    """Without a proxy, the port is that of Host, or the usual one of the scheme."""
    assert forwarded_fields(peer="203.0.113.1", host=host)["x-forwarded-port"] == port


@pytest.mark.parametrize(
    ("came", "sent", "before", "prefix"),
    [
        ("/users/7", "/users/7", "", None),
        ("/api/users/7", "/users/7", "", "/api"),
        ("/api/v1", "/", "", "/api/v1"),
        ("/api/v1/", "/", "", "/api/v1"),
        ("/old/x", "/new/x", "", None),
        ("/a/../api/x%3Ay", "/x%3Ay", "", "/api"),
        ("/api/x%3ay", "/x:y", "", "/api"),
        ("//api//a//b", "//a//b", "", "/api"),
        ("/api/x", "/x", "/outer", "/outer/api"),
        ("/x", "/x", "/outer/", "/outer"),
        ("/x", "/x", "//evil.test", None),
        ("/x", "/x", "https://evil.test", None),
    ],
)
def test_a_prefix_that_was_stripped(came: str, sent: str, before: str, prefix: str | None) -> None:
    """The backend gets the stripped prefix, after one that a trusted proxy had stripped before."""
    lines = [f"X-Forwarded-Prefix: {before}"] if before else []
    assert forwarded_fields(*lines, paths=(came, sent)).get("x-forwarded-prefix") == prefix
    mine = forwarded_fields(*lines, peer="203.0.113.1", paths=(came, sent)).get("x-forwarded-prefix")
    assert mine == (None if came == sent else prefix and prefix.removeprefix("/outer"))


def test_forwarded_and_x_forwarded_for_agree() -> None:
    """A Forwarded that contradicts the X-Forwarded-For from which the client was taken is not passed on."""
    fields = forwarded_fields("X-Forwarded-For: 203.0.113.9, 10.0.0.1", "Forwarded: for=6.6.6.6;proto=https")
    assert fields["x-forwarded-for"] == "203.0.113.9, 10.0.0.1, 127.0.0.1"
    assert fields["forwarded"] == "for=203.0.113.9, for=10.0.0.1, for=127.0.0.1;host=a.test;proto=http"
    fields = forwarded_fields("X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9;proto=https;by=_x")
    assert fields["forwarded"].startswith("for=203.0.113.9;proto=https;by=_x, for=127.0.0.1")


@pytest.mark.parametrize("hop", ['fe80::1%"x', 'a::b"', '[::1"]:1', '"', 'x"y', "a::b\\", 'a"', '[::1]"x'])
def test_no_hop_opens_quotes(hop: str) -> None:
    """Whatever a client writes as a hop, a backend reads in `Forwarded` what the proxies behind it have written."""
    fields = forwarded_fields(f"X-Forwarded-For: {hop}, 203.0.113.9")
    elements = forwarded_elements([(b"forwarded", fields["forwarded"].encode())])
    assert [parameter(element, b"for") for element in elements[-2:]] == [b"203.0.113.9", b"127.0.0.1"]
    assert fields["forwarded"].count('"') % 2 == 0
    assert "\\" not in fields["forwarded"]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:0:192.0.2.1", "::ffff:0:192.0.2.1"),
        ("::192.0.2.1", "::192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:db8::ffff:1", "2001:db8::ffff:1"),
        ("unknown", "unknown"),
    ],
)
def test_addresses_of_peers(name: str, address: str) -> None:
    """A peer is known by its IPv4 address, whatever the family of the listener, and without a zone."""
    assert peer_address(name) == address


@pytest.mark.parametrize("empty", ["", ", ,", "\t,"])
def test_no_list_has_an_empty_element(empty: str) -> None:
    """A proxy's empty header makes no empty hop of what backends get, which some would take for the client."""
    fields = forwarded_fields(f"X-Forwarded-For: {empty}", "X-Forwarded-For: 203.0.113.9,")
    assert fields["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    assert forwarded_fields(f"Forwarded: {empty}")["forwarded"] == "for=127.0.0.1;host=a.test;proto=http"


def test_a_list_as_long_as_a_head_costs_little() -> None:
    """Of thousands of hops, the nearest are looked at."""

    def look() -> None:
        who = caller(
            "X-Forwarded-For: 6.6.6.6," + "10.0.0.1," * 3500 + "10.0.0.2", "X-Forwarded-Proto: " + "https," * 5000
        )
        assert (who.client, who.scheme) == ("10.0.0.1", "https")
        assert caller("Forwarded: " + "for=6.6.6.6;proto=https," * 1300 + "for=203.0.113.9").scheme == "http"

    assert computes_within(0.1, look)
