"""Load: requests in a closed loop on a number of connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from random import randrange

import uvloop

from bench.client import Client

CONNECTIONS = 64
DRAIN_SECONDS = 10.0  # in which all answers must have come that are under way at the end

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)  # with a __dict__, for what is computed once
class Request:
    """What is asked for, again and again. With a body it is a POST."""

    name: str
    path: str
    size: int  # bytes of the response body
    body: bytes = b""
    headers: Headers = ()
    variants: tuple[Headers, ...] = ((),)  # more headers, which the requests have in turn
    connections: int = CONNECTIONS

    @property
    def all_headers(self) -> Headers:
        """Those of the first request."""
        return self.headers + self.variants[0]

    @cached_property
    def encoded(self) -> Sequence[bytes]:
        """The bytes of each variant."""
        method = "POST" if self.body else "GET"
        length = f"Content-Length: {len(self.body)}\r\n" if self.body else ""
        begin = f"{method} {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines(self.headers)}{length}"
        return [f"{begin}{lines(variant)}\r\n".encode() + self.body for variant in self.variants]


def lines(headers: Headers) -> str:
    """Header lines."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


@dataclass(frozen=True, slots=True)
class Load:
    """What became of it."""

    requests: int  # that were answered
    failures: int  # of them not with 200, or lost with their connection


def send(port: int, request: Request, seconds: float) -> Load:
    """Send load to a port. All of it is answered, or has failed, when this returns."""
    encoded, count = request.encoded, request.connections
    step = max(1, len(encoded) // count)  # so that clients do not send the same ones at the same time
    begin = randrange(len(encoded))  # nor those of the round before, which takes fewer than there are of 100,000
    starts = [(begin + number * step) % len(encoded) for number in range(count)]
    return uvloop.run(_send(port, [islice(cycle(encoded), start, None) for start in starts], seconds))


def send_each(port: int, request: Request, seconds: float) -> Load:
    """Send each variant of a request once, within so many seconds."""
    encoded, count = request.encoded, min(request.connections, len(request.variants))
    return uvloop.run(_send(port, [islice(encoded, number, None, count) for number in range(count)], seconds))


async def _send(port: int, requests: Sequence[Iterator[bytes]], seconds: float) -> Load:
    """On a connection for each of them, until they end, or the time does."""
    clients = [Client(each) for each in requests]
    loop = asyncio.get_running_loop()
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.wait([client.ended for client in clients], timeout=seconds)
    for client in clients:
        client.stop()
    await asyncio.wait([client.ended for client in clients], timeout=DRAIN_SECONDS)
    for client in clients:
        client.abort()
    return Load(sum(client.answered for client in clients), sum(client.failures for client in clients))
