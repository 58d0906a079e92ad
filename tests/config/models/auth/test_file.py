"""The keys of auth.yaml, and its errors."""

import json
from typing import Any

import pytest

from gateway.config.problems import ConfigError
from gateway.config.values.instants import format_instant, parse_instant
from tests.auth.support import SECRET, context, jwk, jwt_auth, key_hash, pem, private_key, scheme
from tests.config.support import ROUTE, errors, parsed

HASH = key_hash("x")


def problems(auth: str, routes: str = ROUTE) -> list[str]:
    """What is wrong with this auth.yaml, without where."""
    return [line.split(": ", 1)[1] for line in errors(routes, auth=auth)]


@pytest.mark.parametrize(
    ("auth", "why"),
    [
        ("default: [a]", 'default[0]: schemes of auth.yaml has no entry of this name; define it there (got "a")'),
        ("default: [key]\nschemes: {keys: {api_key: }}", 'did you mean "keys"?'),
        ("default: [k, k]\nschemes: {k: {api_key: }}", "default[1]: the scheme is duplicated"),
        ("default: [p, k]\nschemes: {p: {anonymous: }, k: {api_key: }}", "put it last"),
        ("schemes: {k: {}}", "exactly one key is needed"),
        ("schemes: {k: {basic: , api_key: }}", "exactly one key is needed"),
        ("schemes: {k: {jwt: }}", "schemes.k.jwt: a value is needed here"),
        ("schemes: {k: {jwk: {}}}", 'did you mean "jwt"?'),
        ("schemes: {1k: {basic: }}", "the name of a scheme is a letter"),
        ("schemes: {k: {api_key: {header: Cookie}}}", "this header is reserved"),
        ("schemes: {k: {api_key: {cookie: 'a b'}}}", "the name of a cookie"),
        ("schemes: {k: {basic: {realm: 'a\"b'}}}", "without quotes"),
        ("consumers: [{name: a}, {name: a}]", "consumers[1].name: a consumer has this name already"),
        (
            f"consumers: [{{name: a, keys: ['{HASH}']}}, {{name: b, keys: ['{HASH}']}}]",
            "consumers[1].keys[0]: this key is",
        ),
        ("consumers: [{name: a, keys: [{file: x}, {file: x}]}]", "consumers[0].keys[1]: this key is there already"),
        ("consumers: [{name: a, keys: [my-key]}]", "expected sha256: and 64 hexadecimal digits"),
        ("consumers: [{name: a, keys: [{}]}]", "exactly one of hash, key and file is needed"),
        (
            f"consumers: [{{name: a, keys: [{{hash: '{HASH}', file: x}}]}}]",
            "exactly one of hash, key and file is needed",
        ),
        ("consumers: [{name: a, keys: [{file: x, expires: tomorrow}]}]", "expected a point in time"),
        ("consumers: [{name: a, keys: [{file: x, expires: 2026-02-30}]}]", "the day or time of day does not exist"),
        ("consumers: [{name: a, keys: [{file: x, not_before: 2026-02-01, expires: 2026-01-01}]}]", "never hold"),
        ("consumers: [{name: a, basic: {username: 'a:b', password: x}}]", "cannot have a colon"),
        (
            "consumers: [{name: a, subjects: [s]}, {name: b, subjects: [s]}]",
            "consumers[1].subjects[0]: this subject is",
        ),
        ("consumers: [{name: ' a'}]", "without spaces around"),
        ("consumers: [{name: a, groups: ['a,b']}]", "a group has no commas"),
        ("consumers: [{name: a, scopes: ['a b']}]", "a scope is without spaces"),
        ("identity_headers: {consumer: Host}", "this header is reserved"),
        ("identity_headers: {consumer: X-Forwarded-User}", "this header is reserved"),
        ("identity_headers: {consumer: X-Who, tenant: x_who}", "two of the headers have the same name"),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_remedy(auth: str, why: str) -> None:
    """One sentence for each."""
    found = problems(auth)
    assert any(why in line for line in found), found
    assert len(found) == 1


def test_a_route_names_schemes_that_are_there() -> None:
    """The error is in routes.yaml, where the name is."""
    found = errors("- {path: /x, target: 'a:80', auth: [keys, login]}", auth="schemes: {keys: {api_key: }}")
    assert found == [
        "routes.yaml:1:43: routes[0].auth[1]: schemes of auth.yaml has no entry of this name; define it there"
        ' (got "login")'
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "exactly one of jwks_url, discovery, key, key_file and secret is needed"),
        ({"secret": SECRET, "key": "x"}, "exactly one of"),
        ({"secret": SECRET}, "a secret is for HS256"),
        ({"secret": SECRET, "algorithms": ["HS256", "RS256"]}, "a secret is for HS256"),
        ({"jwks_url": "https://a/", "algorithms": ["HS256"]}, "need a secret"),
        ({"jwks_url": "https://a/", "algorithms": ["RS256", "HS256"]}, "need a secret"),
        ({"secret": "short", "algorithms": ["HS256"]}, "shorter than the 32 bytes"),
        ({"secret": SECRET[:40], "algorithms": ["HS256", "HS512"]}, "shorter than the 64 bytes"),
        ({"secret": pem(private_key("RS256")), "algorithms": ["HS256"]}, "this is a key in PEM"),
        ({"jwks_url": "https://a/", "algorithms": ["none"]}, "expected "),
        ({"jwks_url": "https://a/", "algorithms": []}, "the list is empty"),
        ({"jwks_url": "a/keys"}, "expected a URL that begins with https:// or http://"),
        ({"jwks_url": "file:///etc/passwd"}, "expected a URL"),
        ({"jwks_url": "https://user:secret@a/"}, "expected a URL"),
        ({"jwks_url": "https://a/", "leeway": "1h"}, "a leeway of more than 10m"),
        ({"jwks_url": "https://a/", "refresh": "1h", "stale": "1m"}, "stale is counted from the last fetch"),
    ],
)
def test_an_issuer_has_fitting_keys_and_algorithms(change: dict[str, Any], why: str) -> None:
    """What would be a hole is an error; a secret is not repeated."""
    found = problems(jwt_auth(change))
    assert any(why in line for line in found), found
    assert SECRET not in str(found)


