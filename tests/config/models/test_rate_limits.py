"""The keys of limits in middleware.yaml, and their errors."""

import pytest

from tests.config.support import errors, parsed

REDIS = "redis: {url: 'redis://user:secret@redis:6379/0'}\n"


def refusals(middleware: str) -> list[str]:
    return [line.split(": ", 2)[2] for line in errors(middleware=middleware)]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("{limits: [10]}", "text"),
        ("{limits: [10/w]}", "expected a number, a slash and s, m, h or d"),
        ("{limits: [0/s]}", "expected a number, a slash and s, m, h or d"),
        ("{limits: [10/32d]}", "at most 31 days"),
        ("{limits: [10/60s, 20/m]}", "two of these limits are for the same time"),
        ("{limits: []}", "the list is empty"),
        ("{limits: [1/s], key: [user]}", "expected consumer, tenant, address, route, header:Name or claim:name"),
        ("{limits: [1/s], cost: 2}", "a cost is higher than what may come at once"),
        ("{limits: [9/s], tiers: {gold: [2/s]}, costs: {x: 3}}", "a cost is higher than what may come at once"),
        ("{limits: [1/d], burst: 1000}", "burst takes more than 100 days to come back"),
        ("{limits: [1/s], store: redis}", "there is no redis: key with its url"),
        ("{}", "limits"),
    ],
)
def test_a_limit_that_cannot_hold_is_refused(limit: str, expected: str) -> None:
    """Each error says what is expected."""
    assert any(expected in line for line in errors(middleware=f"rate_limits: {{main: {limit}}}"))


def test_a_time_zone_must_exist() -> None:
    """The error for an unknown time zone shows an example."""
    lines = refusals("quotas: {a: {limit: 1, window: day, timezone: Berlin}}")
    assert lines == ['unknown time zone; expected a name such as Europe/Berlin or UTC (got "Berlin")']


@pytest.mark.parametrize("url", ["http://redis", "redis://", "redis://host:x", "redis"])
def test_a_redis_url_must_be_one(url: str) -> None:
    """The error says how a URL looks, and does not repeat what may hold a password."""
    lines = refusals(f"redis: {{url: '{url}'}}")
    assert lines == ["expected redis://[user:password@]host[:port][/database], or rediss:// for TLS"]


@pytest.mark.parametrize("prefix", ["", "a b", "{x}:", "x" * 101, "ä"])
def test_a_prefix_must_be_one(prefix: str) -> None:
    """What could not begin a key, or would mean something else there, is refused."""
    (line,) = refusals(f"redis: {{url: 'redis://redis', prefix: '{prefix}'}}")
    assert line.startswith("expected at most 100 letters, digits")


def test_the_password_of_redis_is_nowhere() -> None:
    """The configuration that the admin API shows does not have it."""
    middleware = parsed(middleware=REDIS).middleware
    assert "secret" not in middleware.model_dump_json() + repr(middleware)


def test_a_consumer_has_limits_of_its_own() -> None:
    """They are written like those of all, and are refused like them."""
    auth = parsed(auth="consumers:\n- {name: acme, limits: {main: [100/s, 1000/h]}}\n").auth
    assert auth.consumers[0].limits == {"main": ("100/s", "1000/h")}
    assert errors(auth="consumers:\n- {name: acme, limits: {main: [100/x]}}\n")
