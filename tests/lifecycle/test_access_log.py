"""Every request has one line that says what came of it, whatever the request, the client or the log's reader does."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from websockets.asyncio.client import connect

from gateway.config.models.access_log import FIELDS
from tests.lifecycle.support import admin_url, backend, get, health, reload, websocket_backend
from tests.support import GatewayProcess, eventually, exchange, free_port, running_gateway

ALWAYS = FIELDS.keys() - {"sample_rate", "model_backend", "model"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    routes = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
    with running_gateway(tmp_path_factory.mktemp("log"), routes) as process:
        yield process


def _records(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in text.splitlines()]


async def _record(gateway: GatewayProcess, path: str) -> dict[str, Any]:
    """The one line about a path."""
    await eventually(lambda: f'"{path}"' in gateway.access_log, message=f"no line about {path}")
    found = [record for record in _records(gateway.access_log) if record["path"] == path]
    assert len(found) == 1
    assert found[0].keys() == ALWAYS
    return found[0]


async def _route(gateway: GatewayProcess, path: str, port: int) -> None:
    gateway.write(f"routes:\n- path: {path}\n  id: there\n  target: 127.0.0.1:{port}\n")
    assert (await asyncio.to_thread(reload, gateway)).status_code == 200


async def test_a_success_is_logged_completely(gateway: GatewayProcess) -> None:
    """Who, what, where to, how it ended, how much and how long."""
    began = time.monotonic()
    async with backend() as upstream:
        await _route(gateway, "/success", upstream.port)
        async with httpx2.AsyncClient() as client:
            await client.get(f"{gateway.url}/success?q=1", headers={"host": "example.com"})
        record = await _record(gateway, "/success")
    address = f"127.0.0.1:{upstream.port}"
    assert record["client"] == "127.0.0.1"
    assert (record["method"], record["host"], record["status"]) == ("GET", "example.com", 200)
    assert (record["route"], record["upstream"], record["endpoint"]) == ("there", address, address)
    assert (record["bytes_in"], record["bytes_out"], record["error"]) == (0, 2, None)
    (attempt,) = record["attempts"]
    assert attempt == {"endpoint": record["endpoint"], "status": 200, "ms": attempt["ms"], "why_next": None}
    assert 0 < attempt["ms"] <= record["duration"] * 1000
    most = time.monotonic() - began
    assert 0 <= record["upstream_duration"] < most
    assert 0 < record["duration"] < most


async def test_no_route_is_logged(gateway: GatewayProcess) -> None:
    """A 404 has a line without a route, and says why."""
    problem = get(gateway, "/nowhere").json()
    record = await _record(gateway, "/nowhere")
    assert (record["status"], record["route"], record["endpoint"]) == (404, None, None)
    assert record["request_id"] == problem["request_id"]
    assert record["error"].startswith("no-route: ")


async def test_a_failing_upstream_is_logged(gateway: GatewayProcess) -> None:
    """A 502 names the endpoint and what happened to it."""
    port = free_port()
    await _route(gateway, "/failing", port)
    get(gateway, "/failing")
    record = await _record(gateway, "/failing")
    assert (record["status"], record["endpoint"]) == (502, f"127.0.0.1:{port}")
    assert record["error"].startswith("upstream-refused: ")


async def test_a_client_that_disconnects_is_logged(gateway: GatewayProcess) -> None:
    """A client that does not wait for the answer leaves a line with 499."""
    async with backend() as upstream:
        await _route(gateway, "/slow/gone", upstream.port)
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /slow/gone HTTP/1.1\r\nhost: x\r\n\r\n")
        await eventually(lambda: upstream.arrived == 1)
        writer.close()
        record = await _record(gateway, "/slow/gone")
    assert record["status"] == 499
    assert record["error"].startswith("client-gone: ")


async def test_a_websocket_is_logged_at_its_end(gateway: GatewayProcess) -> None:
    """One line with 101, and how long it lasted."""
    async with websocket_backend() as port:
        await _route(gateway, "/websocket", port)
        async with connect(f"ws://127.0.0.1:{gateway.port}/websocket") as websocket:
            await websocket.send("hello")
            await websocket.recv()
            assert '"/websocket"' not in gateway.access_log
        record = await _record(gateway, "/websocket")
    assert (record["status"], record["route"], record["error"]) == (101, "there", None)


async def test_a_refused_head_is_logged(gateway: GatewayProcess) -> None:
    """What never became a request has a line, too."""
    await exchange(gateway.port, b"GET /refused HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n")
    record = await _record(gateway, "/refused")
    assert record["status"] == 400
    assert record["error"].startswith("bad-request: ")


async def test_a_head_with_too_many_lines_is_logged_with_what_it_said(gateway: GatewayProcess) -> None:
    """Its refusal waits for others, and still knows whose it is."""
    lines = b"".join(b"x-%d: \r\n" % number for number in range(200))
    await exchange(gateway.port, b"GET /lines HTTP/1.1\r\nhost: x\r\nuser-agent: crowd\r\n" + lines + b"\r\n")
    record = await _record(gateway, "/lines")
    assert (record["status"], record["user_agent"]) == (431, "crowd")


HOSTILE = [
    b'GET /a%0a{"status":200} HTTP/1.1\r\nhost: x\r\n\r\n',
    b'GET /b HTTP/1.1\r\nhost: x"}\xff\r\n\r\n',
    b"GET /c\xc2\x85\xe2\x80\xa8d HTTP/1.1\r\nhost: x\r\n\r\n",
    b'GET /"quoted\\" HTTP/1.1\r\nhost: x\r\nx-request-id: \x1b[31m\r\n\r\n',
    b"GET /d\x00e HTTP/1.1\r\nhost: x\r\n\r\n",
    b"B\x1bD /e HTTP/1.1\r\nhost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
]


async def test_clients_cannot_write_lines_of_their_own(gateway: GatewayProcess) -> None:
    """Whatever bytes a client sends, each request makes one line, and each line is one JSON object."""
    before = len(gateway.access_log.split("\n"))
    for data in HOSTILE:
        await exchange(gateway.port, data.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    get(gateway, "/last-of-them")
    await eventually(lambda: '"/last-of-them"' in gateway.access_log)
    lines = gateway.access_log.split("\n")[before - 1 : -1]
    assert len(lines) == len(HOSTILE) + 1
    assert all(orjson.loads(line).keys() == ALWAYS for line in lines)
    assert not any(ord(character) < 32 for line in lines for character in line)


async def test_rotation_loses_no_line(tmp_path: Path) -> None:
    """A file that is moved away under load and reopened by SIGUSR1 has, with the new one, every line once.

    It is in the configuration directory, where its name says no other.
    """
    file = tmp_path / "config" / "access.log"
    routes = "routes:\n- path: /n/*\n  target: asgi:tests.lifecycle.apps:one\n"
    with running_gateway(tmp_path, routes, middleware="access_log: {output: access.log}") as process:
        async with httpx2.AsyncClient(base_url=process.url) as client:
            for number in range(200):
                await client.get(f"/n/{number}")
                if number % 50 == 25:
                    await eventually(file.exists)  # it was opened again, after the last time
                    file.rename(file.with_name(f"access.log.{number}"))
                    process.signal(signal.SIGUSR1)
        await eventually(lambda: file.exists() and '"/n/199"' in file.read_text())
    files = [file, *(file.with_name(f"access.log.{number}") for number in (25, 75, 125, 175))]
    paths = [record["path"] for part in files for record in _records(part.read_text())]
    assert sorted(paths) == sorted(f"/n/{number}" for number in range(200))


async def test_a_directory_that_is_missing_at_rotation_is_reported(tmp_path: Path) -> None:
    """Where the file cannot be made again, the log goes on in the old one, and the gateway's own log says so."""
    (tmp_path / "logs").mkdir()
    file = tmp_path / "logs" / "access.log"
    routes = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
    with running_gateway(tmp_path, routes, middleware=f"access_log: {{output: {file}}}") as process:
        (tmp_path / "logs").rename(tmp_path / "moved")
        process.signal(signal.SIGUSR1)
        await eventually(lambda: "cannot be reopened" in process.log)
        get(process, "/x")
        await eventually(lambda: '"/x"' in (tmp_path / "moved" / "access.log").read_text())


