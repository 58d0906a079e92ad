"""Who of those who are known may do what."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Identity, Response
from gateway.http.testing import make_exchange
from gateway.middleware.authorization import Authorization, for_route
from tests.auth.support import context, key_hash

AUTH = {
    "schemes": {
        "keys": {"api_key": {}},
        "login": {"introspection": {"url": "https://login.example.com/introspect"}},
        "public": {"anonymous": {}},
    },
    "consumers": [{"name": "acme", "keys": [key_hash("k" * 40)]}],
}


def authorization(*entries: dict[str, Any], schemes: str = "[keys, login]") -> Authorization:
    """The authorization of a route with these entries."""
    routes = (
        f"- id: orders\n  path: /x/*\n  target: backend:80\n  auth: {schemes}\n  authorize: {json.dumps(entries)}\n"
    )
    made = context(json.dumps(AUTH), routes=routes)
    built = for_route(made, made.configuration.routes.routes[0])
    assert built is not None
    return built


def by(
    scheme: str = "keys",
    *,
    method: str = "GET",
    scopes: Collection[str] = (),
    groups: Collection[str] = (),
    tenant: str | None = None,
    claims: dict[str, Any] | None = None,
) -> Exchange:
    """A request by acme."""
    exchange = make_exchange(method)
    exchange.identity = Identity("acme", scheme, tenant, frozenset(groups), frozenset(scopes), claims or {})
    return exchange


async def passes(policy: Authorization, exchange: Exchange) -> bool:
    """Whether the exchange gets through, and is not refused with a 403."""

    async def backend(exchange: Exchange) -> Response:
        return Response(200, [])

    try:
        response = await policy.wrap(backend)(exchange)
    except GatewayError as error:
        if error.kind is not ErrorKind.FORBIDDEN:
            raise
        return False
    return response.status == 200


async def refusal(policy: Authorization, exchange: Exchange) -> GatewayError:
    """How it is refused."""

    async def backend(exchange: Exchange) -> Response:
        raise AssertionError("the request got through")

    with pytest.raises(GatewayError) as caught:
        await policy.wrap(backend)(exchange)
    return caught.value


async def test_all_scopes_are_needed() -> None:
    """A caller with only some of the scopes is refused."""
    policy = authorization({"scopes": ["orders:read", "orders:write"]})
    assert await passes(policy, by(scopes=["orders:read", "orders:write", "more"]))
    assert not await passes(policy, by(scopes=["orders:read"]))


async def test_one_group_is_enough() -> None:
    """A caller in any one of the groups passes."""
    policy = authorization({"groups": ["gold", "silver"]})
    assert await passes(policy, by(groups=["silver"]))
    assert not await passes(policy, by(groups=["bronze"]))


async def test_tenants_and_consumers_are_compared_whole() -> None:
    """One of the tenants, and one of the consumers."""
    assert await passes(authorization({"tenants": ["acme-corp", "b"]}), by(tenant="acme-corp"))
    assert not await passes(authorization({"tenants": ["acme-corp"]}), by(tenant="acme"))
    assert not await passes(authorization({"tenants": ["acme-corp"]}), by())
    assert await passes(authorization({"consumers": ["acme"]}), by())
    assert not await passes(authorization({"consumers": ["acme2"]}), by())


async def test_an_entry_is_for_its_methods_only() -> None:
    """Reading may need less than writing; HEAD needs what GET needs."""
    policy = authorization({"scopes": ["w"], "methods": ["POST"]}, {"scopes": ["r"], "methods": ["GET"]})
    assert await passes(policy, by(scopes=["r"]))
    assert not await passes(policy, by(method="HEAD"))
    assert not await passes(policy, by(method="POST", scopes=["r"]))
    assert await passes(policy, by(method="DELETE"))


async def test_every_entry_counts() -> None:
    """What one entry lets pass, another may still refuse."""
    policy = authorization({"groups": ["gold"]}, {"when": "claims.level >= 3"})
    assert await passes(policy, by(groups=["gold"], claims={"level": 3}))
    assert not await passes(policy, by(groups=["gold"], claims={"level": 2}))
    assert not await passes(policy, by(claims={"level": 3}))


async def test_a_refusal_names_the_rule_and_gives_nothing_away() -> None:
    """The caller learns which rule and which scope, but neither other callers nor the condition."""
    error = await refusal(authorization({"scopes": ["a"]}, {"scopes": ["b"]}), by(scopes=["a"]))
    assert (error.kind.status, error.detail) == (403, "rule orders[1] of this route refuses this: it needs the scope b")
    for entry in ({"groups": ["board"]}, {"tenants": ["rival"]}, {"when": 'claims.code == "4711"'}):
        detail = (await refusal(authorization(entry), by())).detail
        assert "orders[0]" in detail
        assert not any(secret in detail for secret in ("board", "rival", "4711"))


async def test_a_bearer_challenge_names_the_missing_scope() -> None:
    """RFC 6750, 3.1: insufficient_scope; not for callers who came with an API key."""
    policy = authorization({"scopes": ["b", "a"]})
    error = await refusal(policy, by("login"))
    assert error.headers == ((b"www-authenticate", b'Bearer error="insufficient_scope", scope="a b"'),)
    assert (await refusal(policy, by("keys"))).headers == ()


async def test_who_is_not_known_is_asked_for_a_credential() -> None:
    """401 with the challenges of the route's schemes, without a caller and for the anonymous consumer alike."""
    policy = authorization({"scopes": ["a"]}, schemes="[keys, login, public]")
    for exchange in (make_exchange(), by("public")):
        error = await refusal(policy, exchange)
        assert error.kind is ErrorKind.UNAUTHENTICATED
        assert [value.split(b" ")[0] for _, value in error.headers] == [b"ApiKey", b"Bearer"]


