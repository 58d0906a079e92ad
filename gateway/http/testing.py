"""Exchanges and bodies made by hand, with which a middleware is tried without a server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.http.bodies import Headers
from gateway.http.messages import Exchange


class Pieces:
    """A body that comes piece by piece, none of them ahead of time. A Body."""

    def __init__(self, pieces: Iterable[bytes], *, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.trailers: Headers = list(trailers)
        self.closed = False

    @property
    def ready(self) -> bool:
        return not self._pieces

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        self.closed = True


def make_exchange(
    method: str = "GET",
    path: str = "/",
    *,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    client: str = "192.0.2.1",
    route: str = "test",
) -> Exchange:
    """A request as a middleware gets it: `path` may have a query, `headers` are (name, value)."""
    lines = [(b"host", b"api.example.com"), *((n.lower().encode(), v.encode("latin-1")) for n, v in headers)]
    if body is not None:
        lines.append((b"content-length", b"%d" % len(body)))
    path, _, query = path.partition("?")
    made = Exchange(
        request_id="req-1",
        method=method,
        path=path,
        query=query.encode(),
        headers=lines,
        fields=dict(lines),
        scheme="https",
        host="api.example.com",
        peer=client,
        peer_trusted=False,
        client=client,
    )
    made.body = None if body is None else Pieces([body])
    made.route, made.target_path = route, path
    return made
