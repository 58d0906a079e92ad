"""`target: asgi:...`: what an application does wrong harms its request, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support import GatewayProcess, eventually, running_gateway

from .unruly import HEADERS, ORDERS, STATUSES, SUBPROTOCOLS

ROOT = Path(__file__).resolve().parents[2]
MODULE = "asgi:tests.upstream.unruly"
ROUTES = f"""
- {{path: /app/*, target: '{MODULE}:app', timeout: {{response_header: 1s, idle: 1s}}}}
- {{path: /bounded/*, target: '{MODULE}:app', timeout: {{total: 1s}}}}
- {{path: /never, target: '{MODULE}:never_starts', timeout: {{response_header: 0.3s}}}}
- {{path: /exiting, target: '{MODULE}:exits_at_start'}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    directory = tmp_path_factory.mktemp("unruly")
    with running_gateway(directory, ROUTES, environment={"PYTHONPATH": str(ROOT)}) as gateway:
        yield gateway
        assert httpx2.get(gateway.url + "/app/fine").text == "ok"


async def answer(gateway: GatewayProcess, path: str, content: bytes | None = None) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=30) as client:
        return await client.request("POST" if content else "GET", gateway.url + path, content=content)


@pytest.mark.parametrize("name", ["exits", "interrupts", "cancelled", "inner", "task_exits"])
async def test_an_application_that_ends_itself_ends_its_request(gateway: GatewayProcess, name: str) -> None:
    """SystemExit, KeyboardInterrupt, and a CancelledError of its own, are 502; the log says where they came from."""
    assert (await answer(gateway, f"/app/{name}")).status_code == 502
    await eventually(lambda: "unruly.py:" in gateway.log)


@pytest.mark.parametrize("name", [*HEADERS, *STATUSES, *ORDERS, "short", "long", "starts_twice"])
async def test_what_is_no_response_is_not_sent(gateway: GatewayProcess, name: str) -> None:
    """A header that is none, a status out of range, messages in the wrong order, another length than announced."""
    response = await answer(gateway, f"/app/{name}")
    assert (response.status_code, response.json()["type"]) == (502, "urn:problem-type:gateway:upstream-bad-response")
    assert not {"x", "b"} & set(response.headers)


@pytest.mark.parametrize("path", ["/app/silent", "/app/deaf", "/bounded/silent", "/never"])
async def test_nothing_that_never_answers_holds_the_client(gateway: GatewayProcess, path: str) -> None:
    """The time-outs of the route hold, whether it is the request or the startup that never answers."""
    assert (await answer(gateway, path)).status_code == 504
    assert (await answer(gateway, path, content=b"body")).status_code == 504


@pytest.mark.parametrize("path", ["/app/pauses", "/bounded/trickles"])
async def test_a_response_that_takes_too_long_is_cut_off(gateway: GatewayProcess, path: str) -> None:
    """By a pause over `idle`, or over `total` with something sent all the time: no client takes it for a whole."""
    with pytest.raises(httpx2.TransportError):
        await answer(gateway, path)


async def test_more_after_the_end_changes_nothing(gateway: GatewayProcess) -> None:
    """The response is over."""
    assert (await answer(gateway, "/app/after_the_end")).text == "ok"


async def test_an_application_that_ends_itself_at_its_start(gateway: GatewayProcess) -> None:
    """A 503, and not the end of the gateway."""
    assert (await answer(gateway, "/exiting")).status_code == 503


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("exits", 502),
        ("silent", 504),
        ("refuses", 403),
        ("header", 502),
        ("sends_first", 502),
        *((name, 502) for name in SUBPROTOCOLS),
    ],
)
async def test_a_websocket_that_is_not_accepted(gateway: GatewayProcess, name: str, status: int) -> None:
    """The client gets the error in the handshake, which waits for the application."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{gateway.port}/app/{name}", proxy=None)
    assert refused.value.response.status_code == status


async def test_a_websocket_whose_application_ends_itself(gateway: GatewayProcess) -> None:
    """It is closed with 1011."""
    async with connect(f"ws://127.0.0.1:{gateway.port}/app/fine", proxy=None) as one:
        await one.send("x")
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(one.recv(), 30)
        assert one.close_code == 1011
