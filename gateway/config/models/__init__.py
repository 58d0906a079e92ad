"""The models of the four files, and the four together as a Configuration. That of models.yaml is imported for those
who have one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Final

from gateway.config.models.access_log import AccessLog
from gateway.config.models.auth.consumers import ConsumerConfig, IdentityHeaders
from gateway.config.models.auth.file import AuthFile
from gateway.config.models.auth.plain_consumers import Consumer
from gateway.config.models.auth.schemes import SchemeConfig
from gateway.config.models.base import Model, Section
from gateway.config.models.client_limits import ClientLimits
from gateway.config.models.middleware import Drain, MiddlewareFile, WebSocket
from gateway.config.models.predicates import Predicate
from gateway.config.models.routes import RouteConfig, RoutesFile
from gateway.config.models.services import Connections, EndpointConfig, ServiceConfig, Tls
from gateway.config.models.timeouts import RouteTimeouts, Timeouts
from gateway.config.problems import Path, Problem, format_path
from gateway.config.yaml.document import Document

if TYPE_CHECKING:
    from gateway.config.models.llm.file import ModelsFile

__all__ = [
    "FILES",
    "AccessLog",
    "AuthFile",
    "ClientLimits",
    "Configuration",
    "Connections",
    "Consumer",
    "ConsumerConfig",
    "Drain",
    "EndpointConfig",
    "IdentityHeaders",
    "MiddlewareFile",
    "Model",
    "Predicate",
    "RouteConfig",
    "RouteTimeouts",
    "RoutesFile",
    "SchemeConfig",
    "Section",
    "ServiceConfig",
    "Timeouts",
    "Tls",
    "WebSocket",
    "model_of",
]

FILES: Final = ("routes.yaml", "middleware.yaml", "auth.yaml", "models.yaml")
"""The files of a configuration directory, in the order in which their errors are reported."""


def model_of(file: str) -> type[Model]:
    """The model of one of these files."""
    match file:
        case "routes.yaml":
            return RoutesFile
        case "middleware.yaml":
            return MiddlewareFile
        case "auth.yaml":
            return AuthFile
    from gateway.config.models.llm.file import ModelsFile  # noqa: PLC0415  as many keys as all the other files have

    return ModelsFile


@dataclass(frozen=True, slots=True)
class Configuration:
    """The four files, read as one. `digest` tells two contents of the files apart (12 hexadecimal digits of SHA-256);
    it says nothing of the variables and secret files that they refer to."""

    routes: RoutesFile
    middleware: MiddlewareFile
    auth: AuthFile
    digest: str
    base: FilePath  # where relative names of files begin
    documents: Mapping[str, Document] = field(repr=False, compare=False)
    sources: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)  # Python files of policies
    named: frozenset[str] = field(default=frozenset(), repr=False, compare=False)  # other files that are read for it
    route_files: frozenset[str] = frozenset()  # beside routes.yaml, which has all that is in them, too
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)  # ids of routes by id of a group
    models: ModelsFile | None = None  # None: there is no models.yaml, or nothing in it

    def locate(self, file: str, path: Path) -> tuple[int, int]:
        """Line and column (from 1) of what `path` leads to, or of the nearest thing above it that is in the file."""
        place = self.documents[file].find(path) if file in self.documents else None
        return (place.line, place.column) if place else (1, 1)

    def problem(self, file: str, path: Path, message: str) -> Problem:
        """An error of the value at `path`, with its place; of routes, in any route file."""
        if file not in self.documents:
            return Problem(file, 1, 1, format_path(path), message)
        place = self.documents[file].find(path)
        rest = path[len(place.path) :]
        return Problem(place.file, place.line, place.column, format_path((*place.shown, *rest)), message)

    def says_itself(self, index: int, key: str) -> bool:
        """Whether the route of this number has the key itself, and not from its group or the defaults."""
        return "routes" in self.documents["routes.yaml"].find(("routes", index, key)).shown

    def group_of(self, route: str) -> str | None:
        """The id of the group that the route of this id stands in."""
        return next((group for group, routes in self.groups.items() if route in routes), None)
