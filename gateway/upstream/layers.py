"""The layers between the policies of a route and its endpoints, one around the other, for `gateway explain`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from gateway.http import Exchange, Handler


@runtime_checkable
class Layer(Protocol):
    """A handler around another one."""

    def describe(self, exchange: Exchange) -> str:
        """Its effect on a request, without applying it."""
        ...

    def inner(self, exchange: Exchange) -> Handler:
        """The next, for this exchange."""
        ...


@runtime_checkable
class Refusing(Protocol):
    """A handler that refuses requests by what it has seen of others."""

    def refusal(self, exchange: Exchange, now: float) -> str | None:
        """Why it would refuse this one, and until when, without counting it; None where it would not."""
        ...


@runtime_checkable
class OfServers(Protocol):
    """A handler that leads to several servers, by what a message says."""

    def ways_to_servers(self) -> Iterator[Handler]:
        """What stands in front of each of them."""
        ...

    def describe_servers(self) -> list[str]:
        """What each is called, and where it is."""
        ...


def layers(handler: Handler, exchange: Exchange) -> Iterator[Handler]:
    """All that this exchange would pass, from `handler` to the last, which forwards it."""
    yield handler
    while isinstance(handler, Layer):
        handler = handler.inner(exchange)
        yield handler
