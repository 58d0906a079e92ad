"""The admin port: health, the routes, the configuration in force, why a request goes where it goes, reload."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.explain import explain
from gateway.reload import Reloader


def admin_app(reloader: Reloader) -> Starlette:
    """The admin API of one gateway."""
    admin = _Admin(reloader)
    return Starlette(
        routes=[
            Route("/health", admin.health),
            Route("/routes", admin.routes),
            Route("/config", admin.config),
            Route("/endpoints", admin.endpoints),
            Route("/explain", admin.explain),
            Route("/reload", admin.reload, methods=["POST"]),
        ]
    )


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_INDENT_2), status, media_type="application/json")


def _nothing_loaded() -> Response:
    return _json({"error": "no configuration is loaded: /health says why"}, 503)


class _Admin:
    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def health(self, request: Request) -> Response:
        return _json(self._reloader.report())

    async def routes(self, request: Request) -> Response:
        snapshot = self._reloader.current
        if snapshot is None:
            return _nothing_loaded()
        return _json([handler.route.model_dump(mode="json", exclude_defaults=True) for handler in snapshot.handlers])

    async def config(self, request: Request) -> Response:
        snapshot = self._reloader.current
        if snapshot is None:
            return _nothing_loaded()
        configuration = snapshot.configuration
        return _json(
            {
                "digest": configuration.digest,
                "middleware.yaml": configuration.middleware.model_dump(mode="json"),
                "auth.yaml": configuration.auth.model_dump(mode="json"),
            }
        )

    async def endpoints(self, request: Request) -> Response:
        return _json(
            [
                {
                    "endpoint": endpoint.label,
                    "in_flight": endpoint.in_flight,
                    "requests": endpoint.requests,
                    "failures": endpoint.failures,
                    "connections": dict(zip(("open", "idle"), endpoint.connections, strict=True)),
                }
                for endpoint in self._reloader.state.endpoints
            ]
        )

    async def explain(self, request: Request) -> Response:
        snapshot = self._reloader.current
        url = request.query_params.get("url")
        if snapshot is None:
            return _nothing_loaded()
        if not url:
            return _json({"error": "name the request: /explain?method=GET&url=/v1/users&header=Name: value"}, 400)
        method = request.query_params.get("method", "GET").upper()
        headers = [header.partition(":")[::2] for header in request.query_params.getlist("header")]
        return _json(explain(snapshot, method, url, [(name.strip(), value.strip()) for name, value in headers]))

    async def reload(self, request: Request) -> Response:
        error = await self._reloader.reload()
        if error is not None:
            return _json({"errors": [str(problem) for problem in error.problems]}, 422)
        return _json(self._reloader.report())
