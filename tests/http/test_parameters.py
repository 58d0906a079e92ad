"""Parameters of a query are read in one way, whatever decides by them."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.conditions import Calendar, Facts
from gateway.auth.credentials import without_parameters
from gateway.http.parameters import parameters, query_values
from gateway.http.testing import make_exchange
from gateway.routes.conditions import Asked

_PIECES = st.sampled_from(
    [b"a", b"%61", b"+", b"%20", "é".encode(), b"%C3%A9", b"\xe9", b"%E9", b"=", b"&", b";", b"%"]
)
_QUERIES = st.lists(_PIECES, max_size=8).map(b"".join)


@given(query=_QUERIES)
def test_all_read_the_same(query: bytes) -> None:
    """Keys, routes, splits and conditions see the same values, and what hides a credential finds every one."""
    exchange = make_exchange()
    exchange.query = query
    for name in ("a", "é", " "):
        wanted = [value for other, value in parameters(query) if other == name]
        assert list(Asked(query, [], {}).values("query parameter", name)) == wanted
        single = wanted[0] if len(wanted) == 1 else None
        assert Facts(exchange, 0.0, Calendar(UTC)).parameter(name) == single
        assert query_values(query, name) == [value.encode() for value in wanted]
        assert name not in dict(parameters(without_parameters(query, frozenset({name.encode()}))))


@pytest.mark.parametrize("query", [b"v=1&v=2", b"v=1&%76=2", b"v&v"])
def test_a_parameter_that_is_there_twice_has_two_values(query: bytes) -> None:
    """Also where its name is written in another way, or it has no value."""
    assert len(query_values(query, "v")) == 2
