"""MCP endpoints, from their configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from gateway.config.models.llm.mcp import McpEndpoint, McpServer, McpTool
from gateway.config.models.llm.paths import METADATA_PATH
from gateway.config.problems import Path
from gateway.context import Context
from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Response
from gateway.limits.held_bodies import held_bodies_of
from gateway.limits.rate_limit import exact_store, rate_limit_of
from gateway.live import Place
from gateway.mcp.group import Group
from gateway.mcp.origins import check_origin
from gateway.mcp.passing import Limits, Passing
from gateway.mcp.sealing import KEY_FILE, Seal
from gateway.mcp.server import Server, ToolRule
from gateway.mcp.several import Several
from gateway.mcp.tools import Allowed, Patterns
from gateway.mcp.versions import VERSION_HEADER
from gateway.middleware.rate_limit import RateLimits
from gateway.upstream.cluster import Cluster
from gateway.upstream.sticky import CookieKey

_OF_METADATA: Final = frozenset({b"accept", b"accept-language", b"user-agent", VERSION_HEADER})
"""Headers that a server gets of a request for its metadata."""


class Ways(Protocol):
    """How the servers of an endpoint are reached."""

    def __call__(self, server: McpServer, path: Path) -> tuple[Cluster, Callable[[Handler], Handler]] | None:
        """The cluster of a server that is named at this place of models.yaml, and what puts its breaker in front of a
        way to it; None where it cannot be used, which is reported."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The handler at a path. A Handler."""

    name: str  # as routes have it
    servers: Sequence[Server]
    forward: Handler
    metadata: Handler

    async def __call__(self, exchange: Exchange) -> Response:
        check_origin(exchange)
        handler = self.metadata if exchange.target_path.startswith(METADATA_PATH) else self.forward
        return await handler(exchange)

    def ways_to_servers(self) -> Iterator[Handler]:
        """See `OfServers`."""
        return (server.guard(server.cluster) for server in self.servers)

    def describe_servers(self) -> list[str]:
        """See `OfServers`."""
        return [server.describe() for server in self.servers]


def mcp_endpoint(context: Context, target: str, name: str, config: McpEndpoint, ways: Ways) -> Endpoint | None:
    """What answers for one entry of `mcp` in models.yaml, which routes call `target`; None where a server of it cannot
    be used."""
    servers = []
    for number, each in enumerate(config.servers):
        found = ways(each, ("mcp", name, "servers", number))
        if found is None:
            return None
        servers.append(_server(context, name, config, each, *found))
    place: Place = ("models.yaml", ("mcp", name))
    secret = config.secret.get_secret_value() if config.secret is not None else ""
    path = None if secret else context.base / context.configuration.middleware.state_directory / KEY_FILE
    key = context.plan.need(("mcp key", secret, path), partial(CookieKey, secret, path, "sessions of MCP"), place)
    full = context.configuration.middleware.errors.detail == "full"
    limits = Limits(config.max_body, config.max_answer, held_bodies_of(context))
    seal = Seal(name, key)
    if len(servers) == 1:
        return Endpoint(target, servers, Passing(servers[0], seal, limits, full), _Metadata(servers))
    group = Group(name, {each.name: each for each in servers}, limits, config.instructions or "", full)
    return Endpoint(target, servers, Several(group, seal), _Metadata(servers))


def _server(
    context: Context,
    endpoint: str,
    all_of_it: McpEndpoint,
    config: McpServer,
    cluster: Cluster,
    guard: Callable[[Handler], Handler],
) -> Server:
    timeouts = replace(cluster.timeouts, response_header=NEVER, idle=NEVER, event_stream_idle=NEVER, total=NEVER)
    only = len(all_of_it.servers) == 1
    return Server(
        name=config.name,
        path=config.target_path,
        cluster=replace(cluster, timeouts=timeouts),
        guard=guard,
        allowed=Allowed(config.allow, config.deny),
        headers=[(name.encode(), value.get_secret_value().encode()) for name, value in config.headers.items()],
        authorization=only if config.authorization is None else config.authorization,
        timeout=config.timeout,
        patterns=Patterns(config.tools),
        rules=[_rule(context, f"mcp.{endpoint}.{config.name}.{name}", each) for name, each in config.tools.items()],
    )


def _rule(context: Context, name: str, config: McpTool) -> ToolRule:
    if config.limit is None:
        return ToolRule(config.timeout, None)
    limit, link = rate_limit_of(context, name, config.limit, config.limit.cost)
    local, remote = ((limit,), ()) if limit.store is not None else ((), (limit,))
    limits = RateLimits(local, remote, link, exact_store(context) if remote else None)
    return ToolRule(config.timeout, limits.wrap(_counted))


async def _counted(exchange: Exchange) -> Response:
    return Response(200, [])


@dataclass(frozen=True, slots=True)
class _Metadata:
    """The protected resource metadata (RFC 9728) of the first server that has it. A Handler."""

    servers: list[Server]

    async def __call__(self, exchange: Exchange) -> Response:
        if exchange.method not in ("GET", "HEAD"):
            detail = "this is read with GET"
            raise GatewayError(ErrorKind.METHOD_NOT_ALLOWED, detail, headers=((b"allow", b"GET, HEAD"),))
        # Anyone may ask for it: a credential that a client sends with everything is not for the server.
        exchange.hidden_headers |= {name for name, _ in exchange.headers if name not in _OF_METADATA}
        exchange.query, exchange.bare_query = b"", False
        response = Response(404, [(b"content-length", b"0")])
        for server in self.servers:
            path = METADATA_PATH + server.path.rstrip("/")
            response = await server.send(exchange, None, path=path, seconds=server.timeout)
            if response.status == 200:
                break
        return response
