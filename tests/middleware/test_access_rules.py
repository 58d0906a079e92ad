"""Maintenance, address lists, content types, request ids."""

import pytest

from gateway.context import Explaining
from gateway.errors import GatewayError
from gateway.http import Exchange, Response
from gateway.http.media import MediaRanges
from gateway.http.testing import make_exchange
from gateway.middleware.request_id import RequestIds
from tests.support import computes_within

from .support import answering, build, chain, context, errors, header

TWO = "- {id: open, path: /a/*, target: 'b:80'}\n- {id: admin-users, path: /b/*, target: 'b:80'}\n"


async def refusal(middleware: str, exchange: Exchange, *, routes: str = TWO, route: int = 0) -> GatewayError | None:
    """The error that ends the exchange, None where it passes."""
    try:
        await chain(middleware, answering(), routes=routes, route=route)(exchange)
    except GatewayError as error:
        return error
    return None


async def test_maintenance_answers_503_and_when_to_come_back() -> None:
    """Clients get the reason, and after how many seconds to retry."""
    error = await refusal("maintenance: {enabled: true, retry_after: 1.5m, message: moving house}", make_exchange())
    assert error is not None
    assert (error.kind.status, error.detail, error.headers) == (503, "moving house", ((b"retry-after", b"90"),))


async def test_maintenance_leaves_exempt_routes_and_addresses_alone() -> None:
    """Operators can reach the service, and other routes are not affected."""
    text = "maintenance: {enabled: true, exempt_routes: [admin-*], exempt_networks: [10.0.0.0/8]}"
    assert await refusal(text, make_exchange(), route=1) is None
    assert await refusal(text, make_exchange(client="10.1.1.1")) is None
    assert await refusal(text, make_exchange(client="11.1.1.1")) is not None


async def test_maintenance_is_off_unless_it_is_enabled() -> None:
    """A prepared section does nothing."""
    assert await refusal("maintenance: {message: soon}", make_exchange()) is None


async def test_only_listed_addresses_reach_a_route() -> None:
    """Others are a 403 that names the rule; other routes are not concerned."""
    text = "ip_allow: {office: {networks: [10.0.0.0/8, '2001:db8::/32'], routes: [admin-*]}}"
    exchange = make_exchange(client="192.0.2.7")
    error = await refusal(text, exchange, route=1)
    assert error is not None
    assert error.kind.status == 403
    assert exchange.decisions[-1].rule == "ip_allow:office"
    for client in ("10.2.3.4", "::ffff:10.2.3.4", "2001:db8::5"):
        assert await refusal(text, make_exchange(client=client), route=1) is None
    assert await refusal(text, make_exchange(client="192.0.2.7"), route=0) is None


async def test_a_client_must_be_in_every_list_of_a_route() -> None:
    """Two lists narrow each other."""
    text = "ip_allow: {all: {networks: [10.0.0.0/8]}, one: {networks: [10.1.0.0/16]}}"
    assert await refusal(text, make_exchange(client="10.1.0.1")) is None
    assert await refusal(text, make_exchange(client="10.2.0.1")) is not None


@pytest.mark.parametrize(
    "text",
    [
        "ip_allow: {x: {networks: [10.0.0.0/8], mode: shadow}}",
        "content_types: {x: {allow: [application/json], mode: shadow}}",
        "maintenance: {enabled: true, mode: shadow}",
    ],
)
async def test_shadow_mode_records_and_lets_pass(text: str) -> None:
    """A new rule can be watched before it bites."""
    exchange = make_exchange("POST", body=b"x")
    assert await refusal(text, exchange) is None
    assert [decision.verdict for decision in exchange.decisions] == ["shadow-deny"]


@pytest.mark.parametrize(
    ("allowed", "sent", "passes"),
    [
        ("application/json", "application/json", True),
        ("application/json", "Application/JSON; charset=utf-8", True),
        ("application/json", "application/jsonp", False),
        ("application/json", "text/plain", False),
        ("application/json", "application/json, text/plain", False),
        ("application/json", None, False),
        ("application/json", "", False),
        ("image/*", "image/png", True),
        ("image/*", "images/png", False),
        ("application/*+json", "application/problem+json", True),
        ("application/*+json", "application/json", False),
        ("'*/*'", "x/y", True),
        ("'*/*'", "nonsense", False),
        ("text/plain; charset=utf-8", 'text/plain; format=flowed; CHARSET="UTF-8"', True),
        ("text/plain; charset=utf-8", "text/plain; charset=latin-1", False),
        ("text/plain; charset=utf-8", "text/plain", False),
    ],
)
async def test_bodies_of_other_types_are_a_415(allowed: str, sent: str | None, passes: bool) -> None:
    """Types are compared without regard to case; parameters count only where the pattern has them."""
    headers = [] if sent is None else [("Content-Type", sent)]
    error = await refusal(
        f"content_types: {{x: {{allow: [{allowed}]}}}}", make_exchange("POST", headers=headers, body=b"x")
    )
    assert (error is None) is passes
    if error is not None:
        assert error.kind.status == 415
        assert error.headers == ((b"accept", allowed.strip("'").encode()),)


