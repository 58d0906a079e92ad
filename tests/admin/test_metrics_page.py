"""How the page of metrics is sent."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin import metrics_page
from tests.monitor.exposition.samples import exposition, read


def app() -> Starlette:
    metrics = exposition()

    async def page(request: Request) -> Response:
        return await metrics_page.metrics_page(metrics, request)

    return Starlette(routes=[Route("/metrics", page)])


async def test_it_is_what_was_asked_for() -> None:
    """With its length, its form, and that caches must keep forms apart; to HEAD without the page."""
    transport = httpx2.ASGITransport(cast(Any, app()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert answer.headers["vary"] == "accept"
        assert read(answer.content, openmetrics=True)


async def test_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """If too much is buffered for slow scrapers, others get a 503 with Retry-After."""
    monkeypatch.setattr("gateway.monitor.exposition.page.MOST_HELD", 0)
    transport = httpx2.ASGITransport(cast(Any, app()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.get("/metrics")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


async def test_a_scraper_that_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute the page is given up, and what it took is free."""
    monkeypatch.setattr(metrics_page, "SECONDS", 0.01)
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/metrics",
        "headers": [],
        "query_string": b"",
        "http_version": "1.1",
    }
    async with asyncio.timeout(30):
        await app()(scope, receive, send)
    assert sent == ["http.response.start", "http.response.body"]