def test_an_issuer_is_there_once() -> None:
    """Two entries of one name are ambiguous."""
    one = {"jwks_url": "https://a/"}
    assert "an issuer is duplicated" in problems(jwt_auth(one, one))[0]


@pytest.mark.parametrize(
    ("content", "algorithms", "why"),
    [
        (None, ["RS256"], "the file cannot be read"),
        (b"\xff", ["RS256"], "not UTF-8"),
        (b"x" * 70_000, ["RS256"], "larger than 64 KiB"),
        (b"nonsense", ["RS256"], "no -----BEGIN PUBLIC KEY-----"),
        (b"{", ["RS256"], "not a JSON Web Key Set"),
        (b'{"keys": []}', ["RS256"], "it has none"),
        (json.dumps({"keys": [{**jwk(private_key("RS256")), "use": "enc"}]}).encode(), ["RS256"], "its use is not sig"),
        (pem(private_key("ES256")).encode(), ["RS256", "ES384"], "no key is for any of these algorithms"),
    ],
)
def test_a_file_of_keys_that_is_unfit_is_an_error(
    tmp_path: Any, content: bytes | None, algorithms: list[str], why: str
) -> None:
    """With its place in auth.yaml."""
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(ConfigError, match=why) as caught:
        scheme(jwt_auth({"key_file": "keys", "algorithms": algorithms}), "login", tmp_path)
    assert "auth.yaml:1:" in str(caught.value)
    assert "schemes.login.jwt.issuers[0]." in str(caught.value)


def test_a_file_of_keys_may_be_a_key_set(tmp_path: Any) -> None:
    """As an issuer publishes it."""
    (tmp_path / "keys").write_text(json.dumps({"keys": [jwk(private_key("RS256"), kid="a")]}))
    scheme(jwt_auth({"key_file": "keys"}), "login", tmp_path)


def test_schemes_have_short_forms() -> None:
    """A scheme without settings has its defaults, and one name stands for a list of it."""
    auth = parsed(auth="default: keys\nschemes: {keys: {api_key: }, b: {basic: }, p: {anonymous: }}").auth
    assert auth.default == ("keys",)
    assert auth.schemes["keys"].settings.header == "x-api-key"
    assert auth.schemes["p"].settings.consumer == "anonymous"


def test_a_secret_is_not_shown() -> None:
    """Not even if the configuration is printed."""
    auth = context(jwt_auth({"secret": "${S}", "algorithms": ["HS256"]}), S=SECRET).configuration.auth
    assert SECRET not in repr(auth)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01t00:00:01.5z", 1.5),
        ("1970-01-01 01:00+01:00", 0),
        ("2026-01-31T12:00:00Z", 1769860800),
    ],
)
def test_points_in_time(text: str, seconds: float) -> None:
    """With a zone, or a date alone: its midnight, UTC."""
    assert parse_instant(text) == seconds
    assert format_instant(1769860800) == "2026-01-31T12:00:00Z"


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00", "2026-1-1", "now", "", 1769860800, None, "2026-01-31T25:00Z"])
def test_what_is_no_point_in_time(text: Any) -> None:
    """A time without a zone would mean another moment on every machine."""
    with pytest.raises(ValueError, match=r"point in time|day does not exist|time of day does not exist"):
        parse_instant(text)