async def test_a_condition_that_does_not_ask_who_calls_is_a_403_for_everybody() -> None:
    """No credential would help."""
    assert not await passes(authorization({"when": 'method == "POST"'}), make_exchange())


async def test_a_route_that_an_import_left_closed_says_so() -> None:
    """To the operator, and not to the client."""
    error = await refusal(authorization({"when": 'method == "NOT-YET-TRANSLATED"'}), by())
    assert error.kind is ErrorKind.FORBIDDEN
    assert "gateway import or gateway init left the route closed; set its access rules" in error.detail
    assert error.public_detail == "the caller may not do this"


async def test_shadow_mode_records_and_lets_pass() -> None:
    """A new rule can be watched before it bites."""
    exchange = by()
    assert await passes(authorization({"scopes": ["a"], "mode": "shadow"}), exchange)
    assert exchange.decisions == (
        Decision(
            "authorize:orders[0]",
            "shadow-deny",
            "rule orders[0] of this route refuses this: it needs the scope a",
        ),
    )


async def test_explaining_names_the_first_rule_that_refuses() -> None:
    """An explanation says what would be decided, and records nothing."""
    policy = authorization({"groups": ["g"]}, {"scopes": ["a"], "mode": "shadow"}, {"when": 'method == "GET"'})
    exchange = by(groups=["g"])
    explained = await policy.explain(exchange)
    assert explained is not None
    assert (explained.rule, explained.verdict) == ("authorize:orders[1]", "shadow-deny")
    refused = await policy.explain(by(groups=["g"], method="PUT"))
    assert refused is not None
    assert (refused.rule, refused.verdict) == ("authorize:orders[2]", "deny")
    allowed = await policy.explain(by(groups=["g"], scopes=["a"]))
    assert allowed is not None
    assert allowed.verdict == "allow"
    assert exchange.decisions == ()


def test_a_route_without_entries_has_no_such_policy() -> None:
    """What is not asked for costs nothing."""
    made = context("")
    assert for_route(made, made.configuration.routes.routes[0]) is None
