"""What stands between the policies of a route and its endpoints, one behind the other, for `gateway explain`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from gateway.http import Exchange, Handler


@runtime_checkable
class Standing(Protocol):
    """A handler in front of others."""

    def tell(self, exchange: Exchange) -> str:
        """What it would do, without doing it."""
        ...

    def behind(self, exchange: Exchange) -> Handler:
        """The next, for this exchange."""
        ...


def chain(handler: Handler, exchange: Exchange) -> Iterator[Handler]:
    """All that this exchange would pass, from `handler` to the last, which forwards it."""
    yield handler
    while isinstance(handler, Standing):
        handler = handler.behind(exchange)
        yield handler
