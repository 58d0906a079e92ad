"""What the tests of the configuration share."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.config.load import parse
from gateway.config.models import Configuration, RouteConfig, RoutesFile
from gateway.config.problems import ConfigError

ROUTE = "- path: /x/*\n  target: backend:80\n"


def parsed(
    routes: str | bytes = ROUTE,
    *,
    middleware: str | bytes = b"",
    auth: str | bytes = b"",
    models: str | bytes | None = None,
    environment: Mapping[str, str] | None = None,
    base: Path = Path("/nowhere"),
) -> Configuration:
    """The configuration of files with these contents."""
    contents = {"routes.yaml": routes, "middleware.yaml": middleware, "auth.yaml": auth, "models.yaml": models}
    files = {
        name: text.encode() if isinstance(text, str) else text for name, text in contents.items() if text is not None
    }
    return parse(files, environment or {}, base=base)


def errors(
    routes: str | bytes = ROUTE,
    *,
    middleware: str | bytes = b"",
    auth: str | bytes = b"",
    models: str | bytes | None = None,
    environment: Mapping[str, str] | None = None,
    base: Path = Path("/nowhere"),
) -> list[str]:
    """The lines that tell what is wrong with files; there must be something."""
    with pytest.raises(ConfigError) as caught:
        parsed(routes, middleware=middleware, auth=auth, models=models, environment=environment, base=base)
    return [str(problem) for problem in caught.value.problems]


def route(lines: str, **environment: str) -> RouteConfig:
    """The route of a file with only this one, of which path and target are given unless `lines` has them."""
    return parsed(_with_required(lines), environment=environment).routes.routes[0]


def route_errors(lines: str, **environment: str) -> list[str]:
    """What is wrong with such a route, without the part of each message that says where."""
    return [line.split(": ", 2)[2] for line in errors(_with_required(lines), environment=environment)]


def _with_required(lines: str) -> str:
    given = {line.split(":")[0] for line in lines.splitlines()}
    required = {"path": "/x/*", "target": "backend:80"}
    added = [f"{key}: {value}" for key, value in required.items() if key not in given]
    return "routes:\n- " + "\n  ".join([*added, *lines.splitlines()]) + "\n"


def routes_of(text: str) -> RoutesFile:
    """What routes.yaml says when this is its content."""
    return parsed(text).routes
