"""Configuration and state become a Snapshot: the one place where everything is put together.

The order of a handler chain is `_stack`, outermost first. It is composed once per route, never per request.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.balancing.round_robin import RoundRobin
from gateway.config.addresses import AddressTarget, AsgiTarget, Target, parse_address, parse_target
from gateway.config.load import ConfigError, Configuration, Problem
from gateway.config.models import Connections, Predicate, RouteConfig, ServiceConfig
from gateway.config.models import Timeouts as TimeoutsConfig
from gateway.config.problems import format_path
from gateway.http import Handler
from gateway.http.forwarded import TrustedProxies
from gateway.middleware.body_limit import BodyLimit
from gateway.routes.rule import Predicate as RulePredicate
from gateway.routes.rule import Rule
from gateway.routes.table import RouteTable
from gateway.state import Survivors
from gateway.upstream.asgi import Application, import_application
from gateway.upstream.cluster import Cluster, Timeouts
from gateway.upstream.endpoint import Address, Endpoint, TlsSettings
from gateway.upstream.pool import PoolLimits
from gateway.upstream.transport import Connector
from gateway.upstream.websocket import WebSocketLimits


class Middleware(Protocol):
    """A policy: `wrap` puts it in front of a handler. Answering without calling the handler is how it refuses."""

    def wrap(self, handler: Handler) -> Handler:
        """A handler that applies the policy and then, if it likes, asks `handler`."""
        ...


@dataclass(frozen=True, slots=True)
class State:
    """What lives longer than a Snapshot."""

    connector: Connector
    endpoints: Survivors[Address, Endpoint]
    applications: Survivors[str, Application]


@dataclass(frozen=True, slots=True)
class RouteHandler:
    """A route, ready to take exchanges."""

    route: RouteConfig
    middlewares: tuple[Middleware, ...]
    target: Cluster | Application
    handle: Handler


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of one configuration, compiled."""

    configuration: Configuration
    table: RouteTable[RouteHandler]
    handlers: tuple[RouteHandler, ...]
    proxies: TrustedProxies
    limits: Mapping[Address, PoolLimits]

    @property
    def digest(self) -> str:
        """Tells contents of the files apart."""
        return self.configuration.digest


def activate(snapshot: Snapshot, state: State) -> list[Endpoint]:
    """Bring what lives in line with a snapshot about to be used. Returns the endpoints that nobody needs now."""
    for endpoint in state.endpoints:
        if endpoint.address in snapshot.limits:
            endpoint.configure(snapshot.limits[endpoint.address])
    return state.endpoints.keep_only(snapshot.limits.keys())


def build(configuration: Configuration, state: State, *, base: Path) -> Snapshot:
    """Compile a configuration. Raises ConfigError where what it names (certificates, applications) cannot be used."""
    builder = _Builder(configuration, state, base)
    handlers = tuple(builder.handlers())
    if builder.problems:
        raise ConfigError(builder.problems)
    routes = configuration.routes
    table = RouteTable(
        [(rule(handler.route), handler) for handler in handlers],
        base_path=routes.base_path,
        accept_rewritten=routes.accept_rewritten,
    )
    return Snapshot(configuration, table, handlers, TrustedProxies(configuration.auth.trusted_proxies), builder.limits)


def rule(route: RouteConfig) -> Rule:
    """What the route table needs to know of a route."""
    return Rule(
        id=route.id,
        path=route.path,
        hosts=tuple(route.host or ()),
        methods=frozenset(route.methods) if route.methods else None,
        headers=tuple(_predicate(name, value) for name, value in route.headers.items()),
        query=tuple(_predicate(name, value) for name, value in route.query.items()),
        rewrite=route.rewrite,
        strip_prefix=route.strip_prefix,
        allow_encoded_slashes=route.allow_encoded_slashes,
    )


def rules(configuration: Configuration) -> list[Rule]:
    """All of them, without building anything that lives."""
    return [rule(route) for route in configuration.routes.routes]


def _predicate(name: str, value: Predicate) -> RulePredicate:
    return RulePredicate(name, value.exact, value.regex, value.present is not False)


def pool_limits(connections: Connections) -> PoolLimits:
    """As the pool takes them."""
    return PoolLimits(connections.max, connections.pending, connections.idle, connections.idle_timeout)


