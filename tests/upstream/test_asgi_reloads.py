"""`target: asgi:...`: applications that leave the configuration, and come back."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.support import eventually, running_gateway
from tests.upstream.test_asgi import MODULE, ROOT, Hosted

SIMPLE = f"- {{path: /simple, target: '{MODULE}:simple'}}\n"
APP = f"- {{path: /app/*, target: '{MODULE}:app'}}\n"
CLOSING = f"- {{path: /closing, target: '{MODULE}:closing'}}\n"


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    environment = {"NOTES": str(tmp_path / "notes"), "PYTHONPATH": str(ROOT)}
    drain = "drain: {window: 0s, deadline: 5s}"
    with running_gateway(tmp_path, SIMPLE + APP + CLOSING, drain, environment=environment) as gateway:
        yield Hosted(gateway, tmp_path / "notes")


async def reload(hosted: Hosted, routes: str) -> None:
    """Have these be served."""
    gateway = hosted.gateway
    gateway.write(SIMPLE + routes)
    async with httpx2.AsyncClient(headers=gateway.admin_token, timeout=20) as client:
        answer = await client.post(f"http://127.0.0.1:{gateway.admin_port}/reload")
    assert answer.status_code == 200


async def test_one_that_comes_back_while_it_is_used_goes_on(hosted: Hosted) -> None:
    """An application that still has a WebSocket when its route returns is neither started again nor shut down."""
    async with connect(f"ws://127.0.0.1:{hosted.gateway.port}/app/ws", proxy=None):
        await reload(hosted, "")
        assert (await hosted.get("/app/show")).status == 404
        await reload(hosted, APP)
        assert (await hosted.get("/app/show")).status == 200
    await eventually(lambda: "closed 1000" in hosted.notes)
    assert (await hosted.get("/app/show")).status == 200
    hosted.gateway.signal(signal.SIGTERM)
    assert hosted.gateway.wait() == 0
    assert hosted.notes == ["startup", "closed 1000", "shutdown"]


async def test_one_that_comes_back_during_its_shutdown_waits_for_that(hosted: Hosted) -> None:
    """The next startup of an application begins once its shutdown is over."""
    assert (await hosted.get("/closing")).body == b"open"
    await reload(hosted, "")
    await eventually(lambda: hosted.notes == ["startup", "shutdown"])
    await reload(hosted, CLOSING)
    again = asyncio.create_task(hosted.get("/closing"))
    assert (await hosted.get("/simple")).status == 200
    assert hosted.notes == ["startup", "shutdown"]
    hosted.tell()
    assert (await again).body == b"open"
    assert hosted.notes == ["startup", "shutdown", "closed", "startup"]


async def test_one_that_has_left_is_shut_down_before_the_gateway_ends(hosted: Hosted) -> None:
    """The end of the gateway waits for the shutdown of an application that no route leads to any more."""
    assert (await hosted.get("/closing")).body == b"open"
    await reload(hosted, "")
    await eventually(lambda: hosted.notes == ["startup", "shutdown"])
    hosted.gateway.signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        hosted.gateway.wait(1)
    hosted.tell()
    assert hosted.gateway.wait() == 0
    assert hosted.notes == ["startup", "shutdown", "closed"]
