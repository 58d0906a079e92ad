"""A gateway that is stopped finishes its requests, and ends in time."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.cli.support import gateway as cli
from tests.lifecycle.support import Backend, backend, get, health, reload, websocket_backend
from tests.support import GatewayProcess, eventually, exchange, running_gateway

DEADLINE = 20  # seconds


@contextmanager
def _gateway(path: Path, port: int, *, window: float, deadline: float = DEADLINE) -> Iterator[GatewayProcess]:
    routes = f"routes:\n- path: /*\n  target: 127.0.0.1:{port}\n"
    drain = f"drain: {{window: {window}s, deadline: {deadline}s}}"
    with running_gateway(path, routes, middleware=drain) as process:
        yield process


async def _ended(process: GatewayProcess, seconds: float = 30) -> int:
    return await asyncio.to_thread(process.wait, seconds)


def _refused(process: GatewayProcess) -> bool:
    try:
        get(process, "/health/live")
    except httpx2.TransportError:
        return True
    return False


async def test_new_requests_are_answered_during_the_window(tmp_path: Path) -> None:
    """After SIGTERM ready is 503 at once, requests are still served with Connection: close, then refused; exit 0."""
    async with backend() as upstream:
        with _gateway(tmp_path, upstream.port, window=8) as process:
            process.signal(signal.SIGTERM)
            await eventually(lambda: get(process, "/health/ready").status_code == 503)
            answer = await asyncio.to_thread(get, process, "/x")
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            assert get(process, "/health").json()["status"] == "draining"
            assert get(process, "/health/live").status_code == 200
            await eventually(lambda: _refused(process))
            assert await _ended(process) == 0


async def test_what_is_in_flight_completes(tmp_path: Path) -> None:
    """20 slow requests and 5 event streams that were under way at SIGTERM all come to their end."""
    async with backend() as upstream, httpx2.AsyncClient(timeout=30) as client:
        with _gateway(tmp_path, upstream.port, window=0.3) as process:
            paths = ["/slow"] * 20 + ["/events"] * 5
            requests = [asyncio.create_task(client.get(process.url + path)) for path in paths]
            await eventually(lambda: upstream.arrived == len(paths))
            process.signal(signal.SIGTERM)
            await eventually(lambda: _refused(process))
            upstream.release.set()
            answers = await asyncio.gather(*requests)
            assert [answer.text for answer in answers] == ["ok"] * 20 + ["data: first\n\ndata: last\n\n"] * 5
            assert await _ended(process) == 0


async def test_the_admin_port_stays_to_the_end(tmp_path: Path) -> None:
    """While a request is under way and new connections are refused, the admin port answers and takes changes."""
    async with backend() as upstream, httpx2.AsyncClient(timeout=30) as client:
        with _gateway(tmp_path, upstream.port, window=0) as process:
            slow = asyncio.create_task(client.get(f"http://127.0.0.1:{process.port}/slow"))
            await eventually(lambda: upstream.slow == 1)
            process.signal(signal.SIGTERM)
            await eventually(lambda: _refused(process))
            assert (await asyncio.to_thread(reload, process)).status_code == 200
            assert health(process)["reloads"] == 1
            upstream.release.set()
            assert (await slow).status_code == 200
            assert await _ended(process) == 0


async def test_the_status_command_says_that_it_drains(tmp_path: Path) -> None:
    """In its first line, with an exit code for scripts: how long at most, and what it waits for."""
    async with backend() as upstream, httpx2.AsyncClient(timeout=30) as client:
        with _gateway(tmp_path, upstream.port, window=0) as process:
            admin = f"127.0.0.1:{process.admin_port}"
            slow = asyncio.create_task(client.get(f"http://127.0.0.1:{process.port}/slow"))
            await eventually(lambda: upstream.slow == 1)
            assert (health(process)["status"], health(process)["ending"]) == ("ok", None)
            process.signal(signal.SIGTERM)
            await eventually(lambda: _refused(process))
            said = await asyncio.to_thread(cli, "status", "--admin", admin)
            assert health(process)["status"] == "draining"
            upstream.release.set()
            await slow
    assert said.returncode == 2
    first = said.stdout.splitlines()[0]
    assert re.fullmatch("draining: not ready, ending within [0-9]+ s, 1 connection left", first)


async def test_idle_connections_do_not_hold_it_up(tmp_path: Path) -> None:
    """Keep-alive connections without a request are closed as soon as the window is over."""
    async with backend() as upstream, httpx2.AsyncClient() as client:
        with _gateway(tmp_path, upstream.port, window=0) as process:
            await client.get(process.url + "/x")
            started = time.monotonic()
            process.signal(signal.SIGTERM)
            assert await _ended(process) == 0
            assert time.monotonic() - started < DEADLINE - 5


async def test_websockets_are_closed_with_1001(tmp_path: Path) -> None:
    """A WebSocket works through the window, and then gets a close frame (1001)."""
    async with websocket_backend() as port:
        with _gateway(tmp_path, port, window=8) as process:
            async with connect(f"ws://127.0.0.1:{process.port}/ws") as websocket:
                process.signal(signal.SIGTERM)
                await eventually(lambda: get(process, "/health/ready").status_code == 503)
                await websocket.send("still there?")
                assert await websocket.recv() == "still there?"
                with pytest.raises(ConnectionClosed):
                    await websocket.recv()
                assert websocket.close_code == 1001
            assert await _ended(process) == 0


async def _stuck(process: GatewayProcess, upstream: Backend, number: int) -> list[asyncio.Task[bytes]]:
    request = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
    requests = [asyncio.create_task(exchange(process.port, request, seconds=30)) for _ in range(number)]
    await eventually(lambda: upstream.arrived == number)
    return requests


async def test_the_deadline_cuts_off_what_is_stuck(tmp_path: Path) -> None:
    """Requests that never end are cut off at the deadline, the log says how many, and the exit code is 0; the access
    log does not say of them that their clients went away."""
    async with backend() as upstream:
        with _gateway(tmp_path, upstream.port, window=0, deadline=1) as process:
            requests = await _stuck(process, upstream, 3)
            started = time.monotonic()
            process.signal(signal.SIGTERM)
            assert await _ended(process) == 0
            assert time.monotonic() - started > 0.9
            assert await asyncio.gather(*requests) == [b"", b"", b""]
            assert "3 connections cut off" in process.log
            lines = [json.loads(line) for line in process.access_log.splitlines()]
            reason = "gateway-ended: its connection was cut off at drain.deadline"
            assert [(line["path"], line["status"], line["error"]) for line in lines] == [("/slow", 503, reason)] * 3


async def test_a_stream_that_the_deadline_cut_off_is_not_blamed_on_its_client(tmp_path: Path) -> None:
    """The access log has its status, and says that the gateway ended."""
    async with backend() as upstream:
        with _gateway(tmp_path, upstream.port, window=0, deadline=1) as process:
            request = b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n"
            stream = asyncio.create_task(exchange(process.port, request, seconds=30))
            await eventually(lambda: upstream.arrived == 1)
            process.signal(signal.SIGTERM)
            assert await _ended(process) == 0
            assert b"data: first" in await stream
            line = json.loads(process.access_log)
            assert (line["status"], line["error"]) == (
                200,
                "gateway-ended: its connection was cut off at drain.deadline",
            )


async def test_an_application_that_does_not_end_holds_nothing_up(tmp_path: Path) -> None:
    """Whatever hangs in the end, the process is gone soon after the deadline, with 0."""
    routes = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:stubborn\n"
    with running_gateway(tmp_path, routes, middleware="drain: {window: 0, deadline: 500ms}") as process:
        assert get(process, "/x").text == "stubborn"
        process.signal(signal.SIGTERM)
        assert await _ended(process) == 0


@pytest.mark.parametrize("signals", [1, 2])
async def test_code_that_keeps_the_loop_does_not_keep_the_process(tmp_path: Path, signals: int) -> None:
    """SIGTERM ends it soon after the deadline, and a second one at once, though the event loop never turns again."""
    routes = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:blocking\n"
    deadline = "500ms" if signals == 1 else "1m"
    with running_gateway(tmp_path, routes, middleware=f"drain: {{window: 0, deadline: {deadline}}}") as process:
        blocked = asyncio.create_task(exchange(process.port, b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n", seconds=30))
        await eventually(lambda: "keeps the event loop" in process.log)
        process.signal(signal.SIGTERM)
        ended = asyncio.create_task(_ended(process))
        while signals == 2 and not ended.done():
            await asyncio.sleep(0.1)  # two signals at one moment are one
            process.signal(signal.SIGTERM)
        assert await ended == signals - 1
        assert await blocked == b""


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """A second signal ends it at once, with an exit code that says so."""
    async with backend() as upstream:
        with _gateway(tmp_path, upstream.port, window=60) as process:
            process.signal(signal.SIGTERM)
            await eventually(lambda: get(process, "/health/ready").status_code == 503)
            process.signal(signal.SIGTERM)
            assert await _ended(process) == 1
            assert "second signal" in process.log


async def test_an_interrupt_does_not_wait_for_a_load_balancer(tmp_path: Path) -> None:
    """SIGINT, which a person sends, skips the window, but lets a request in flight complete."""
    async with backend() as upstream, httpx2.AsyncClient(timeout=30) as client:
        with _gateway(tmp_path, upstream.port, window=60) as process:
            request = asyncio.create_task(client.get(process.url + "/slow"))
            await eventually(lambda: upstream.arrived == 1)
            process.signal(signal.SIGINT)
            await eventually(lambda: _refused(process))
            upstream.release.set()
            assert (await request).text == "ok"
            assert await _ended(process, DEADLINE - 5) == 0
