"""Tells the backend which trace a request belongs to, as W3C Trace Context has it (`traceparent`, `tracestate`).

A trace that comes from a trusted peer is continued: the same id and flags, and a new id for this hop. In all
other cases a new trace begins, and what the client said of one is dropped.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.http import Exchange, Handler, Response
from gateway.http.fields import values
from gateway.middleware.declaration import Declaration

# Version 00 is exactly so long; later ones may go on behind a hyphen, and 55 characters of them are understood.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
_KNOWN_FLAGS: Final = 0b11  # sampled, and random trace id; the others must be sent as 0
_PARENT: Final = frozenset({b"traceparent"})
_PARENT_AND_STATE: Final = frozenset({b"traceparent", b"tracestate"})


class Hops:
    """Makes ids, for all routes of the process."""

    def __init__(self) -> None:
        self._random = random.Random()

    def begun(self) -> tuple[str, bytes]:
        """The id of a new trace, and its traceparent."""
        # Of the trace 16 bytes, a hyphen, and 8 of the hop.
        ids = self._random.getrandbits(192).to_bytes(24, "big").hex("-", -16)
        return ids[:32], f"00-{ids}-01".encode()

    def continued(self, traceparent: bytes) -> tuple[str, bytes] | None:
        """The same of the trace that a request came with. None where that is malformed."""
        match = _TRACEPARENT.fullmatch(traceparent)
        if match is None:
            return None
        trace, flags = match[1].decode(), int(match[2], 16) & _KNOWN_FLAGS
        return trace, f"00-{trace}-{self._random.randbytes(8).hex()}-{flags:02x}".encode()


@dataclass(frozen=True, slots=True)
class Trace:
    """Whose trace is continued: that of trusted peers, and of strangers where that is wanted."""

    hops: Hops
    trusts_peers: bool = True
    trusts_strangers: bool = False

    def wrap(self, handler: Handler) -> Handler:
        """A handler whose exchanges belong to a trace."""

        def traced(exchange: Exchange) -> Awaitable[Response]:
            known = self._continued(exchange) if b"traceparent" in exchange.fields else None
            hidden = _PARENT_AND_STATE if known is None else _PARENT
            exchange.hidden_headers = exchange.hidden_headers | hidden if exchange.hidden_headers else hidden
            exchange.trace_id, parent = known or self.hops.begun()
            exchange.extra_headers += ((b"traceparent", parent),)
            return handler(exchange)

        return traced

    def _continued(self, exchange: Exchange) -> tuple[str, bytes] | None:
        """The trace of the one who sent the request. None where it is not taken; two of them are none."""
        if not (self.trusts_peers if exchange.peer_trusted else self.trusts_strangers):
            return None
        parents = values(exchange.headers, b"traceparent")
        return self.hops.continued(parents[0]) if len(parents) == 1 else None


def for_route(context: Context, route: RouteConfig) -> Trace | None:
    """None where it is off."""
    config = context.configuration.middleware.trace
    if not config.enabled:
        return None
    hops = context.plan.need("trace", Hops, ("middleware.yaml", ("trace",)))
    return Trace(hops, config.trust != "never", config.trust == "always")


DECLARATION: Final[Declaration] = Declaration("trace", for_route, compiled=True)
