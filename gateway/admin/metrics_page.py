"""The page of metrics, as it is sent; and the port that has nothing else, and the probes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.admin.answers import json_answer
from gateway.monitor.exposition.negotiation import negotiated
from gateway.monitor.exposition.page import BusyError, Exposition, Page

SECONDS: Final = 60.0
"""For a scraper to read a page; Prometheus' own default is ten."""

BUSY: Final = "as many pages of metrics are being read as memory is meant for; read faster, or less often"


def metrics_app(metrics: Exposition, probe: Callable[[str], tuple[int, bytes]], probes: Iterable[str]) -> ASGIApp:
    """Operations open to every metrics collector: these, and the probes of the data port, by their paths."""

    async def page(request: Request) -> Response:
        return await metrics_page(metrics, request)

    async def probed(request: Request) -> Response:
        status, body = probe(request.url.path)
        return Response(body, status, {"cache-control": "no-store"}, media_type="application/json")

    return Starlette(routes=[Route("/metrics", page), *(Route(path, probed) for path in sorted(probes))])


async def metrics_page(metrics: Exposition, request: Request) -> Response:
    """In the form that the request asks for."""
    media_type = negotiated(",".join(request.headers.getlist("accept")))
    try:
        page = await metrics.page(media_type.form)
    except BusyError:
        return json_answer({"error": BUSY}, 503, {"retry-after": "10"})
    return _PageResponse(page, media_type.name)


class _PageResponse(Response):
    """Sends a page in pieces, as fast as it is read, and ends the connection where that takes too long."""

    def __init__(self, page: Page, media_type: str) -> None:
        super().__init__(None, 200, {"content-length": str(page.size), "vary": "accept", "cache-control": "no-store"})
        self.headers["content-type"] = media_type
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with contextlib.suppress(TimeoutError):  # what is not complete is cut off
            async with asyncio.timeout(SECONDS):
                for chunk in self._page.chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
