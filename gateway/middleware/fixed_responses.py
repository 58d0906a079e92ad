"""Answers the same to every request: what a route with `respond` has in the place of a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.models.respond import DEFAULT_TYPE, RespondConfig
from gateway.http import Exchange, Headers, Response


@dataclass(frozen=True, slots=True)
class FixedResponse:
    """A Handler."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def name(self) -> str:
        """Its name in logs and `explain`."""
        return f"respond {self.status}"

    async def __call__(self, exchange: Exchange) -> Response:
        """The response; its headers are a list of its own, which policies may change."""
        return Response(self.status, list(self.headers), self.body)


def fixed_response(config: RespondConfig) -> FixedResponse:
    """The handler of a route."""
    body = config.body.encode()
    headers: Headers = [(name.encode(), value.encode()) for name, value in config.headers.items()]
    if body and "content-type" not in config.headers:
        headers.append((b"content-type", DEFAULT_TYPE.encode()))
    if config.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    return FixedResponse(config.status, tuple(headers), body)
