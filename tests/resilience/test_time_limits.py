"""Which limit a request was over, as operators read it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.resilience.support import backend, running
from tests.upstream.wire import Wire

WITHOUT_RETRIES = "retry: {attempts: 1}"


async def _never(wire: Wire) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("route", "middleware", "said"),
    [
        ("", "timeouts: {response_header: 200ms}", "sent no response within 0.2 s (timeouts.response_header)"),
        (
            "timeout: {response_header: 300ms}",
            "timeouts: {response_header: 200ms}",
            "sent no response within 0.3 s (timeout.response_header)",
        ),
        ("timeout: 250ms", "", "took longer than 0.25 s (timeout.total)"),
        ("retry: {attempts: 2, per_try: 150ms, on: [reset]}", "", "sent no response within 0.15 s (retry.per_try)"),
    ],
)
async def test_a_time_out_names_its_limit(route: str, middleware: str, said: str, tmp_path: Path) -> None:
    """The key that says it, and how long that is, for operators; clients learn neither."""
    async with backend(_never) as silent:
        retry = "" if "retry" in route else f", {WITHOUT_RETRIES}"
        routes = f"routes: [{{path: /*, target: '{silent.address}'{retry}, {route}}}]"
        async with running(tmp_path, routes, middleware) as gateway:
            answer = await gateway.get()
            limits = (await gateway.admin.get("/explain", params={"url": "/"})).json()["timeouts"]
    assert answer.status_code == 504
    assert said not in answer.text
    assert str(gateway.last.error).endswith(said)
    key = said.rpartition("(")[2]
    assert key in limits or key == "retry.per_try)"


async def hanging(scope: Mapping[str, Any], receive: object, send: object) -> None:
    """An application that never answers a request."""
    if scope["type"] == "http":
        await asyncio.Event().wait()


async def test_an_application_over_a_limit_names_it_too(tmp_path: Path) -> None:
    """The same for one in the gateway's own process."""
    routes = f"routes: [{{path: /*, target: 'asgi:{__name__}:hanging', timeout: {{response_header: 200ms}}}}]"
    async with running(tmp_path, routes) as gateway:
        assert (await gateway.get()).status_code == 504
    assert str(gateway.last.error).endswith(" sent no response within 0.2 s (timeout.response_header)")
