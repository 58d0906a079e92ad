"""Which headers and query parameters the rules of a route decide by, none of which may come twice."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl

from gateway.algorithms.conditions import compile_condition
from gateway.config.models import Configuration, RouteConfig
from gateway.config.models.quotas import Quota
from gateway.config.models.rate_limits import RateLimit
from gateway.http import Exchange
from gateway.http.fields import repeated, value_of


class Reads:
    """What is read of every request of a route. Predicates of routes see to theirs themselves."""

    def __init__(self, headers: tuple[bytes, ...], parameters: frozenset[str]) -> None:
        self.headers = headers
        self.parameters = parameters

    def check(self, exchange: Exchange) -> None:
        """Raises GatewayError where one of them, which is no list, is there twice: the backend may take the other."""
        if len(exchange.fields) != len(exchange.headers):
            for name in self.headers:
                value_of(exchange.headers, exchange.fields, name)
        if self.parameters and b"&" in exchange.query:
            self._check_parameters(exchange.query)

    def _check_parameters(self, query: bytes) -> None:
        seen: set[str] = set()
        for name, _ in parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True):
            if name in seen and name in self.parameters:
                raise repeated(f"query parameter {name}")
            seen.add(name)


def reads_of(configuration: Configuration, route: RouteConfig) -> Reads | None:
    """By what the enforced limits, quotas, conditions and CORS rules of a route decide; None where it is nothing."""
    conditions = [
        compile_condition(entry.when) for entry in route.authorize if entry.when is not None and entry.mode == "enforce"
    ]
    headers = {*_of_keys(configuration, route), *_of_cors(configuration, route)}
    headers.update(*(condition.headers for condition in conditions))
    parameters = frozenset[str]().union(*(condition.parameters for condition in conditions))
    if not headers and not parameters:
        return None
    return Reads(tuple(sorted(name.encode() for name in headers)), parameters)


def _of_keys(configuration: Configuration, route: RouteConfig) -> Iterator[str]:
    middleware = configuration.middleware
    limits: list[RateLimit | Quota] = [*middleware.rate_limits.values(), *middleware.quotas.values()]
    for limit in limits:
        if limit.mode == "enforce" and limit.applies_to(route.id):
            yield from (part.removeprefix("header:") for part in limit.key if part.startswith("header:"))


def _of_cors(configuration: Configuration, route: RouteConfig) -> Iterator[str]:
    if any(rule.applies_to(route.id) for rule in configuration.middleware.cors.values()):
        yield from ("origin", "access-control-request-method")