OWN_LINE = re.compile(rb'\{"time":"[^"]*","level":[^\n]*\n')


async def test_a_reader_that_is_stuck_stops_no_request(tmp_path: Path) -> None:
    """With stdout and stderr full pipes every request is answered; lost lines are counted and reported."""
    process = GatewayProcess(tmp_path / "config")
    process.directory.mkdir()
    process.write("routes:\n- path: /*\n  target: asgi:tests.lifecycle.apps:one\n")
    reading = _start_into_a_pipe(process)
    try:
        await _flood(process.port, 12_000)
        assert await asyncio.to_thread(lambda: get(process, "/x").text) == "one"
        assert (await asyncio.to_thread(reload, process)).status_code == 200
        process.signal(signal.SIGINT)
        text = b""
        while piece := await asyncio.to_thread(os.read, reading, 65536):
            text += piece
        text = OWN_LINE.sub(b"", text)  # both logs share the pipe: one may stand in the middle of a line of the other
        dropped = [line for line in text.splitlines() if line.startswith(b'{"dropped":')]
        assert sum(orjson.loads(line)["dropped"] for line in dropped) + text.count(b'"request_id"') == 12_001
        assert len(dropped) == 1
        assert process.wait(30) == 0
    finally:
        os.close(reading)
        process.stop()


