"""Keys of consumers on routes to models and MCP servers: where the SDKs put them, and that they end here."""

import json
from typing import Any

import pytest

from gateway.errors import ErrorKind
from gateway.http import Exchange, Headers
from gateway.middleware.authentication import Authentication, for_route

from .schemes_support import http_service, running
from .support import claims, context, jwt_auth, key_hash, mint, pem, private_key, request
from .test_authentication import refusal, through

KEY, OTHER = b"gw_a-key-that-is-long-enough-to-be-one", b"gw_another-key-that-is-long-enough-too"
MODELS = "providers: {openai: {keys: k}}\nmcp: {tools: {servers: [{name: files, url: 'http://a/mcp'}]}}\n"
AUTH: dict[str, Any] = {
    "default": "public",
    "schemes": {
        **json.loads(jwt_auth({"key": pem(private_key("RS256"))}))["schemes"],
        "keys": {"api_key": {"header": "X-Key"}},
        "forwarding": {"api_key": {"forward": True}},
        "public": {"anonymous": {}},
    },
    "consumers": [
        {"name": "acme-app", "keys": [key_hash(KEY.decode())]},
        {"name": "bob", "keys": [key_hash(OTHER.decode())]},
    ],
}


def authentication(*schemes: str, target: str = "models") -> Authentication:
    routes = f"- {{path: /x, target: {target}, auth: {json.dumps(schemes)}}}"
    made = context(json.dumps(AUTH), routes=routes, models=MODELS)
    return for_route(made, made.configuration.routes.routes[0])


def sent(headers: Headers, query: bytes = b"", *, websocket: bool = False) -> Exchange:
    exchange = request(headers, query)
    exchange.websocket = websocket
    return exchange


PLACES: list[tuple[Headers, bytes]] = [
    ([(b"authorization", b"Bearer " + KEY)], b""),
    ([(b"authorization", b"bearer  " + KEY)], b""),
    ([(b"x-api-key", KEY)], b""),
    ([(b"x-goog-api-key", KEY)], b""),
    ([(b"api-key", KEY)], b""),
    ([(b"x-key", KEY)], b""),
    ([], b"alt=sse&key=" + KEY),
    ([], b"k%65y=" + KEY),
]


@pytest.mark.parametrize(("headers", "query"), PLACES)
@pytest.mark.parametrize("schemes", [["keys"], ["login", "keys"], ["keys", "login", "public"]])
async def test_a_key_is_found_where_sdks_put_it(schemes: list[str], headers: Headers, query: bytes) -> None:
    """Beside other schemes, too; and none of it goes on."""
    exchange = await through(authentication(*schemes), sent(headers, query))
    assert exchange.identity is not None
    assert (exchange.identity.consumer, exchange.identity.scheme) == ("acme-app", "keys")
    assert KEY not in exchange.query
    assert {name for name, _ in headers} <= exchange.hidden_headers
    assert exchange.query_concealed == bool(query)


async def test_a_key_is_found_in_a_websocket_handshake() -> None:
    """Browsers can put it nowhere else; the other entries of the handshake stay."""
    protocols = b"realtime, openai-insecure-api-key." + KEY + b", openai-beta.realtime-v1"
    exchange = await through(authentication("keys"), sent([(b"sec-websocket-protocol", protocols)], websocket=True))
    assert exchange.identity is not None
    assert exchange.headers == [(b"sec-websocket-protocol", b"realtime, openai-beta.realtime-v1")]


async def test_a_token_is_a_token_still() -> None:
    """Whichever scheme comes first."""
    token = mint(key=private_key("RS256"), payload=claims()).encode()
    for schemes in (["login", "keys"], ["keys", "login"]):
        exchange = await through(authentication(*schemes), sent([(b"authorization", b"Bearer " + token)]))
        assert exchange.identity is not None
        assert exchange.identity.scheme == "login"
        assert b"authorization" in exchange.hidden_headers


