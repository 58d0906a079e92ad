"""A configuration becomes a Snapshot, and a plan of what must live: the one place where everything is put together.

A handler chain, in the order of `middleware/table.py`, is composed once per route, never per request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING

from gateway.access.blocklist import blocklist_of
from gateway.auth.scheme import Locations, Scheme
from gateway.config.load import ConfigError, Configuration, Problem
from gateway.config.model_routes import target_of
from gateway.config.models import ClientLimits, RouteConfig
from gateway.config.route_rules import rule
from gateway.config.values.addresses import (
    AsgiTarget,
    parse_target,
)
from gateway.context import Context, Middleware
from gateway.driver import with_task
from gateway.http import Handler
from gateway.http.forwarded import TrustedProxies
from gateway.http.header_filter import HeaderFilter
from gateway.limits.quota import Quota, quotas_of
from gateway.limits.quota_report import PATH as QUOTA_PATH
from gateway.limits.quota_report import paths_of, quota_report, report_route
from gateway.live import Plan
from gateway.middleware import redirects, request_id
from gateway.middleware.authentication import Authentication
from gateway.middleware.fixed_responses import FixedResponse, fixed_response
from gateway.middleware.order import Placed, arrange
from gateway.middleware.reads import reads_of
from gateway.middleware.redirects import Redirect
from gateway.middleware.trace import Trace, without_route
from gateway.monitor.known import known_of, rules_of
from gateway.registry.registered import registered_of
from gateway.resilience import Resilience, timeouts_of
from gateway.roles import ALL, Roles
from gateway.routes.table import RouteTable, RuleErrors
from gateway.routes.wildcards import PatternError
from gateway.services import Services
from gateway.snapshot import RouteHandler, Snapshot
from gateway.upstream.asgi import Applications, Hosted
from gateway.upstream.cluster import Cluster
from gateway.upstream.configured import time_limits_of
from gateway.upstream.request import Timeouts
from gateway.upstream.retry import Retries, RetrySettings
from gateway.upstream.transport import Connector
from gateway.upstream.way_back import WayBack, replaced_by
from gateway.upstream.websocket import WebSocketLimits

if TYPE_CHECKING:  # they are imported where there is a models.yaml
    from gateway.llm.money import Money
    from gateway.model_targets import ModelTargets
    from gateway.snapshot import Answering


def build(configuration: Configuration, plan: Plan, connector: Connector, roles: Roles = ALL) -> Snapshot:
    """Compile a configuration; what must live for it is in `plan` afterwards, and nothing that lives is touched.

    `roles`: those of this process.

    Raises ConfigError where what it names (certificates, applications) cannot be used.
    """
    builder = _Builder(configuration, plan, connector, roles)
    handlers = tuple(builder.handlers())
    problems = [*builder.problems, *builder.services.problems]
    try:
        table = table_of(configuration, handlers)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    proxies = TrustedProxies(configuration.auth.trusted_proxies)
    ids = request_id.request_ids(configuration.middleware.request_id)
    filters = _header_filters(configuration.middleware.limits)
    report = builder.quota_report()
    paths = frozenset() if report is None else paths_of(configuration)
    schemes = {id(scheme): scheme for scheme in _schemes(handlers)}
    credentials = reduce(or_, (scheme.locations for scheme in schemes.values()), Locations())
    return Snapshot(
        configuration,
        table,
        handlers,
        proxies,
        ids,
        filters,
        report,
        paths,
        tuple(builder.quotas()),
        builder.money(),
        builder.blocklist,
        builder.tracing(),
        credentials,
        known_of(
            configuration.routes.routes,
            (QUOTA_PATH,),
            configuration.auth.consumers,
            rules_of(configuration.middleware, configuration.auth),
            configuration.models,
        ),
    )


def _schemes(handlers: Sequence[RouteHandler]) -> Iterator[Scheme]:
    for handler in handlers:
        for middleware in handler.middlewares:
            if isinstance(middleware, Authentication):
                yield from middleware.schemes


def _goes_by_hand(route: RouteConfig, target: Answering) -> bool:
    """Whether nothing behind the policies needs the task that it runs in, but where it says so."""
    known = isinstance(target, Cluster | Redirect | FixedResponse)
    plain = route.hedge is None and route.mirror is None and route.fallback is None and not route.split
    return known and plain


def _header_filters(limits: ClientLimits) -> Mapping[bool, HeaderFilter]:
    underscores = limits.underscore_headers == "pass"
    return {
        trusted: HeaderFilter(trusted=trusted, underscores=underscores, allowed=limits.allowed_proxy_headers)
        for trusted in (False, True)
    }


def table_of(configuration: Configuration, handlers: Sequence[RouteHandler]) -> RouteTable[RouteHandler]:
    """The routes, compiled. Raises ConfigError with every pattern that means nothing."""
    routes = configuration.routes
    pairs = [(rule(handler.route), handler) for handler in handlers]
    try:
        return RouteTable(pairs, base_path=routes.base_path, accept_rewritten=routes.accept_rewritten)
    except RuleErrors as errors:
        places = {route.id: index for index, route in enumerate(routes.routes)}
        faults: list[tuple[_Place, str]] = [(("routes", places[rule]), text) for rule, text in errors.problems]
    except PatternError as error:
        faults = [(("base_path",), str(error))]
    raise ConfigError([_problem(configuration, place, text) for place, text in faults])


_Place = tuple[str | int, ...]


def _restoring(route: RouteConfig, handler: Handler, target: Cluster | Hosted) -> Handler:
    if not route.restores_places:
        return handler
    try:
        replaced = replaced_by(
            route.all_paths, route.rewrite, route.strip_prefix, encoded_slashes=route.allow_encoded_slashes
        )
    except PatternError:  # reported when all routes are compiled
        return handler
    return WayBack(handler, target, replaced)


def _problem(configuration: Configuration, place: _Place, message: str) -> Problem:
    return configuration.problem("routes.yaml", place, message)


class _Builder:
    """One pass over the routes; those that lead to the same service share its Upstream."""

    def __init__(self, configuration: Configuration, plan: Plan, connector: Connector, roles: Roles) -> None:
        self._configuration = configuration
        self._plan = plan
        self._context = Context(configuration, plan, roles)
        self._resilience = Resilience(self._context)
        self.services = Services(self._context, connector)
        self._applications = plan.need("applications", Applications, ("routes.yaml", ("routes",)))
        self.blocklist = blocklist_of(self._context)  # which the admin API changes, also where no route has one
        if any(
            service.discovery and service.discovery.registered for service in configuration.routes.services.values()
        ):
            registered_of(self._context)  # which the admin API changes, also where no route leads to the service
        self._stack_in_order, self.problems = arrange(self._context)
        self._refused = False  # a policy
        self._models = _model_targets(self._context, self.services, self._resilience)
        if self._models is not None:
            self.problems += self._models.problems

    def handlers(self) -> Iterator[RouteHandler]:
        for index, route in enumerate(self._configuration.routes.routes):
            target = self._target(index, route)
            if target is not None:
                stack = self._stack_or_problems(route)
                middlewares = tuple(middleware for _, middleware in stack)
                places = tuple(placed.name for placed, _ in stack)
                forward = self._forward(index, route, target)
                handle: Handler = forward
                for middleware in reversed(middlewares):
                    handle = middleware.wrap(handle)
                if not (_goes_by_hand(route, target) and all(placed.policy.by_hand for placed, _ in stack)):
                    handle = with_task(handle)
                worded = None
                if self._models is not None and not isinstance(target, Cluster | Hosted | Redirect | FixedResponse):
                    worded = self._models.wording(target)
                    handle = worded(handle)
                reads = reads_of(self._configuration, route)
                yield RouteHandler(route, middlewares, places, target, forward, handle, reads, worded)

    def _stack_or_problems(self, route: RouteConfig) -> tuple[tuple[Placed, Middleware], ...]:
        """None after the first one that cannot be built: what else is wrong, beside policies, is found then, too."""
        if self._refused:
            return ()
        try:
            return tuple(self._stack(route))
        except ConfigError as error:
            self._refused = True
            self.problems += error.problems
            return ()

    def _stack(self, route: RouteConfig) -> Iterator[tuple[Placed, Middleware]]:
        for placed in self._stack_in_order:
            middleware = placed.build(self._context, route)
            if middleware is not None:
                yield placed, middleware

    def tracing(self) -> Trace | None:
        """Starts the traces of requests without a route."""
        return without_route(self._context)

    def quotas(self) -> Iterator[Quota]:
        """All of them, for the admin API."""
        return quotas_of(self._context)

    def money(self) -> Money | None:
        """The counters of requests to models."""
        return None if self._models is None else self._models.money()

    def quota_report(self) -> Handler | None:
        """The handler of /quota, behind the policies that control access to it. None without quotas."""
        handle: Handler | None = quota_report(self._context)
        if handle is None:
            return None
        route = report_route(self._configuration)
        for placed in reversed(self._stack_in_order):
            middleware = placed.build(self._context, route) if placed.policy.guards_quota else None
            if middleware is not None:
                handle = middleware.wrap(handle)
        return with_task(handle)

    def _target(self, index: int, route: RouteConfig) -> Answering | None:
        kind = target_of(route, self._configuration.models)
        if kind is not None and self._models is not None:
            return self._models.target(kind, route, self._way)
        if route.redirect is not None:
            return redirects.redirect(route.redirect)
        if route.respond is not None:
            return fixed_response(route.respond)
        return self._way(route, route.target, ("routes", index, "target"))

    def _way(self, route: RouteConfig, text: str, path: _Place, *, mirror: bool = False) -> Cluster | Hosted | None:
        """The way of a route to a target, named at this place; None, with a problem, where it cannot be used."""
        target, place = parse_target(text), ("models.yaml" if path[0] == "mcp" else "routes.yaml", path)
        timeouts, websocket = timeouts_of(route, self._timeouts(route)), self._websocket_limits()
        try:
            if isinstance(target, AsgiTarget):
                make = partial(self._applications.at, target.module, target.attribute)
                application = self._plan.need(target, make, place)
                self._plan.after_adoption(application.go_on)
                return Hosted(application, self._timeouts(route), websocket)
            upstream = self.services.upstream(target, place, mirror=mirror)
        except (OSError, ImportError, AttributeError, TypeError) as error:
            self._problem(path, f"{text} cannot be used: {error}")
            return None
        retries = Retries(RetrySettings(1, 1)) if mirror else self._resilience.retries(route, upstream, text, place)
        return Cluster(text, upstream, timeouts, route.preserve_host, websocket, retries)

    def _forward(self, index: int, route: RouteConfig, target: Answering) -> Handler:
        """The handler behind the policies of a route."""
        if not isinstance(target, Cluster | Hosted):
            return target
        resilience, place = self._resilience, ("routes", index)

        def guard(text: str, path: _Place, made: Cluster | Hosted) -> Handler:
            hedged = resilience.hedged(route, made, ("routes.yaml", path)) if isinstance(made, Cluster) else made
            return resilience.guarded(route, text, path, _restoring(route, hedged, made))

        def way(text: str, path: _Place) -> Handler | None:
            made = self._way(route, text, path)
            return None if made is None else guard(text, path, made)

        def mirror(text: str, path: _Place) -> Handler | None:
            return self._way(route, text, path, mirror=True)

        return resilience.around(route, place, guard(route.target, (*place, "target"), target), way, mirror)

    def _timeouts(self, route: RouteConfig) -> Timeouts:
        return time_limits_of(self._configuration.middleware.timeouts.overridden_by(route.timeout), route.timeout)

    def _websocket_limits(self) -> WebSocketLimits:
        config = self._configuration.middleware.websocket
        return WebSocketLimits(config.max_message, config.ping_interval)

    def _problem(self, place: _Place, message: str) -> None:
        self.problems.append(_problem(self._configuration, place, message))


def _model_targets(context: Context, services: Services, resilience: Resilience) -> ModelTargets | None:
    """What makes the targets that models.yaml has; None where there is none."""
    models = context.configuration.models
    if models is None:
        return None
    from gateway.model_targets import ModelTargets  # noqa: PLC0415  an eighth of all modules, for those who use them

    return ModelTargets(context, models, services, resilience)
