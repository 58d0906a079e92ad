"""What `gateway explain --running` says of requests that no policy refuses, and what stands before the service does."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from tests.resilience.support import InProcess, backend, response, running
from tests.support import eventually
from tests.upstream.wire import Wire

BAD = response(500)
BREAKER = "breaker: {minimum: 4, open: 30s, trials: 2}"


async def explained(gateway: InProcess) -> Any:
    return (await gateway.admin.get("/explain", params={"url": "/"})).json()


async def test_an_open_breaker_refuses(tmp_path: Path) -> None:
    """Which breaker, and until when; where it was opened by hand, who closes it."""
    async with backend(BAD) as bad:
        routes = f"routes: [{{id: shop, path: /*, target: '{bad.address}', {BREAKER}}}]"
        async with running(tmp_path, routes) as gateway:
            for _ in range(5):
                await gateway.get()
            said = await explained(gateway)
            assert said["outcome"] == "refused"
            breaker = re.escape(f"the breaker of route shop for {bad.address} is open")
            assert re.fullmatch(
                rf"refused: {breaker} until 20\d\d-\d\d-\d\dT[\d:]{{8}}Z, for (29|3\d) s more: 4 of 4 calls failed.*",
                said["verdict"],
            )
            await gateway.admin.put("/breakers/shop", json={"state": "open", "reason": "maintenance"})
            said = await explained(gateway)
            assert "forced_open, until an operator changes it (PUT /breakers/shop): maintenance" in said["verdict"]
            await gateway.admin.put("/breakers/shop", json={"state": "closed"})
            assert (await explained(gateway))["outcome"] == "forwarded"


async def test_a_fallback_stands_in(tmp_path: Path) -> None:
    """Where a fallback answers in its place, that is said, and nothing is refused."""
    async with backend(BAD) as bad:
        fallback = "fallback: {status: 410, body: gone}"
        routes = f"routes: [{{id: shop, path: /*, target: '{bad.address}', {BREAKER}, {fallback}}}]"
        async with running(tmp_path, routes) as gateway:
            for _ in range(5):
                await gateway.get()
            assert (await gateway.get()).status_code == 410
            said = await explained(gateway)
            assert said["outcome"] == "forwarded"
            assert "the breaker of route shop" in said["verdict"]
            assert said["verdict"].endswith("fallback, where the gateway has no answer: a fixed 410")


async def test_a_service_that_has_its_fill_refuses(tmp_path: Path) -> None:
    """As many requests as it may have at once."""
    release = asyncio.Event()

    async def slow(_: Wire) -> bytes:
        await release.wait()
        return response(200, b"ok")

    async with backend(slow) as busy:
        routes = f"services: {{s: {{endpoints: ['{busy.address}'], concurrency: 1}}}}\n"
        async with running(tmp_path, routes + "routes: [{id: shop, path: /*, target: s}]") as gateway:
            asked = asyncio.create_task(gateway.get())
            await eventually(lambda: bool(busy.requests))
            said = await explained(gateway)
            assert (said["outcome"], said["verdict"]) == (
                "refused",
                "refused: s has 1 request at once, which is its limit",
            )
            release.set()
            await asked
            assert (await explained(gateway))["outcome"] == "forwarded"


async def test_a_service_without_endpoints_refuses(tmp_path: Path) -> None:
    """Nothing can be sent where a source has found nothing, and that is said."""
    (tmp_path / "instances.yaml").write_text("[]\n")
    routes = "services: {s: {discovery: {file: instances.yaml}}}\nroutes: [{id: shop, path: /*, target: s}]"
    async with running(tmp_path, routes) as gateway:
        assert (await gateway.get()).status_code == 503
        said = await explained(gateway)
        assert said["outcome"] == "refused"
        assert said["verdict"].startswith("refused: s has no endpoint: file instances.yaml")
