import pytest

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Identity, Response
from gateway.http.testing import make_exchange
from gateway.upstream.request import request_headers

from .support import answering, chain, errors, header

FORGED = "path=/a;host=h%3Bconsumer%3Dadmin;consumer=x"


async def sent(middleware: str, exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """The lines that the backend gets."""
    await chain(middleware, answering())(exchange)
    return request_headers(exchange)


async def test_request_headers_are_set_added_and_removed() -> None:
    """The backend gets one value, one more value, or none, also of what is spelt with an underscore."""
    rules = "headers: {x: {request: {set: {X-One: a}, add: {X-More: b}, remove: [X-Gone]}}}"
    headers = [("X-One", "client"), ("x_one", "client"), ("X-More", "client"), ("X-Gone", "client")]
    lines = await sent(rules, make_exchange(headers=headers))
    names = ("x-one", "x-more", "x-gone")
    chosen = [line for line in lines if line[0].replace(b"_", b"-").decode() in names]
    assert chosen == [(b"x-more", b"client"), (b"x-one", b"a"), (b"x-more", b"b")]


async def test_a_rule_overrides_headers_of_other_policies() -> None:
    """An operator can rename or drop the headers of the identity."""
    exchange = make_exchange()
    exchange.extra_headers = ((b"x-consumer-name", b"acme"),)
    lines = await sent("headers: {x: {request: {remove: [X-Consumer-Name]}}}", exchange)
    assert b"x-consumer-name" not in dict(lines)


async def test_rules_of_one_route_work_in_the_order_of_the_file() -> None:
    """A later rule undoes what an earlier one has set."""
    rules = "headers: {one: {request: {set: {X-A: a, X-B: b}}}, two: {request: {remove: [X-A], add: {X-B: c}}}}"
    lines = await sent(rules, make_exchange())
    assert [line for line in lines if line[0] in (b"x-a", b"x-b")] == [(b"x-b", b"b"), (b"x-b", b"c")]


async def test_values_may_have_variables() -> None:
    """What is known of the request goes in; a double brace is for the word itself, other braces are braces."""
    value = "{request_id}|{client}|{consumer}|{tenant}|{route}|{host}|{scheme}|{method}|{path}|{{client}}|{1}"
    exchange = make_exchange("POST", "/a/b?c=d")
    exchange.identity = Identity("acme-app", "keys", tenant="acme")
    lines = dict(await sent(f"headers: {{x: {{request: {{set: {{X-A: '{value}'}}}}}}}}", exchange))
    assert lines[b"x-a"] == b"req-1|192.0.2.1|acme-app|acme|test|api.example.com|https|POST|/a/b|{client}|{1}"


async def test_a_header_whose_value_comes_out_empty_is_left_out() -> None:
    """Without a consumer, no header is set."""
    lines = dict(
        await sent("headers: {x: {request: {set: {X-A: '{consumer}'}}}}", make_exchange(headers=[("X-A", "me")]))
    )
    assert b"x-a" not in lines


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "zoë"])
async def test_no_value_can_end_its_line(name: str) -> None:
    """What a token says of a consumer may be any text: what is not printable ASCII is percent-encoded."""
    exchange = make_exchange()
    exchange.identity = Identity(name, "login")
    value = dict(await sent("headers: {x: {request: {set: {X-A: '{consumer}'}}}}", exchange))[b"x-a"].decode()
    assert value.isascii()
    assert value.isprintable()


