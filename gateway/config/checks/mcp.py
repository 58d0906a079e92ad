"""models.yaml: MCP servers that cannot be reached, and what about them is probably not meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.algorithms.globs import Glob
from gateway.config.models import Configuration
from gateway.config.models.breakers import PROFILES
from gateway.config.problems import Fault, Path, suggest
from gateway.config.yaml.document import Mapping, Scalar

if TYPE_CHECKING:
    from gateway.config.models.llm.mcp import McpServer


def unknown_names(configuration: Configuration) -> Iterator[Fault]:
    """Services, breakers and stores that are named, and not there."""
    services = list(configuration.routes.services)
    breakers = [*PROFILES, *configuration.middleware.breakers]
    for place, server in _servers(configuration):
        if server.service is not None and server.service not in services:
            yield _unknown((*place, "service"), server.service, services, "services of routes.yaml")
        if server.breaker.profile not in breakers:
            yield _unknown((*place, "breaker"), server.breaker.profile, breakers, "breakers of middleware.yaml")
        for name, tool in server.tools.items():
            if tool.limit is not None and tool.limit.store == "redis" and configuration.middleware.redis is None:
                message = "the store is redis, and middleware.yaml has no redis: with its url; add that there"
                yield Fault((*place, "tools", name, "limit", "store"), message)


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Settings without effect, and secrets in the file."""
    document = configuration.documents.get("models.yaml")
    for place, server in _servers(configuration):
        headers = document.find((*place, "headers")).node if server.headers and document is not None else None
        for name, entry in headers.entries.items() if isinstance(headers, Mapping) else ():
            if isinstance(entry.node, Scalar) and not entry.node.expanded:
                message = "the value is in plain text; if it is a secret, write ${file:...} or ${NAME}"
                yield Fault((*place, "headers", name), message, show_value=False)
        for name in server.tools:
            if "*" not in name and _is_hidden(server, name):
                yield Fault((*place, "tools", name), "this tool may not be called, so this has no effect; allow it")
        if _is_hidden(server, "*") or server.allow == ():
            yield Fault((*place,), "no tool of this server may be called; remove it, or allow some", show_value=False)


def _servers(configuration: Configuration) -> Iterator[tuple[Path, McpServer]]:
    for name, endpoint in configuration.models.mcp.items() if configuration.models is not None else ():
        for number, server in enumerate(endpoint.servers):
            yield ("mcp", name, "servers", number), server


def _is_hidden(server: McpServer, name: str) -> bool:
    """Whether no tool of this name may be called; of `*`, whether none may at all."""
    if "*" in server.deny or name == "*":
        return "*" in server.deny
    lowered = name.lower()
    denied = any(Glob(pattern).matches(lowered) for pattern in server.deny)
    allowed = server.allow is None or any(Glob(pattern).matches(lowered) for pattern in server.allow)
    return denied or not allowed


def _unknown(place: Path, name: str, known: list[str], where: str) -> Fault:
    likely = suggest(name, known)
    message = f"{where} has no entry of this name; define it"
    return Fault(place, message, f', or did you mean "{likely}"?' if likely else "")
