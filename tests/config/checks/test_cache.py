from __future__ import annotations

import pytest

from gateway.config.checks.cache import credentials_everywhere
from tests.config.support import parsed

AUTH = "default: [keys]\nschemes: {keys: {api_key: {header: X-API-Key}}, any: {anonymous: {}}}"


@pytest.mark.parametrize(
    ("route", "warned"),
    [
        ("cache: {}", True),
        ("auth: keys, cache: {}", True),
        ("cache: {with_credentials: true}", False),
        ("cache: false", False),
        ("auth: [], cache: {}", False),
        ("auth: [keys, any], cache: {}", True),
    ],
)
def test_a_cache_where_every_caller_has_an_identity(route: str, warned: bool) -> None:
    """Nothing is ever stored there, unless the route says that callers may share it."""
    found = list(credentials_everywhere(parsed(f"routes: [{{path: /x, target: 'b:1', {route}}}]", auth=AUTH)))
    assert ["with_credentials: true" in fault.message for fault in found] == [True] * warned
