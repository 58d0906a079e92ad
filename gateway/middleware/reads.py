"""Which headers and query parameters the rules of a route decide by, none of which may come twice."""

from __future__ import annotations

from gateway.config.models import Configuration, RouteConfig
from gateway.http import Exchange
from gateway.http.fields import repeated, value_of
from gateway.http.parameters import parameters
from gateway.middleware.table import POLICIES


class Reads:
    """Headers and parameters read by policies of a route. Predicates of routes check theirs themselves."""

    def __init__(self, headers: tuple[bytes, ...], parameters: frozenset[str]) -> None:
        self.headers = headers
        self.parameters = parameters

    def check(self, exchange: Exchange) -> None:
        """Raises GatewayError where one of them, which is no list, is duplicated: the backend may take the other."""
        if len(exchange.fields) != len(exchange.headers):
            for name in self.headers:
                value_of(exchange.headers, exchange.fields, name)
        if self.parameters and b"&" in exchange.query:
            self._check_parameters(exchange.query)

    def _check_parameters(self, query: bytes) -> None:
        seen: set[str] = set()
        for name, _ in parameters(query):
            if name in seen and name in self.parameters:
                raise repeated(f"query parameter {name}")
            seen.add(name)


def reads_of(configuration: Configuration, route: RouteConfig) -> Reads | None:
    """Headers and parameters that the enforced rules of a route's policies use; None if there are none."""
    read = {each for policy in POLICIES for each in policy.reads(configuration, route)}
    if not read:
        return None
    headers = tuple(sorted(name.encode() for what, name in read if what == "header"))
    return Reads(headers, frozenset(name for what, name in read if what == "parameter"))
