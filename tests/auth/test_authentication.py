"""The schemes of a route in their order, what a refusal says, and the identity headers of the backend."""

import json
from base64 import b64encode
from typing import Any

import pytest

from gateway.context import Middleware
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Response
from gateway.middleware.authentication import Authentication, for_route

from .support import claims, context, jwt_auth, key_hash, mint, pem, private_key, request
from .test_basic import cheap

KEY = b"gw_a-key-that-is-long-enough-to-be-one"
BASIC = b"Basic " + b64encode(b"bob:secret")
AUTH: dict[str, Any] = {
    "schemes": {
        **json.loads(jwt_auth({"key": pem(private_key("RS256"))}))["schemes"],
        "keys": {"api_key": {"header": "X-API-Key", "query": "api_key", "cookie": "key"}},
        "basic": {"basic": {"realm": "staff"}},
        "public": {"anonymous": {}},
    },
    "consumers": [
        {
            "name": "acme-app",
            "tenant": "acme",
            "groups": ["gold", "eu"],
            "scopes": ["orders:read", "b"],
            "keys": [key_hash(KEY.decode())],
        },
        {"name": "bob", "basic": {"username": "bob", "password": cheap("secret")}},
    ],
}


def authentication(*schemes: str, **changes: Any) -> Authentication:
    """That of a route that accepts these schemes."""
    auth = context(
        json.dumps({**AUTH, **changes}), routes=f"- {{path: /x, target: 'a:80', auth: {json.dumps(schemes)}}}"
    )
    return for_route(auth, auth.configuration.routes.routes[0])


async def through(middleware: Middleware, exchange: Exchange) -> Exchange:
    """The exchange, as the backend's side gets it."""
    passed: list[Exchange] = []

    async def backend(exchange: Exchange) -> Response:
        passed.append(exchange)
        return Response(200, [])

    assert (await middleware.wrap(backend)(exchange)).status == 200
    return passed[0]


async def refusal(middleware: Middleware, exchange: Exchange) -> GatewayError:
    """Why it does not get there."""
    with pytest.raises(GatewayError) as caught:
        await through(middleware, exchange)
    return caught.value


def challenges(error: GatewayError) -> list[str]:
    """What WWW-Authenticate says."""
    return [value.decode() for name, value in error.headers if name == b"www-authenticate"]


async def test_the_backend_gets_the_identity() -> None:
    """In headers of the gateway; clients cannot set them."""
    exchange = await through(authentication("keys"), request([(b"x-api-key", KEY), (b"x-consumer-name", b"root")]))
    assert exchange.identity is not None
    assert exchange.identity.consumer == "acme-app"
    assert exchange.extra_headers == (
        (b"x-consumer-name", b"acme-app"),
        (b"x-consumer-tenant", b"acme"),
        (b"x-consumer-groups", b"eu,gold"),
        (b"x-consumer-scopes", b"b orders:read"),
    )
    assert {b"x-consumer-name", b"x-consumer-tenant", b"x-consumer-groups"} <= exchange.hidden_headers
    assert [(item.rule, item.verdict) for item in exchange.decisions] == [("authentication:keys", "allow")]


async def test_what_clients_say_of_themselves_is_hidden_on_open_routes_too() -> None:
    """Under the names that are configured."""
    exchange = await through(authentication(), request())
    assert exchange.identity is None
    assert exchange.hidden_headers >= {
        b"x-consumer-name",
        b"x-consumer-tenant",
        b"x-consumer-groups",
        b"x-consumer-scopes",
    }
    renamed = authentication(identity_headers={"consumer": "X_Who"})
    assert b"x-who" in (await through(renamed, request())).hidden_headers


async def test_names_of_tokens_cannot_break_a_header() -> None:
    """What is not visible ASCII is percent-encoded, and so is a comma in a group."""
    auth = json.loads(jwt_auth({"key": pem(private_key("RS256")), "claims": {"groups": "groups"}}))["schemes"]
    token = mint(payload=claims(sub="Jürgen 100%", groups=["a,b", "c d"]))
    exchange = await through(authentication("login", schemes=auth), request(token=token))
    assert dict(exchange.extra_headers) == {
        b"x-consumer-name": b"J%C3%BCrgen 100%25",
        b"x-consumer-groups": b"a%2Cb,c%20d",
    }


async def test_without_a_credential_all_accepted_schemes_are_named() -> None:
    """In their order, each in a line of its own, without an error (RFC 6750, 3.1)."""
    error = await refusal(authentication("login", "keys", "basic"), request())
    assert error.kind is ErrorKind.UNAUTHENTICATED
    assert challenges(error) == [
        'Bearer realm="gateway"',
        'ApiKey realm="gateway", header="x-api-key", query="api_key", cookie="key"',
        'Basic realm="staff", charset="UTF-8"',
    ]


