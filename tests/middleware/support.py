"""Middlewares as a configuration makes them, in front of a handler that answers what a test wants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from gateway.config.load import ConfigError, parse
from gateway.context import Context, Middleware
from gateway.http import Exchange, Handler, Response
from gateway.live import Owner
from gateway.middleware.order import arrange

ROUTES = "- {id: test, path: /*, target: 'backend:80'}\n"


def context(
    middleware: str,
    *,
    routes: str = ROUTES,
    sources: Mapping[str, str] | None = None,
    base: Path = Path("/nowhere"),
    owner: Owner | None = None,
) -> Context:
    """What middlewares are built from. Raises ConfigError."""
    files = {"routes.yaml": routes, "middleware.yaml": middleware} | dict(sources or {})
    configuration = parse({name: text.encode() for name, text in files.items()}, {}, base=base)
    return Context(configuration, (owner or Owner()).plan())


def build(built: Context, *, route: int = 0) -> list[Middleware]:
    """All middlewares of a route, outermost first. Raises ConfigError."""
    stack, problems = arrange(built)
    if problems:
        raise ConfigError(problems)
    made = [placed.build(built, built.configuration.routes.routes[route]) for placed in stack]
    return [middleware for middleware in made if middleware is not None]


def chain(middleware: str, handler: Handler, *, routes: str = ROUTES, route: int = 0) -> Handler:
    """The whole stack of a route in front of a handler."""
    return chained(build(context(middleware, routes=routes), route=route), handler)


def chained(middlewares: list[Middleware], handler: Handler) -> Handler:
    """These in front of a handler, the first outermost."""
    for each in reversed(middlewares):
        handler = each.wrap(handler)
    return handler


def answering(
    response: Callable[[], Response] = lambda: Response(200, [], b"fine"),
) -> Callable[[Exchange], Awaitable[Response]]:
    """A backend that always answers so."""

    async def answer(exchange: Exchange) -> Response:
        return response()

    return answer


def errors(middleware: str, *, routes: str = ROUTES, sources: Mapping[str, str] | None = None) -> list[str]:
    """The problems of this configuration."""
    try:
        build(context(middleware, routes=routes, sources=sources))
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def header(response: Response, name: bytes) -> list[bytes]:
    """Every value of a header."""
    return [value for other, value in response.headers if other == name]