@pytest.mark.parametrize(
    ("value", "host", "consumer", "made"),
    [
        ("path={path};host={host};consumer={consumer}", "h;consumer=admin", "x", FORGED),
        ("host={host}&consumer={consumer}", "h&consumer=admin", "x", "host=h%26consumer%3Dadmin&consumer=x"),
        ("c={consumer}", "h", "a\"b'c,d\\e f%", "c=a%22b%27c%2Cd%5Ce%20f%25"),
        ("c={consumer}", "h", "aé", "c=a%C3%A9"),
        ("c={consumer}", "h", "a%C3%A9", "c=a%25C3%25A9"),
        ("{consumer}", "h", "aé", "a%C3%A9"),
        ("{consumer}", "h", "a%C3%A9", "a%25C3%25A9"),
        ("{consumer}", "h", " a=b; c", "%20a=b;%20c"),
        ("{tenant}/{consumer}", "h", "other/admin", "t/other%2Fadmin"),
        ("{consumer}:{route}", "h", "a:b", "a%3Ab:test"),
        ("https://{host}{path}", "h:8443", "x", "https://h:8443/a"),
        ("{path}", "h", "x", "/a"),
        ("{consumer}{path}", "h", "", "/a"),
    ],
)
async def test_no_part_of_a_value_can_pass_for_another(value: str, host: str, consumer: str, made: str) -> None:
    """What clients and token issuers choose stays within its part of the value, and different texts look different."""
    exchange = make_exchange("GET", "/a")
    exchange.host = host
    exchange.identity = Identity(consumer, "login", tenant="t")
    lines = dict(await sent(f"headers: {{x: {{request: {{set: {{X-A: '{value}'}}}}}}}}", exchange))
    assert lines[b"x-a"].decode() == made


async def test_response_headers_are_set_added_and_removed() -> None:
    """The client gets what the rules say instead of what the backend said."""
    rules = "headers: {x: {response: {set: {X-One: '{route}'}, add: {X-More: b}, remove: [Server]}}}"
    lines = [(b"x-one", b"1"), (b"x-one", b"2"), (b"x-more", b"a"), (b"server", b"old")]
    response = await chain(rules, answering(lambda: Response(200, list(lines))))(make_exchange())
    assert response.headers == [(b"x-more", b"a"), (b"x-one", b"test"), (b"x-more", b"b")]


async def test_errors_have_the_response_headers_too() -> None:
    """Security headers are on refusals and failures; what a problem document says of itself stays."""

    async def failing(exchange: Exchange) -> Response:
        raise GatewayError(ErrorKind.UPSTREAM_REFUSED, "no", headers=((b"x-inner", b"1"), (b"x-gone", b"1")))

    rules = "headers: {x: {response: {set: {X-Frame-Options: DENY, Cache-Control: public}, remove: [x-gone]}}}"
    with pytest.raises(GatewayError) as caught:
        await chain(rules, failing)(make_exchange())
    assert caught.value.headers == ((b"x-inner", b"1"), (b"x-frame-options", b"DENY"))


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ("request: {set: {Host: a}}", "preserve_host"),
        ("request: {remove: [Content-Length]}", "framed"),
        ("request: {add: {content_length: '1'}}", "framed"),
        ("request: {set: {Transfer-Encoding: chunked}}", "framed"),
        ("response: {remove: [Connection]}", "framed"),
        ("request: {set: {X-Forwarded-For: 1.2.3.4}}", "trusted_proxies"),
        ("response: {remove: [Content-Encoding]}", "body"),
        ('response: {set: {X-A: "a\\r\\nb"}}', "control characters"),
        ("response: {set: {X-A: zoë}}", "ASCII"),
        ("response: {set: {X-A: '{consumr}'}}", "{consumer}"),
        ("response: {set: {X-A: '1', x-a: '2'}}", "duplicated"),
        ("response: {set: {'X A': '1'}}", "header name"),
    ],
)
def test_what_would_break_messages_is_refused_at_load(rule: str, word: str) -> None:
    """The error says why, and what to do instead."""
    found = errors(f"headers: {{x: {{{rule}}}}}")
    assert len(found) == 1
    assert word in found[0]


async def test_an_unknown_tenant_is_empty_within_a_value() -> None:
    """The rest of the value stays."""
    response = await chain("headers: {x: {response: {set: {X-A: 't={tenant}'}}}}", answering())(make_exchange())
    assert header(response, b"x-a") == [b"t="]