@pytest.mark.parametrize("schemes", [["keys"], ["login", "keys"], ["keys", "public"]])
async def test_a_wrong_key_is_refused(schemes: list[str]) -> None:
    """It does not make its bearer anonymous."""
    for headers in ([(b"authorization", b"Bearer made-up")], [(b"x-api-key", b"made-up")], [(b"x-api-key", b"")]):
        error = await refusal(authentication(*schemes), sent(headers))
        assert error.kind is ErrorKind.UNAUTHENTICATED
        assert "made-up" not in str(error)


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([(b"authorization", b"Bearer " + KEY), (b"x-api-key", OTHER)], b""),
        ([(b"authorization", b"Bearer " + KEY), (b"x-api-key", b"made-up")], b""),
        ([(b"x-api-key", KEY), (b"x-api-key", OTHER)], b""),
        ([(b"x-key", KEY)], b"key=" + OTHER),
        ([], b"key=" + OTHER + b"&key=" + KEY),
    ],
)
@pytest.mark.parametrize("schemes", [["keys"], ["login", "keys"]])
async def test_two_keys_are_refused(schemes: list[str], headers: Headers, query: bytes) -> None:
    """Whichever of them is right."""
    error = await refusal(authentication(*schemes), sent(headers, query))
    assert error.kind is ErrorKind.AMBIGUOUS_CREDENTIALS


async def test_a_token_beside_a_key_is_refused() -> None:
    """They may be of two callers."""
    token = mint(key=private_key("RS256"), payload=claims()).encode()
    both = [(b"authorization", b"Bearer " + token), (b"x-api-key", KEY)]
    for schemes in (["login", "keys"], ["keys", "login"]):
        assert (await refusal(authentication(*schemes), sent(both))).kind is ErrorKind.AMBIGUOUS_CREDENTIALS


async def test_the_same_key_may_be_there_twice() -> None:
    """Some clients send it in two headers; an empty one beside it is none."""
    both = [(b"authorization", b"Bearer " + KEY), (b"x-api-key", KEY), (b"x-goog-api-key", b"")]
    exchange = await through(authentication("keys"), sent(both))
    assert exchange.identity is not None


@pytest.mark.parametrize("schemes", [[], ["forwarding"], ["login", "public"]])
async def test_what_is_in_those_places_never_goes_on(schemes: list[str]) -> None:
    """Neither from an open route nor where a scheme lets its credentials through."""
    headers = [(b"x-api-key", KEY)] if schemes == ["forwarding"] else [(b"x-goog-api-key", b"placeholder")]
    exchange = await through(authentication(*schemes), sent(headers, b"a=1"))
    assert {b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"} <= exchange.hidden_headers
    assert exchange.query == b"a=1"


async def test_other_routes_look_where_they_did() -> None:
    """A key in Authorization is none there."""
    error = await refusal(authentication("keys", target="a:80"), sent([(b"authorization", b"Bearer " + KEY)]))
    assert error.detail == "the route needs a credential, and the request has none"


async def test_an_mcp_server_gets_an_authorization_of_its_own() -> None:
    """Only where the caller was not found by it."""
    middleware = authentication("keys", target="mcp")
    exchange = await through(middleware, sent([(b"authorization", b"Bearer " + KEY)]))
    assert b"authorization" in exchange.hidden_headers
    exchange = await through(middleware, sent([(b"authorization", b"Bearer of-the-server"), (b"x-api-key", KEY)]))
    assert b"authorization" not in exchange.hidden_headers
    assert b"x-api-key" in exchange.hidden_headers
    exchange = await through(authentication(target="mcp"), sent([(b"authorization", b"Bearer of-the-server")]))
    assert b"authorization" not in exchange.hidden_headers
    wrong = sent([(b"authorization", b"Bearer " + KEY), (b"x-api-key", b"made-up")])
    assert (await refusal(middleware, wrong)).kind is ErrorKind.UNAUTHENTICATED


async def test_a_service_that_is_asked_gets_no_key_in_the_uri() -> None:
    """It would write that to its log. On other routes the parameter is none of ours."""

    async def allowing(_: Any) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, b""

    async with http_service(allowing) as service:
        auth = {"schemes": {"ask": {"forward_auth": {"url": service.url}}}, "default": ["ask"]}
        async with running(auth, "ask", MODELS) as scheme:
            for route in ("models", "x"):
                exchange = sent([], b"alt=sse&key=secret")
                exchange.route = route
                await scheme.authenticate(exchange)
        uris = [dict(asked.headers)["x-forwarded-uri"] for asked in service.asked]
    assert uris == ["/x?alt=sse", "/x?alt=sse&key=secret"]
