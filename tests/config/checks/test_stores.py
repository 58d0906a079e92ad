"""What `gateway check` says of limits that are not counted in the Redis that there is."""

import pytest

from gateway.config.checks import WARNINGS, run
from tests.config.support import parsed

ROUTES = "routes: [{path: /x, target: 'a:1'}]"
REDIS = "redis: {url: 'redis://redis:6379/0'}"


def warnings(middleware: str) -> list[str]:
    found = run(WARNINGS, parsed(ROUTES, middleware=middleware), "warning")
    return [f"{problem.where}: {problem.message}" for problem in found]


@pytest.mark.parametrize(
    ("middleware", "where", "default"),
    [
        ("rate_limits: {a: {limits: [1/s]}}", "rate_limits.a", "memory"),
        ("quotas: {a: {limit: 1, window: day}}", "quotas.a", "sqlite"),
    ],
)
def test_a_limit_is_not_counted_in_the_redis_that_there_is(middleware: str, where: str, default: str) -> None:
    """It is said, with both ways to write what is meant."""
    (found,) = warnings(f"{REDIS}\n{middleware}")
    assert found.startswith(
        f"{where}: each replica counts this by itself, although there is a redis; write store: redis"
    )
    assert "write store: redis" in found
    assert found.endswith(f"or store: {default} where that is not meant")


@pytest.mark.parametrize(
    "middleware",
    [
        "rate_limits: {a: {limits: [1/s]}}",
        f"{REDIS}\nrate_limits: {{a: {{limits: [1/s], store: memory}}}}",
        f"{REDIS}\nquotas: {{a: {{limit: 1, window: day, store: redis}}}}",
    ],
)
def test_what_is_meant_is_not_mentioned(middleware: str) -> None:
    """Nothing is said without a Redis, or of a limit that says where it is counted."""
    assert warnings(middleware) == []