def _start_into_a_pipe(process: GatewayProcess) -> int:
    """Its stdout and stderr are one pipe, whose reading end this is."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(process.directory), "--host", "127.0.0.1"]
    command += ["--port", str(process.port), "--admin", f"127.0.0.1:{process.admin_port}"]
    process.process = subprocess.Popen(command, stdout=writing, stderr=writing)
    os.close(writing)
    (process.directory.parent / "stderr.log").touch()
    process.wait_until_healthy()
    return reading


async def _flood(port: int, number: int) -> None:
    """Pipelined requests, all of which must be answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(number // 100):
        writer.write(b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n" % (b"long" * 20) * 100)
        for _ in range(100):
            async with asyncio.timeout(30):
                await reader.readuntil(b"\r\n\r\none")
    writer.close()


async def test_the_console_format_is_for_people(tmp_path: Path) -> None:
    """--log-format console overrides the file; lines hold no control characters."""
    routes = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
    with running_gateway(tmp_path, routes, arguments=("--log-format", "console")) as process:
        get(process, "/x")
        get(process, "/none")
        await eventually(lambda: "/none" in process.access_log)
        lines = process.access_log.splitlines()
    assert " 200 GET /x  x -> asgi:tests.lifecycle.apps:one " in lines[0]
    assert " 404 GET /none " in lines[1]
    assert "(no-route: " in lines[1]


async def test_a_log_that_cannot_be_opened_is_reported_at_the_start(tmp_path: Path) -> None:
    """It is an error of the configuration like any other: named with file and line, and waited out."""
    routes = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
    middleware = "access_log:\n  output: /no/such/directory/access.log\n"
    with running_gateway(tmp_path, routes, middleware=middleware, ready=False) as process:
        error = health(process)["errors"][0]
        assert error.startswith("middleware.yaml:2:3: access_log.output: /no/such/directory/access.log cannot be writ")
        assert error in process.log
        process.write(middleware="access_log: {output: 'off'}")
        process.wait_until_healthy()


def test_a_full_disk_is_reported_once(tmp_path: Path) -> None:
    """Lines that cannot be written are lost; that is said once, not for every batch."""
    routes = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
    with running_gateway(tmp_path, routes, middleware="access_log: {output: /dev/full}") as process:
        for _ in range(20):
            assert get(process, "/x").text == "one"
        assert httpx2.get(admin_url(process, "/health")).status_code == 200
    assert process.log.count("No space left") == 1


def test_the_admin_port_may_be_left_out(tmp_path: Path) -> None:
    """--admin off listens on one port only."""
    routes = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
    with running_gateway(tmp_path, routes, arguments=("--admin", "off")) as process:
        assert get(process, "/x").text == "one"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", process.admin_port))
