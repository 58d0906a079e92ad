"""Headers and query parameters that are made of claims, captures, and other headers and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.checks import WARNINGS, run
from gateway.config.load import parse
from gateway.http import Exchange, Identity, Response
from gateway.http.fields import values
from gateway.http.testing import make_exchange
from gateway.upstream.request import request_headers
from tests.middleware.support import answering, chain, errors, header
from tests.resilience.support import backend, running

ROUTE = "- {{id: test, path: '/orgs/{{id}}/*', target: 'backend:80', set: {{{settings}}}}}\n"


def asked(target: str = "/", claims: Mapping[str, Any] | None = None, **options: Any) -> Exchange:
    """An exchange with what `{id}` took, and with the claims of a token."""
    exchange = make_exchange("GET", target, **options)
    exchange.parameters = {"id": "a%20b"}
    if claims is not None:
        exchange.identity = Identity("ann", "tokens", claims=claims)
    return exchange


async def sent(settings: str, exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """The lines that the backend gets."""
    await chain("", answering(), routes=ROUTE.format(settings=settings))(exchange)
    return request_headers(exchange)


async def test_headers_are_made_of_claims_parameters_headers_and_captures() -> None:
    """Alone and between other text; what the client sent under the same name is gone."""
    settings = "X-Org: '{claims.org}', X-Page: 'p={query.page}', X-Id: '{id}', X-Agent: '{headers.User-Agent}'"
    exchange = asked("/x?page=3&q=1", {"org": "acme"}, headers=[("X-Org", "evil"), ("User-Agent", "curl/8")])
    lines = await sent(settings, exchange)
    assert values(lines, b"x-org") == [b"acme"]
    found = dict(lines)
    assert (found[b"x-page"], found[b"x-id"], found[b"x-agent"]) == (b"p=3", b"a%20b", b"curl/8")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("claims.org", b"acme"),
        ("claims.level", b"3"),
        ("claims.admin", b"true"),
        ("claims.realm.role", b"reader"),
        ("claims.https://a.example/org", b"named"),
        ("claims.groups", b"a,b%2Cc,100%25"),
        ("claims.object", None),
        ("claims.mixed", None),
        ("claims.none", None),
        ("claims.empty", None),
        ("claims.org.deeper", None),
        ("claims.missing", None),
    ],
)
async def test_a_claim_is_a_text_a_number_a_truth_or_a_list(name: str, value: bytes | None) -> None:
    """Of anything else, and of what is missing, there is no header."""
    claims = {
        "org": "acme",
        "level": 3,
        "admin": True,
        "realm": {"role": "reader"},
        "https://a.example/org": "named",
        "groups": ["a", "b,c", "100%"],
        "object": {"a": 1},
        "mixed": ["a", {}],
        "none": None,
        "empty": "",
    }
    for exchange in (asked(claims=claims), asked(claims=claims, headers=[("X-A", "forged")])):
        lines = await sent(f"X-A: '{{{name}}}', X-B: 'b {{{name}}}'", exchange)
        assert values(lines, b"x-a") == ([] if value is None else [value])
        if name != "claims.empty":
            assert (b"x-b" in dict(lines)) is (value is not None)


async def test_without_a_caller_there_is_no_claim() -> None:
    """And a client cannot put one there."""
    lines = await sent("X-Org: '{claims.org}'", asked(headers=[("X-Org", "acme")]))
    assert values(lines, b"x-org") == []


@given(st.text(), st.text())
async def test_no_value_can_end_its_line_or_pass_for_another(claim: str, page: str) -> None:
    """Whatever a token or a query says: line ends, controls and what is not ASCII are percent-encoded."""
    exchange = asked("/x", {"org": claim})
    exchange.query = b"page=" + "".join(f"%{byte:02x}" for byte in page.encode("utf-8", "replace")).encode()
    lines = await sent("X-Org: '{claims.org}', X-Both: 'o={claims.org};p={query.page}'", exchange)
    for name in (b"x-org", b"x-both"):
        for value in values(lines, name):
            assert value.decode("ascii").isprintable()
            assert value == value.strip()
    assert all(value.count(b";") == 1 for value in values(lines, b"x-both"))


async def test_a_line_end_from_a_query_is_no_header() -> None:
    """The bytes arrive percent-encoded, as one value."""
    lines = await sent("X-Page: '{query.page}'", asked("/x?page=1%0d%0aX-Admin:%20yes%00%c3%a9"))
    assert dict(lines)[b"x-page"] == b"1%0D%0AX-Admin%3A%20yes%00%C3%A9".replace(b"%3A", b":")
    assert b"x-admin" not in dict(lines)


async def test_query_parameters_are_set() -> None:
    """In place of all of that name, however it is spelt; the others stay as they came, octet by octet."""
    seen: list[bytes] = []

    async def look(exchange: Exchange) -> Response:
        seen.append(exchange.query)
        return Response(200, [])

    settings = "query.org: '{claims.org}', query.id: '{id}', query.fixed: 'a b', query.from: '{headers.x-from}'"
    handler = chain("", look, routes=ROUTE.format(settings=settings))
    await handler(asked("/x?a=%7e&o%72g=evil&org=two&b&from=me", {"org": "a&b=c é\r\n"}))
    assert seen[0].startswith(b"a=%7e&b&")
    assert parse_qsl(seen[0].decode(), keep_blank_values=True) == [
        ("a", "~"),
        ("b", ""),
        ("org", "a&b=c é\r\n"),
        ("id", "a b"),
        ("fixed", "a b"),
    ]
    await handler(asked("/x?org=evil"))
    assert seen[1] == b"id=a%20b&fixed=a%20b"


async def test_rules_of_middleware_have_the_same_variables() -> None:
    """In both directions; in a route without the capture there is no header."""
    rules = "headers: {x: {request: {set: {X-Id: '{id}'}}, response: {set: {X-Page: '{query.page}', X-Id: 'i-{id}'}}}}"
    routes = "- {id: test, path: '/orgs/{id}', target: 'b:1'}\n- {id: other, path: /a, target: 'b:1'}\n"
    handler = chain(rules, answering(), routes=routes)
    exchange = asked("/x?page=2")
    response = await handler(exchange)
    assert dict(request_headers(exchange))[b"x-id"] == b"a%20b"
    assert (header(response, b"x-page"), header(response, b"x-id")) == ([b"2"], [b"i-a%20b"])
    exchange.parameters = {}
    assert header(await handler(exchange), b"x-id") == []


async def test_what_the_route_sets_goes_over_the_rules() -> None:
    """A route beats what is said for many."""
    routes = ROUTE.format(settings="X-A: route")
    exchange = asked()
    await chain("headers: {x: {request: {set: {X-A: rule}, add: {X-A: more}}}}", answering(), routes=routes)(exchange)
    assert values(request_headers(exchange), b"x-a") == [b"route"]


async def test_what_is_read_must_not_be_there_twice(tmp_path: Path) -> None:
    """The backend could take the other one; and on the wire all arrives as it was made."""
    async with backend() as made:
        route = f"path: '/o/{{id:[0-9]+}}', target: '{made.address}', set: {{X-P: '{{query.p}}', query.i: '{{id}}'}}"
        async with running(tmp_path, f"- {{{route}}}\n") as gateway:
            assert (await gateway.get("/o/7?p=1&p=2")).status_code == 400
            assert (await gateway.get("/o/7?p=a%20b")).text == "ok"
            assert made.requests[-1].start == "GET /o/7?p=a%20b&i=7 HTTP/1.1"
            assert made.requests[-1].all("x-p") == ["a b"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("X-A: '{nme}'", "there is no variable of this name"),
        ("X-A: '{claim.org}'", "there is no variable of this name"),
        ("X-A: '{headers.a b}'", ""),
        ("X-A: '{headers.a:b}'", "is not a header name"),
        ("X-A: é", "printable ASCII"),
        ("Host: a", "preserve_host"),
        ("Content-Length: '1'", "framed"),
        ("X-Forwarded-For: '{client}'", "the gateway itself sends this"),
        ("query.: a", "followed by the name of a query parameter"),
        ("X-A: a, x-a: b", "a header is duplicated"),
        ("X A: a", "header name"),
    ],
)
def test_names_are_checked(settings: str, expected: str) -> None:
    """What is set, and what it is made of."""
    found = errors("", routes=ROUTE.format(settings=settings))
    assert [expected in line for line in found] == ([True] if expected else [])


def test_a_capture_that_is_called_like_a_variable_is_reported() -> None:
    """It could be meant as either; and one that only some of several paths have is none."""
    (clash,) = errors("", routes="- {path: '/{tenant}', target: 'a:1', set: {X-T: '{tenant}'}}\n")
    assert "rename the capture" in clash
    (some,) = errors("", routes="- {paths: ['/{a}', /b], target: 'a:1', set: {X-A: '{a}'}}\n")
    assert "there is no variable of this name" in some
    group = "groups: [{prefix: '/g/{a}', set: {X-A: '{a}'}, target: 'a:1', routes: [{path: /b}, {path: /c}]}]\n"
    assert errors("", routes=group) == []


@pytest.mark.parametrize(("auth", "warned"), [("[]", True), ("[keys]", True), ("[tokens]", False)])
def test_check_warns_of_claims_that_no_caller_has(tmp_path: Path, auth: str, warned: bool) -> None:
    """Only tokens bring them."""
    route = "path: /a, target: 'asgi:a:b', set: {X-Org: '{claims.org}', X-A: '{client}'}"
    files = {
        "routes.yaml": f"- {{{route}, auth: {auth}}}\n",
        "auth.yaml": "schemes:\n  keys: {api_key: {header: X-API-Key}}\n"
        "  tokens: {jwt: {issuers: [{issuer: 'https://a.example', audiences: [a], algorithms: [RS256], "
        "jwks_url: 'https://a.example/keys'}]}}\n",
    }
    configuration = parse({name: text.encode() for name, text in files.items()}, {}, base=tmp_path)
    expected = [str(each) for each in run(WARNINGS, configuration, "warning") if "claims" in str(each)]
    assert [each.partition(": ")[2].partition(":")[0] for each in expected] == (["routes[0].set"] if warned else [])