async def test_two_content_types_are_refused() -> None:
    """The backend might believe the other one."""
    headers = [("Content-Type", "text/plain"), ("Content-Type", "application/json")]
    text = "content_types: {x: {allow: [application/json]}}"
    assert await refusal(text, make_exchange("POST", headers=headers, body=b"x")) is not None


async def test_a_request_without_a_body_needs_no_type() -> None:
    """GET is not concerned, nor is a POST of nothing."""
    text = "content_types: {x: {allow: [application/json]}}"
    assert await refusal(text, make_exchange(headers=[("Content-Type", "text/plain")])) is None


async def test_rules_say_what_they_would_decide() -> None:
    """`gateway explain` can name the rule, without anything happening."""
    text = "maintenance: {enabled: true, exempt_networks: [10.0.0.0/8]}\nip_allow: {office: {networks: [10.0.0.0/8]}}"
    explaining: list[Explaining] = [rule for rule in build(context(text)) if hasattr(rule, "explain")]  # type: ignore[misc]
    said = [
        await rule.explain(make_exchange(client=client)) for client in ("10.1.1.1", "9.9.9.9") for rule in explaining
    ]
    assert [(each.rule, each.verdict) for each in said if each] == [
        ("maintenance", "allow"),
        ("ip_allow:office", "allow"),
        ("maintenance", "deny"),
        ("ip_allow:office", "deny"),
    ]


async def test_a_request_id_is_echoed_in_place_of_the_backends() -> None:
    """The client finds the id of the gateway's log in the response, once."""
    handle = chain("request_id: {echo: true}", answering(lambda: Response(200, [(b"x-request-id", b"other")])))
    assert header(await handle(make_exchange()), b"x-request-id") == [b"req-1"]


async def test_a_request_id_may_have_another_header() -> None:
    """Backend and client get the id in the configured header; a client's own is replaced."""
    exchange = make_exchange(headers=[("X-Correlation-ID", "forged")])
    handle = chain("request_id: {header: X-Correlation-ID, echo: true}", answering())
    assert header(await handle(exchange), b"x-correlation-id") == [b"req-1"]
    assert (b"x-correlation-id", b"req-1") in exchange.extra_headers
    assert b"x-correlation-id" in exchange.hidden_headers


def test_a_rule_for_a_route_that_is_not_there_is_an_error() -> None:
    """A slip of the pen in an id must not leave a route unprotected."""
    assert errors("ip_allow: {office: {networks: [10.0.0.0/8], routes: [admin-user]}}", routes=TWO) == [
        'middleware.yaml:1:54: ip_allow.office.routes[0]: no route has this id; did you mean "admin-users"?'
        ' (got "admin-user")'
    ]


def test_what_may_be_a_password_is_not_shown() -> None:
    """The configuration in force is shown without the secrets of backends and policies."""
    rules = "headers: {x: {request: {set: {Authorization: Bearer hunter22}}}}\n"
    built = context(rules + "policies: {p: {class: 'p.py:P', config: {key: hunter22}}}")
    shown = built.configuration.middleware.model_dump_json() + repr(build(context(rules)))
    assert "hunter22" not in shown
    assert "written authorization" in shown


def test_an_id_that_is_there_twice_is_not_taken() -> None:
    """A proxy that adds its id behind that of a client leaves it open which is meant: a new one is made."""
    ids = RequestIds(b"x-request-id", "always")
    lines = [(b"x-request-id", b"one"), (b"x-request-id", b"two")]
    assert ids.given(lines[:1], dict(lines[:1]), peer_trusted=True) == "one"
    assert ids.given(lines, dict(lines), peer_trusted=True) is None


def test_a_content_type_with_thousands_of_parameters_costs_little() -> None:
    """Its cost grows with its length, and not faster."""
    ranges = MediaRanges(["text/plain; charset=utf-8"])
    long = b"text/plain" + b";a=b" * 8000 + b"; charset=utf-8"
    assert ranges.match(long)
    assert computes_within(0.1, lambda: MediaRanges(["text/plain; charset=utf-8"]).match(long))
