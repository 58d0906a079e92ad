"""Clients that stay with their endpoint: a cookie says which it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.http.messages import Exchange, Response
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.steps import in_steps
from gateway.upstream.sticky import StickyCookie


class Affinity:
    """The clients of one service and their endpoints. Nothing is kept of any client: its cookie says it all.

    The cookie has a keyed hash of the endpoint's address, which says nothing to anyone else. What is not known, because
    its endpoint has left or the cookie is not ours, binds to nothing.
    """

    __slots__ = ("_endpoints", "_service", "_tokens", "cookie")

    def __init__(self, service: str, cookie: StickyCookie) -> None:
        self.cookie = cookie
        self._service = service
        self._endpoints: dict[bytes, Endpoint] = {}
        self._tokens: dict[Endpoint, bytes] = {}

    def offer(self, endpoints: Sequence[Endpoint]) -> Iterator[None]:
        """These are the endpoints of the service. In steps (see `steps.py`), between which it is the former ones."""
        tokens: dict[Endpoint, bytes] = {}
        bound: dict[bytes, Endpoint] = {}
        ready = bool(self.cookie.key.value)  # otherwise it comes from its file, before the first request
        for some in in_steps(endpoints):
            for endpoint in some:
                token = self._tokens.get(endpoint, b"")
                tokens[endpoint] = token = token or (self._made(endpoint) if ready else b"")
                if token:
                    bound[token] = endpoint
            yield
        self._tokens, self._endpoints = tokens, bound

    def bound(self, exchange: Exchange) -> Endpoint | None:
        """The endpoint that this client is bound to, whether it is up or not."""
        values = self.cookie.held(exchange)
        if not values:
            return None
        if not self._endpoints:
            self._endpoints = {self._token(endpoint): endpoint for endpoint in self._tokens}
        return next((self._endpoints[value] for value in values if value in self._endpoints), None)

    def remember(self, exchange: Exchange, endpoint: Endpoint, response: Response) -> None:
        """An endpoint has answered: bind the client to it from now on, unless it failed."""
        if endpoint in self._tokens:
            self.cookie.bind(exchange, self._token(endpoint), response)

    def _token(self, endpoint: Endpoint) -> bytes:
        token = self._tokens[endpoint]
        if not token:
            token = self._tokens[endpoint] = self._made(endpoint)
        return token

    def _made(self, endpoint: Endpoint) -> bytes:
        return self.cookie.token("endpoint", self._service, endpoint.label)