async def test_a_wrong_token_gets_its_challenge() -> None:
    """And the others are named as before."""
    error = await refusal(authentication("keys", "login"), request(token=mint(payload=claims(aud="x"))))
    assert error.detail == "the token is for another audience (aud)"
    assert challenges(error)[1] == (
        'Bearer realm="gateway", error="invalid_token", error_description="the token is for another audience (aud)"'
    )


async def test_any_of_the_schemes_will_do() -> None:
    """The order matters only where several would."""
    some = authentication("login", "keys", "basic")
    for headers, consumer in [
        ([(b"x-api-key", KEY)], "acme-app"),
        ([(b"authorization", BASIC)], "bob"),
        ([(b"authorization", f"Bearer {mint()}".encode())], "user-17"),
        ([(b"authorization", f"bearer  {mint()}".encode()), (b"x-api-key", KEY)], "user-17"),
    ]:
        exchange = await through(some, request(headers))
        assert exchange.identity is not None
        assert exchange.identity.consumer == consumer


async def test_a_scheme_that_the_route_does_not_accept_does_not_count() -> None:
    """A right key is nothing where only tokens are taken."""
    error = await refusal(authentication("login"), request([(b"x-api-key", KEY)]))
    assert error.detail == "the route needs a credential, and the request has none"


async def test_a_wrong_credential_is_not_made_good_by_a_right_one() -> None:
    """The first scheme that finds one of its own decides."""
    wrong_key = request([(b"x-api-key", b"wrong"), (b"authorization", BASIC)])
    assert (await refusal(authentication("keys", "basic"), wrong_key)).detail == "the API key is not known"
    assert (await through(authentication("basic", "keys"), wrong_key)).identity is not None


async def test_a_token_of_another_issuer_is_passed_on_to_the_next_scheme() -> None:
    """But never makes its bearer anonymous."""
    two = json.loads(jwt_auth({"key": pem(private_key("RS256"))}))["schemes"]
    two["partner"] = json.loads(jwt_auth({"issuer": "https://p/", "key": pem(private_key("RS256", "p"))}))["schemes"][
        "login"
    ]
    two["public"] = {"anonymous": {"consumer": "guest"}}
    some = authentication("login", "partner", "public", schemes=two)
    token = mint(key=private_key("RS256", "p"), payload=claims(iss="https://p/"))
    assert (await through(some, request(token=token))).identity is not None
    unknown = await refusal(some, request(token=mint(payload=claims(iss="https://q/"))))
    assert unknown.detail == "the token is of an issuer that is not known"
    assert (await refusal(some, request(token="opaque"))).kind is ErrorKind.UNAUTHENTICATED
    guest = (await through(some, request())).identity
    assert guest is not None
    assert (guest.consumer, guest.scheme) == ("guest", "public")


@pytest.mark.parametrize(
    "headers", [[(b"x-api-key", b"wrong")], [(b"cookie", b"key=")], [(b"authorization", b"Basic x")]]
)
async def test_a_wrong_credential_does_not_make_anonymous(headers: Headers) -> None:
    """A request with an invalid credential is refused, and not taken as anonymous."""
    some = authentication("keys", "basic", "public")
    assert (await refusal(some, request(headers))).kind is ErrorKind.UNAUTHENTICATED


@pytest.mark.parametrize("schemes", [(), ("keys",), ("login", "public")])
async def test_two_authorization_headers_are_refused_everywhere(schemes: tuple[str, ...]) -> None:
    """Also on open routes, and when both are the same."""
    headers = [(b"authorization", BASIC), (b"authorization", BASIC), (b"x-api-key", KEY)]
    assert (await refusal(authentication(*schemes), request(headers))).kind is ErrorKind.AMBIGUOUS_CREDENTIALS


async def test_credentials_end_at_the_gateway() -> None:
    """Keys leave the query and the cookies, of which nothing else changes; also where another scheme was taken."""
    query = b"a=%20&api_key=" + KEY + b"&b=&%61pi_key2=x"
    exchange = await through(authentication("keys"), request(query=query))
    assert exchange.query == b"a=%20&b=&%61pi_key2=x"
    cookies = [(b"cookie", b"a=b; key=" + KEY + b"; c=d"), (b"cookie", b"e=f")]
    exchange = await through(authentication("keys"), request(cookies))
    assert b"cookie" in exchange.hidden_headers
    assert [line for line in exchange.extra_headers if line[0] == b"cookie"] == [
        (b"cookie", b"a=b; c=d"),
        (b"cookie", b"e=f"),
    ]
    exchange = await through(authentication("keys"), request([(b"cookie", b"key=" + KEY)]))
    assert b"cookie" not in dict(exchange.extra_headers)
    both = request([(b"x-api-key", KEY), (b"authorization", f"Bearer {mint()}".encode())], b"api_key=" + KEY)
    exchange = await through(authentication("login", "keys"), both)
    assert {b"x-api-key", b"authorization"} <= exchange.hidden_headers
    assert exchange.query == b""


