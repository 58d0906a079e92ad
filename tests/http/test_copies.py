"""Copies of exchanges, which policies make."""

from copy import copy

from gateway.http import Exchange
from gateway.http.testing import make_exchange


def test_a_copy_is_the_same_request() -> None:
    """A copy has all that the exchange has, except for what drives it; and nothing else becomes of the original."""
    exchange = make_exchange()
    said = {name: object() for name in Exchange.__slots__ if name not in {"deferred", "driver"}}
    for name, value in said.items():
        setattr(exchange, name, value)
    made = copy(exchange)
    assert {name: getattr(made, name) for name in said} == said
    assert {name: getattr(exchange, name) for name in said} == said
    assert made.driver is None


def test_what_a_copy_defers_ends_with_the_original() -> None:
    """A policy that hands on a copy has what that opens closed at the end of the request."""
    exchange, closed = make_exchange(), []
    copy(exchange).defer(lambda: closed.append("copy"))
    exchange.close()
    assert closed == ["copy"]
