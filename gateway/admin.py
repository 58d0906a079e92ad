"""The admin port: health, the routes, the configuration in force, why a request goes where it goes, reload."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.access.api import blocklist_routes
from gateway.access.service import Entries
from gateway.explain import LOOPBACK, explain
from gateway.monitor.metrics import Metrics
from gateway.reload import Reloader
from gateway.upstream.endpoint import Endpoint

RELOAD_SECONDS = 3.0  # for a reload to happen, before the caller is told that it will


HIDDEN = "(hidden)"
HIDDEN_KEYS = frozenset({"hash", "password", "config"})  # beside what the models themselves keep secret
USER_INFORMATION = re.compile(r"//[^/@]*@")  # of a URL


def admin_app(reloader: Reloader, metrics: Metrics) -> Starlette:
    """The admin API of one gateway."""
    admin = _Admin(reloader, metrics)
    return Starlette(
        routes=[
            Route("/health", admin.health),
            Route("/metrics", admin.metrics),
            Route("/routes", admin.routes),
            Route("/config", admin.config),
            Route("/endpoints", admin.endpoints),
            Route("/explain", admin.explain),
            Route("/reload", admin.reload, methods=["POST"]),
            *blocklist_routes(admin.blocklist),
        ]
    )


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_INDENT_2), status, media_type="application/json")


def _shown(model: BaseModel) -> Any:
    return _without_secrets(model.model_dump(mode="json", by_alias=True))


def _without_secrets(value: Any, key: str = "") -> Any:
    """What an operator may see: neither credentials, nor what somebody's own policy is configured with."""
    if key in HIDDEN_KEYS and value is not None:
        return HIDDEN
    if isinstance(value, dict):
        return {name: _without_secrets(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return USER_INFORMATION.sub(f"//{HIDDEN}@", value) if isinstance(value, str) else value


def _nothing_loaded() -> Response:
    return _json({"error": "no configuration is loaded: /health says why"}, 503)


class _Admin:
    def __init__(self, reloader: Reloader, metrics: Metrics) -> None:
        self._reloader = reloader
        self._metrics = metrics

    async def health(self, request: Request) -> Response:
        return _json(self._reloader.report())

    async def metrics(self, request: Request) -> Response:
        return Response(self._metrics.render(), media_type=CONTENT_TYPE_LATEST)

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
                "routes.yaml": _shown(configuration.routes),
                "middleware.yaml": _shown(configuration.middleware),
                "auth.yaml": _shown(configuration.auth),
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
                for endpoint in self._reloader.owner.all(Endpoint)
            ]
        )

    def blocklist(self) -> Entries | None:
        return self._reloader.current.blocklist if self._reloader.current is not None else None

    async def explain(self, request: Request) -> Response:
        snapshot = self._reloader.current
        url = request.query_params.get("url")
        if snapshot is None:
            return _nothing_loaded()
        if not url:
            return _json({"error": "name the request: /explain?method=GET&url=/v1/users&header=Name: value"}, 400)
        method = request.query_params.get("method", "GET").upper()
        headers = [header.partition(":")[::2] for header in request.query_params.getlist("header")]
        try:
            pairs = [(name.strip(), value.strip()) for name, value in headers]
            return _json(await explain(snapshot, method, url, pairs, request.query_params.get("client", LOOPBACK)))
        except ValueError as error:
            return _json({"error": str(error)}, 400)

    async def reload(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(RELOAD_SECONDS):
                error = await self._reloader.reload()
        except TimeoutError:
            message = "somebody is writing a file, or there is very much to load; it is reloaded as soon as possible"
            return _json({"error": message}, 409)
        if error is not None:
            return _json({"errors": [str(problem) for problem in error.problems]}, 422)
        return _json(self._reloader.report())
