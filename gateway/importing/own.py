"""Files of this gateway, which need no translation. Some of their keys are those of a kong.yml."""

from __future__ import annotations

from pydantic import BaseModel

from gateway.config.models import AuthFile, MiddlewareFile, RouteConfig, RoutesFile
from gateway.config.models.base import keys_of
from gateway.config.yaml.document import Mapping, Node, Sequence

_FILES: dict[str, type[BaseModel]] = {
    "routes.yaml": RoutesFile,
    "middleware.yaml": MiddlewareFile,
    "auth.yaml": AuthFile,
}
_WHERE_TO = frozenset({"target", "path", "split", "redirect", "respond"})  # of which no route of Kong has any


def own_file(node: Node) -> str | None:
    """Which one this is, if it is one. Its keys may be wrong, as far as they are not those of a kong.yml."""
    if not isinstance(node, Mapping):
        return "routes.yaml" if _are_own_routes(node) else None
    entries = node.entries
    if "services" in entries and not isinstance(entries["services"].node, Mapping):
        return None
    if "routes" in entries and not _are_own_routes(entries["routes"].node):
        return None
    return next((name for name, model in _FILES.items() if entries and entries.keys() <= keys_of(model).keys()), None)


def _are_own_routes(node: Node) -> bool:
    known = keys_of(RouteConfig).keys()
    return isinstance(node, Sequence) and all(
        isinstance(item, Mapping) and (not _WHERE_TO.isdisjoint(item.entries) or item.entries.keys() <= known)
        for item in node.items
    )
