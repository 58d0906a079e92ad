"""One whole configuration, compiled: what every request is answered by, until another one replaces it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from gateway.access.blocklist import Blocklist
from gateway.auth.scheme import Locations
from gateway.config.load import Configuration
from gateway.config.models import RouteConfig
from gateway.config.yaml.document import Mapping as YamlMapping
from gateway.config.yaml.document import Sequence as YamlSequence
from gateway.context import Middleware
from gateway.http import Handler
from gateway.http.forwarded import TrustedProxies
from gateway.http.header_filter import HeaderFilter
from gateway.limits.quota import Quota
from gateway.middleware.fixed_responses import FixedResponse
from gateway.middleware.reads import Reads
from gateway.middleware.redirects import Redirect
from gateway.middleware.request_id import RequestIds
from gateway.middleware.trace import Trace
from gateway.monitor.known import Known
from gateway.routes.table import RouteTable
from gateway.upstream.asgi import Hosted
from gateway.upstream.cluster import Cluster

if TYPE_CHECKING:  # the last two are imported where there is a models.yaml
    from gateway.llm.handler import Models
    from gateway.llm.money import Money
    from gateway.mcp.configured import Endpoint as McpEndpoint

    Answering: TypeAlias = Cluster | Hosted | Redirect | FixedResponse | Models | McpEndpoint
    """The target of routes."""


@dataclass(frozen=True, slots=True)
class RouteHandler:
    """A route, ready to take exchanges."""

    route: RouteConfig
    middlewares: tuple[Middleware, ...]
    places: tuple[str, ...]  # the name of each in `order`
    target: Answering
    forward: Handler  # behind the policies: the target, with what the route does about failures
    handle: Handler
    reads: Reads | None  # what no request may have twice
    worded: Callable[[Handler], Handler] | None = None  # has errors be in the format of its clients


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of one configuration, compiled."""

    configuration: Configuration
    table: RouteTable[RouteHandler]
    handlers: tuple[RouteHandler, ...]
    proxies: TrustedProxies
    request_ids: RequestIds
    header_filters: Mapping[bool, HeaderFilter]  # for what trusted proxies send, and for all other clients
    quota: Handler | None  # what answers /quota
    quota_paths: frozenset[str]  # where; empty where there is none
    quotas: tuple[Quota, ...]
    money: Money | None  # budgets and prices of models, where there are any
    blocklist: Blocklist
    tracing: Trace | None  # for what no route takes
    credentials: Locations  # where any scheme in use looks for one
    known: Known  # what metrics have labels of

    @property
    def digest(self) -> str:
        """Identifies the contents of the files."""
        return self.configuration.digest

    def pieces(self) -> list[object]:
        """Its largest parts: routes, compiled, as configured, and as in the files."""
        configuration = self.configuration
        pieces: list[object] = [*self.handlers, *configuration.routes.routes, *configuration.auth.consumers]
        pieces += self.table.pieces()
        for document in configuration.documents.values():
            root = document.root
            for entry in root.entries.values() if isinstance(root, YamlMapping) else ():
                if isinstance(entry.node, YamlSequence):
                    pieces += entry.node.items
            if isinstance(root, YamlSequence):
                pieces += root.items
        return pieces
