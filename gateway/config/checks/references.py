"""Errors that only several routes together show: duplicated ids, and services that do not exist.

Checked on the values as they were read and not on the models, so that they are reported with every other error.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from gateway.config.models.llm.paths import MCP, MODELS
from gateway.config.problems import Fault, Path, format_path, suggest
from gateway.config.values.addresses import ServiceTarget, parse_target
from gateway.config.yaml.document import Document
from gateway.config.yaml.expand import BROKEN


def check_references(value: Any, document: Document) -> Iterator[Fault]:
    """The faults of routes.yaml as a whole, whatever its shape."""
    top = value if isinstance(value, dict) else {"routes": value}
    services = top.get("services") or {}
    names = services if isinstance(services, dict) else None
    listed = top.get("routes")
    routes = [(index, route) for index, route in enumerate(listed if isinstance(listed, list) else [])]
    ids: dict[str, int] = {}
    for index, route in routes:
        if isinstance(route, dict):
            if route.keys().isdisjoint(("path", "paths")):
                message = 'the key "path" is missing; add it, such as path: /v1/users/*'
                yield Fault(("routes", index), message, show_value=False)
            if route.keys().isdisjoint(("target", "redirect", "respond")):
                message = (
                    'the key "target" is missing; add it, such as target: users:8080, redirect: /v2/$1 or respond: 410'
                )
                yield Fault(("routes", index), message, show_value=False)
            for place, target in _targets(index, route):
                yield from _check_target(place, target, names)
            yield from _check_id(index, route.get("id"), ids, document)


def _targets(index: int, route: dict[Any, Any]) -> Iterator[tuple[Path, Any]]:
    """Everything in a route that names a service, and where it does."""
    yield ("routes", index, "target"), route.get("target")
    for key in ("mirror", "fallback"):
        if isinstance(route.get(key), dict):
            yield ("routes", index, key, "target"), route[key].get("target")
    split = route.get("split")
    for number, entry in enumerate(split if isinstance(split, list) else ()):
        if isinstance(entry, dict):
            yield ("routes", index, "split", number, "target"), entry.get("target")


def _check_target(place: Path, target: Any, names: Mapping[str, Any] | None) -> Iterator[Fault]:
    if len(place) == 3 and isinstance(target, str) and (target in (MODELS, MCP) or target.startswith(f"{MCP}.")):
        return  # which depends on models.yaml: see llm_routes
    if names is None or not isinstance(target, str) or ":" in target or target in names or not _is_service(target):
        return
    likely = suggest(target, list(names))
    message = "services has no entry of this name; define it, or write host:port"
    yield Fault(place, message, f'; did you mean "{likely}"?' if likely else "")


def _is_service(target: str) -> bool:
    try:
        return isinstance(parse_target(target), ServiceTarget)
    except PydanticCustomError:
        return False


def _check_id(index: int, identifier: Any, ids: dict[str, int], document: Document) -> Iterator[Fault]:
    if not isinstance(identifier, str) or identifier == BROKEN:
        return
    first = ids.setdefault(identifier, index)
    if first != index:
        place, own = document.find(("routes", first, "id")), document.find(("routes", index, "id"))
        other = f"{format_path(place.shown[:-1])} on line {place.line}"
        if place.file != own.file:
            other += f" of {place.file}"
        yield Fault(("routes", index, "id"), f"{other} has the same id; rename one of them")