def _timeouts(config: TimeoutsConfig) -> Timeouts:
    total = float("inf") if config.total is None else config.total
    return Timeouts(config.connect, config.response_header, config.idle, total)


class _Builder:
    """One pass over the routes; clusters of the same service share their balancer and endpoints."""

    def __init__(self, configuration: Configuration, state: State, base: Path) -> None:
        self._configuration = configuration
        self._state = state
        self._base = base
        self._balancers: dict[Target, tuple[RoundRobin[Endpoint], tuple[Endpoint, ...]]] = {}
        self.limits: dict[Address, PoolLimits] = {}
        self.problems: list[Problem] = []

    def handlers(self) -> Iterator[RouteHandler]:
        for index, route in enumerate(self._configuration.routes.routes):
            target = self._target(index, route)
            if target is not None:
                middlewares = tuple(self._stack(route))
                handle: Handler = target
                for middleware in reversed(middlewares):
                    handle = middleware.wrap(handle)
                yield RouteHandler(route, middlewares, target, handle)

    def _stack(self, route: RouteConfig) -> Iterator[Middleware]:
        """What an exchange passes on its way to the cluster, in this order."""
        yield BodyLimit(self._configuration.middleware.limits.body if route.max_body is None else route.max_body)

    def _target(self, index: int, route: RouteConfig) -> Cluster | Application | None:
        target = parse_target(route.target)
        try:
            if isinstance(target, AsgiTarget):
                name = f"{target.module}:{target.attribute}"
                return self._state.applications.get(name, lambda: import_application(target.module, target.attribute))
            balancer, endpoints = self._balancer(target)
        except (OSError, ImportError, AttributeError, TypeError) as error:
            self._problem(("routes", index, "target"), f"{route.target} cannot be used: {error}")
            return None
        return Cluster(
            name=route.target,
            balancer=balancer,
            endpoints=endpoints,
            timeouts=_timeouts(self._configuration.middleware.timeouts.overridden_by(route.timeout)),
            preserve_host=route.preserve_host,
            websocket=self._websocket_limits(),
        )

    def _websocket_limits(self) -> WebSocketLimits:
        config = self._configuration.middleware.websocket
        return WebSocketLimits(config.max_message, config.ping_interval)

    def _balancer(self, target: Target) -> tuple[RoundRobin[Endpoint], tuple[Endpoint, ...]]:
        known = self._balancers.get(target)
        if known is None:
            weighted = list(self._endpoints(target))
            known = RoundRobin(weighted), tuple(endpoint for endpoint, _ in weighted)
            self._balancers[target] = known
        return known

    def _endpoints(self, target: Target) -> Iterator[tuple[Endpoint, int]]:
        if isinstance(target, AddressTarget):
            tls = TlsSettings() if target.protocol == "https" else None
            yield self._endpoint(Address(target.host, target.port, tls), PoolLimits()), 1
            return
        assert not isinstance(target, AsgiTarget)
        service = self._configuration.routes.services[target.name]
        tls = self._tls(target.name, service)
        for endpoint in service.endpoints:
            address = Address(*parse_address(endpoint.address), tls)
            yield self._endpoint(address, pool_limits(service.connections)), endpoint.weight

    def _tls(self, name: str, service: ServiceConfig) -> TlsSettings | None:
        if service.protocol != "https":
            return None
        ca = str(self._base / service.tls.ca) if service.tls.ca else None
        settings = TlsSettings(ca, service.tls.server_name, service.tls.verify)
        try:
            settings.context()
        except (OSError, ssl.SSLError) as error:
            self._problem(("services", name, "tls", "ca"), f"{ca} cannot be used: {error.strerror or error}")
            return TlsSettings(None, settings.server_name, settings.verify)
        return settings

    def _endpoint(self, address: Address, limits: PoolLimits) -> Endpoint:
        self.limits[address] = limits
        return self._state.endpoints.get(address, lambda: Endpoint(address, self._state.connector, limits))

    def _problem(self, path: tuple[str | int, ...], message: str) -> None:
        line, column = self._configuration.locate("routes.yaml", path)
        self.problems.append(Problem("routes.yaml", line, column, format_path(path), message))
