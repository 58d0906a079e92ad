"""Prefixes that no path of their route begins with: nothing is removed, and the path is sent as it came."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from gateway.config.models import Configuration
from gateway.config.problems import Fault


def never_stripped(configuration: Configuration) -> Iterator[Fault]:
    """`strip_prefix` that does nothing."""
    for index, route in enumerate(configuration.routes.routes):
        prefix = route.strip_prefix
        if prefix is not None and not any(_may_begin(path, prefix) for path in route.all_paths):
            remedy = "correct one of them, or remove strip_prefix"
            message = (
                f"no path of the route begins with it, so that nothing is removed ({route.all_paths[0]}); {remedy}"
            )
            yield Fault(("routes", index, "strip_prefix"), message)


def _may_begin(path: str, prefix: str) -> bool:
    """Whether a request that fits the path may begin with the prefix, segment by segment."""
    parts, wanted = path.strip("/").split("/"), prefix.strip("/").split("/")
    if parts[-1] == "*":
        parts[-1:] = ["*"] * max(1, len(wanted) - len(parts) + 1)
    return len(parts) >= len(wanted) and all(
        "*" in part or "{" in part or unquote(part) == unquote(other)
        for part, other in zip(parts, wanted, strict=False)
    )
