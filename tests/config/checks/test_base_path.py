"""Routes that begin with the default base path."""

import pytest

from gateway.config.checks.base_path import unsaid
from tests.config.support import parsed

ROUTES = "routes:\n- {path: '/api/orders/*', target: 'a:1'}\n- {path: '%s', target: 'b:1'}\n"


@pytest.mark.parametrize("other", ["/*", "/{page}", "/orders/7"])
def test_a_route_that_may_take_the_requests_of_another_is_reported(other: str) -> None:
    """By default `/api` is removed, which is unexpected for paths that have it."""
    (found,) = unsaid(parsed(ROUTES % other))
    assert f"compared without /api, too, and {other} may take it; write base_path: /" in found.message


@pytest.mark.parametrize(
    "text", [f"base_path: {path}\n" + ROUTES % "/*" for path in ("/", "/api")] + [ROUTES % "/status"]
)
def test_nothing_is_said_where_it_is_meant_or_harmless(text: str) -> None:
    """A base path that is written is meant; a route that takes none of the requests does no harm."""
    assert list(unsaid(parsed(text))) == []
