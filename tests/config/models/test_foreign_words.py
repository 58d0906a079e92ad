"""Words of other gateways are answered with ours."""

from __future__ import annotations

import re

import pytest

from gateway.config.models.foreign_words import _WORDS, ours
from tests.config.support import ROUTE, errors, parsed


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ("- {path: /a, target: 'b:1', retries: 3}", "Kong and Spring, which is here: retry: {attempts: N}"),
        ("- {path: /a, target: 'b:1', stripPath: true}", "Kong, which is here: strip_prefix: /prefix"),
        ("- {path: /a, proxy_pass: 'http://b'}", "nginx, which is here: target: host:port"),
        ("- {path: /a, target: 'b:1', circuit-breaker: {}}", "Spring, which is here: breaker"),
        ("- {path: /a, uri: 'lb://b', predicates: []}", "Spring, which is here: path, host, methods"),
        ("- {match: {prefix: /a}, path: /a, target: 'b:1'}", "Envoy, which is here: path, host, methods"),
    ],
)
def test_a_word_of_another_gateway_is_answered_with_ours(routes: str, said: str) -> None:
    """However it is written, and where it was meant."""
    assert any(said in error for error in errors(routes))


def test_a_word_is_known_wherever_it_stands() -> None:
    """In all three files; for a key that is also one of ours, the error says where it belongs."""
    found = errors(
        "services: {a: {url: 'http://b:1'}}\nroutes:\n" + ROUTE,
        middleware="plugins: []\nrate_limits: {x: {limits: [1/s], minute: 5}}\ntrusted_proxies: []\n",
        auth="acls: []\nschemes: {k: {key-auth: {}}}\n",
    )
    expected = [
        "services.a.url: unknown key; it is a word of Kong, which is here: endpoints: [host:port]",
        "plugins: unknown key; it is a word of Kong",
        "rate_limits.x.minute: unknown key; it is a word of Kong, which is here: limits: [10/s",
        "trusted_proxies: unknown key here; it belongs in auth.yaml",
        "acls: unknown key; it is a word of Kong, which is here: groups of a consumer",
        "schemes.k.key-auth: unknown key; it is a word of Kong, which is here: api_key: {}",
    ]
    for text in expected:
        assert any(text in error for error in found), (text, found)


def test_every_word_is_answered_at_its_place() -> None:
    """None is lost behind another, and each says whose it is."""
    for (_, level), rows in _WORDS.items():
        place = {"": (), "route": ("routes", 0), "service": ("services", "a"), "consumer": ("consumers", 0)}
        place |= {"provider": ("providers", "a"), "model_routing": ("model_routing", "a"), "budget": ("budgets", "a")}
        where = place.get(level, ("rate_limits" if level == "rate_limit" else "schemes", "a"))
        for words in rows:
            for word in words.split():
                assert ours((*where, word), own=False), word


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("~^/b/[0-9]+", "/b/{p2:[0-9]+}"),
        ("~ ^/b/[0-9]+$", "/b/{p2:[0-9]+}"),
        ("~/users/(?<id>\\d+)$", "/users/{id:\\d+}"),
        ("^/a/(.*)$", "/a/*"),
        ("= /a", "/a"),
        ("^~ /images/", "/images/*"),
        ("~* \\.(gif|jpg)$", "a regular expression for a segment"),
        ("v1", "/v1"),
    ],
)
def test_a_path_of_another_gateway_is_translated(path: str, ours: str) -> None:
    """What is written instead is a path that is taken."""
    (error,) = errors(f"- {{path: '{path}', target: 'b:1'}}")
    assert f"write {ours}" in error
    if ours.startswith("/"):
        parsed(f"- {{path: '{ours}', target: 'b:1'}}")


def test_several_paths_have_a_key_of_their_own() -> None:
    """A list at `path` says so."""
    assert errors("- {path: [/d, /e], target: 'b:1'}") == [
        "routes.yaml:1:4: routes[0].path: a route has one path here; write several as paths: [...]"
    ]


def test_an_unreadable_secret_is_reported_once() -> None:
    """Not as a short one, too."""
    for auth in (
        "schemes: {l: {jwt: {issuers: [{issuer: i, audiences: [a], algorithms: [HS256], secret: '${file:/nope}'}]}}}",
        "consumers: [{name: a, signatures: [{key_id: k, algorithm: hmac-sha256, secret: '${NOPE}'}]}]",
    ):
        (error,) = errors(ROUTE, auth=auth)
        assert re.search("cannot be used: No such file|is not set", error)


def test_values_of_other_gateways_are_answered_with_ours() -> None:
    """Names of balancers, keys of limits, and how limits are written."""
    service = "services: {{a: {{endpoints: ['h:1'], balance: {}}}}}\nroutes:\n" + ROUTE
    for value, said in (("least_conn", "least_request"), ("ip_hash", "{consistent_hash: {client: true}}")):
        assert f"; write {said} " in errors(service.format(value))[0]
        parsed(service.format(said))
    for value, said in (("10r/s", "10/s"), ("100/minute", "100/m"), ("5/hours", "5/h"), ("7 per day", "7/d")):
        assert f"; write {said} " in errors(middleware=f"rate_limits: {{x: {{limits: ['{value}']}}}}")[0]
    for value, said in (("ip", "address"), ("$binary_remote_addr", "address"), ("credential", "consumer")):
        assert f"; write {said} " in errors(middleware=f"rate_limits: {{x: {{limits: [1/s], key: ['{value}']}}}}")[0]
