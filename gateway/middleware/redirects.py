"""Answers with another address instead of forwarding: what a route with `redirect` has in the place of a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.models.redirect import RedirectConfig, split_location
from gateway.http import Exchange, Response


@dataclass(frozen=True, slots=True)
class Redirect:
    """Leads to the path that the route table made of the request's, at `origin` (empty: where the request came to).

    No request can choose the host: `origin` comes from the configuration, and where there is none, one is left of
    several slashes at the beginning of the path, which browsers would take for a host. A Handler.
    """

    origin: bytes
    status: int
    keep_query: bool

    @property
    def name(self) -> str:
        """Its name in logs and `explain`."""
        return f"redirect {self.status} {self.origin.decode()}".strip()

    async def __call__(self, exchange: Exchange) -> Response:
        """The redirect."""
        path = exchange.target_path.encode("ascii")
        location = self.origin + b"/" + (path.removeprefix(b"/") if self.origin else path.lstrip(b"/"))
        if self.keep_query:
            location += exchange.query_part()
        return Response(self.status, [(b"location", location), (b"content-length", b"0")])


def redirect(config: RedirectConfig) -> Redirect:
    """The handler of a route."""
    return Redirect(split_location(config.to)[0].encode(), config.status, config.keep_query)