async def test_a_credential_goes_on_where_that_is_configured() -> None:
    """That of the scheme that was taken; those of others still end here."""
    schemes = json.loads(json.dumps(AUTH["schemes"]))
    schemes["login"]["jwt"]["forward"] = True
    some = authentication("login", "basic", "keys", schemes=schemes)
    exchange = await through(some, request([(b"x-api-key", KEY)], token=mint()))
    assert b"authorization" not in exchange.hidden_headers
    assert b"x-api-key" in exchange.hidden_headers
    assert b"authorization" in (await through(some, request([(b"authorization", BASIC)]))).hidden_headers


async def test_keys_of_other_routes_end_here_too() -> None:
    """A key that some route takes reaches the backend of none; all else is the backend's own business."""
    headers = [(b"x-api-key", KEY), (b"authorization", BASIC)]
    exchange = await through(authentication(), request(headers, b"a=1&api_key=1"))
    assert exchange.query == b"a=1"
    assert b"x-api-key" in exchange.hidden_headers
    assert b"authorization" not in exchange.hidden_headers


async def test_clients_cannot_fill_the_headers_of_other_schemes() -> None:
    """What a proxy says of a certificate, or a service of the caller, is no client's to say, on open routes neither."""
    asked = {"url": "http://auth:8080/", "response_headers": ["X-Session", "Authorization"]}
    schemes = {"mutual": {"mtls": {"source": "x-ssl-client-cert"}}, "asked": {"forward_auth": asked}}
    hidden = (await through(authentication(schemes=schemes), request([]))).hidden_headers
    assert {b"x-ssl-client-cert", b"x-session"} <= hidden
    assert b"authorization" not in hidden


async def test_shadow_mode_lets_pass_and_says_so() -> None:
    """Without an identity; the credential still ends here."""
    shadow = authentication("keys", mode="shadow")
    exchange = await through(shadow, request([(b"x-api-key", b"wrong")]))
    assert exchange.identity is None
    assert exchange.decisions[0].verdict == "shadow-deny"
    assert b"x-api-key" in exchange.hidden_headers


async def test_routes_without_a_list_have_the_default() -> None:
    """An empty list opens a route."""
    lists: list[dict[str, Any]] = [{}, {"auth": []}, {"auth": "basic"}]
    routes = json.dumps([{"path": f"/{number}", "target": "a:80", **more} for number, more in enumerate(lists)])
    built = context(json.dumps({**AUTH, "default": ["keys", "login"]}), routes=routes)
    names = [[scheme.name for scheme in for_route(built, route).schemes] for route in built.configuration.routes.routes]
    assert names == [["keys", "login"], [], ["basic"]]


async def test_explain_decides_without_consequences() -> None:
    """It names the scheme that would take the caller, or why none would."""
    some = authentication("keys", "login")
    exchange = request([(b"x-api-key", KEY)], b"api_key2=x")
    decision = await some.explain(exchange)
    assert decision is not None
    assert (decision.rule, decision.verdict) == ("authentication:keys", "allow")
    assert exchange.identity is not None
    assert (exchange.decisions, exchange.extra_headers, exchange.hidden_headers) == ((), (), frozenset())
    refused = await some.explain(request())
    assert refused is not None
    assert (refused.rule, refused.verdict) == ("authentication", "deny")
    assert await authentication().explain(request()) is None


async def test_explain_does_not_guess_what_a_service_would_say() -> None:
    """An explanation calls no external service: what depends on one is neither allowed nor refused."""
    some = authentication("asked", schemes={"asked": {"forward_auth": {"url": "http://127.0.0.1:1/"}}})
    decision = await some.explain(request())
    assert decision is not None
    assert (decision.rule, decision.verdict) == ("authentication:asked", "unknown")
    assert "not asked" in decision.reason


async def test_an_issuer_that_cannot_be_asked_is_a_503() -> None:
    """With Retry-After, and without a challenge: another credential would not help."""
    login = json.loads(jwt_auth({"jwks_url": "http://127.0.0.1:1/keys"}))["schemes"]
    error = await refusal(authentication("login", schemes=login), request(token=mint()))
    assert error.kind is ErrorKind.AUTH_UNAVAILABLE
    assert dict(error.headers).keys() == {b"retry-after"}
