"""The targets of routes to models and to MCP servers.

`build` imports it where there is a models.yaml: what stands below it is an eighth of all modules, which a gateway
without one, and without an admin port, neither waits for at its start nor keeps in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

from gateway.config.model_routes import Target, endpoint_of
from gateway.config.models import RouteConfig
from gateway.config.models import Timeouts as TimeoutsConfig
from gateway.config.models.llm.file import ModelsFile
from gateway.config.models.llm.mcp import McpServer
from gateway.config.models.llm.providers import Provider
from gateway.config.models.timeouts import RouteTimeouts
from gateway.config.problems import ConfigError, Path, Problem
from gateway.context import Context
from gateway.deadlines import NEVER
from gateway.http import Handler
from gateway.limits.held_bodies import held_bodies_of
from gateway.llm.configured import models_of
from gateway.llm.guardrails import Guard
from gateway.llm.handler import Models
from gateway.llm.money import Money, money_of
from gateway.llm.speaking import in_format
from gateway.mcp.answers import Speaking
from gateway.mcp.configured import Endpoint, mcp_endpoint
from gateway.middleware.guardrail_loading import guardrails_of
from gateway.resilience import Resilience
from gateway.services import Services
from gateway.upstream.asgi import Hosted
from gateway.upstream.cluster import Cluster
from gateway.upstream.configured import time_limits_of
from gateway.upstream.retry import Retries, RetrySettings
from gateway.upstream.websocket import WebSocketLimits


class Way(Protocol):
    """How any target of a route is reached."""

    def __call__(self, route: RouteConfig, text: str, path: Path) -> Cluster | Hosted | None:
        """The way to the target `text`, named at this place; None where it cannot be used, which is reported."""
        ...


class ModelTargets:
    """Makes them, of one configuration. `problems` are those of its guardrails."""

    def __init__(self, context: Context, models: ModelsFile, services: Services, resilience: Resilience) -> None:
        self.problems: list[Problem] = []
        self._context = context
        self._models = models
        self._services = services
        self._resilience = resilience
        self._full = context.configuration.middleware.errors.detail == "full"
        self._guards: Mapping[str, Guard] = {}
        try:
            self._guards = guardrails_of(context)
        except ConfigError as error:
            self.problems += error.problems

    def target(self, kind: Target, route: RouteConfig, way: Way) -> Models | Endpoint | None:
        """The target of a route to models, or to an MCP endpoint, whose servers are reached by `way`; None where one
        of them cannot be used."""
        return self._of_models(route) if kind == "models" else self._of_mcp(route, way)

    def wording(self, target: Models | Endpoint) -> Callable[[Handler], Handler]:
        """Has errors be in the format of a target's clients."""
        if isinstance(target, Models):
            return partial(in_format, full=self._full)
        return partial(Speaking, held=held_bodies_of(self._context), full=self._full)

    def money(self) -> Money:
        """The counters of requests to models."""
        return money_of(self._context)

    def _of_models(self, route: RouteConfig) -> Models:
        """The same for all routes with the same time limits."""
        config = self._context.configuration.middleware.timeouts.overridden_by(route.timeout)
        way = partial(self._provider_way, config, route.timeout)
        total = time_limits_of(config).total
        return self._context.once(("models", repr(config)), lambda: models_of(self._context, way, total, self._guards))

    def _provider_way(
        self, limits: TimeoutsConfig, own: RouteTimeouts | None, name: str, provider: Provider
    ) -> Handler:
        """The way to a provider of models, behind its breaker: what was sent is not sent again here."""
        place = ("models.yaml", ("providers", name))
        text, upstream = provider.service or provider.origin, self._services.of_provider(provider, place)
        limits = limits.overridden_by(provider.timeout)
        timeouts = replace(time_limits_of(limits, own, provider.timeout), total=NEVER)
        retries = Retries(RetrySettings(attempts=1, on=frozenset({"connect"})))
        websocket = self._context.configuration.middleware.websocket
        frames = WebSocketLimits(websocket.max_message, websocket.ping_interval)
        cluster = Cluster(text, upstream, timeouts, websocket=frames, retries=retries)
        return self._resilience.provider(name, text, provider.breaker, place, cluster)

    def _of_mcp(self, route: RouteConfig, way: Way) -> Endpoint | None:
        name = endpoint_of(route, self._models)
        assert name is not None

        def ways(server: McpServer, path: Path) -> tuple[Cluster, Callable[[Handler], Handler]] | None:
            made = way(route, server.target, path)
            if not isinstance(made, Cluster):
                return None
            guarded = route.model_copy(update={"breaker": server.breaker})
            return made, partial(self._resilience.guarded, guarded, server.target, path)

        return mcp_endpoint(self._context, route.target, name, self._models.mcp[name], ways)
