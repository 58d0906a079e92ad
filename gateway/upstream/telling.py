"""What stands between the policies of a route and its endpoints, in words, for `gateway explain`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from gateway.http import Exchange, Handler


@runtime_checkable
class Telling(Protocol):
    """A handler that can say what it would do, without doing it."""

    def tell(self, exchange: Exchange) -> Iterator[str]:
        """A sentence for each thing, and then those of the handlers behind it."""
        ...


def told(handler: Handler, exchange: Exchange) -> Iterator[str]:
    """What a handler says of this exchange."""
    if isinstance(handler, Telling):
        yield from handler.tell(exchange)
