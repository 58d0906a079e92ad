"""Sockets of systemd, and its notifications."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.lifecycle.support import backend
from tests.support import eventually, free_port, until

ACTIVATE = """
import json, os, sys
high = [os.dup2(descriptor, 200 + index) for index, descriptor in enumerate(json.loads(sys.argv[1]))]
for index, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + index)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@contextmanager
def activated(
    path: Path, listeners: list[socket.socket], names: str, *arguments: str, notify: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway that is started as systemd does: with sockets from descriptor 3 on."""
    descriptors = [each.fileno() for each in listeners]
    serve = ["-m", "gateway.cli", "serve", "--config", str(path), "--port", str(free_port()), *arguments]
    command = [sys.executable, "-c", ACTIVATE, json.dumps(descriptors), *serve]
    environment = os.environ | {"LISTEN_FDS": str(len(listeners)), "LISTEN_FDNAMES": names, "NOTIFY_SOCKET": notify}
    with (path.parent / "stderr.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, stdout=log, pass_fds=descriptors)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)  # SIGINT is ignored while it starts, where the tests run in the background
        process.wait(40)


def configured(path: Path, port: int, middleware: str = "drain: {window: 0}\n") -> Path:
    config = path / "config"
    config.mkdir()
    (config / "routes.yaml").write_text(f"routes:\n- path: /*\n  target: 127.0.0.1:{port}\n")
    (config / "middleware.yaml").write_text(middleware)
    return config


def log_of(path: Path) -> str:
    return (path / "stderr.log").read_text()


@pytest.mark.timeout(240)  # three gateways, one after the other: on a busy machine each takes its time to begin
async def test_a_restart_loses_no_request(tmp_path: Path) -> None:
    """Stopped and started again on the same sockets, as `systemctl restart` does, it answers every request that came
    meanwhile; --port is not opened."""
    async with backend() as upstream, httpx2.AsyncClient(timeout=60) as client:
        # In the window it tells each client that its connection ends: closed at once, it might cross a request.
        config = configured(tmp_path, upstream.port, "drain: {window: 3}\n")
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            over, statuses = asyncio.Event(), list[int]()

            async def ask() -> None:
                while not over.is_set():
                    statuses.append((await client.get(f"{url}/x")).status_code)

            asking = asyncio.gather(*(ask() for _ in range(4)))
            for _ in range(2):
                count = len(statuses)
                with activated(config, [listener], "gateway.socket", "--admin", "off") as process:
                    await eventually(lambda count=count: len(statuses) > count + 50, 30)  # type: ignore[misc]
                    process.send_signal(signal.SIGTERM)
                    assert await asyncio.to_thread(process.wait, 40) == 0
            with activated(config, [listener], "http", "--admin", "off"):
                over.set()
                await asking
        assert set(statuses) == {200}


async def test_each_socket_is_for_what_its_name_says(tmp_path: Path) -> None:
    """FileDescriptorName= says which socket is the admin port, and which is for metrics."""
    async with backend() as upstream, httpx2.AsyncClient(timeout=30) as client:
        config = configured(tmp_path, upstream.port)
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        urls = [f"http://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        with activated(config, sockets, "admin:http:metrics"):
            assert (await client.get(urls[1] + "/x")).text == "ok"
            assert (await client.get(urls[0] + "/openapi.json")).status_code == 200
            assert "gateway_config_good 1.0" in (await client.get(urls[2] + "/metrics")).text
        for each in sockets:
            each.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no sockets for both families")
async def test_clients_over_ipv4_keep_their_addresses(tmp_path: Path) -> None:
    """On a socket for both families, as `ListenStream=9000` makes one, an IPv4 client has its IPv4 address, also where
    an MCP endpoint without a key refuses what pages of other sites ask on this machine."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "routes.yaml").write_text("routes:\n- {path: /m, target: mcp, auth: []}\n- {path: /*, respond: 200}\n")
    (config / "middleware.yaml").write_text('headers: {who: {response: {set: {X-Client: "{client}"}}}}\n')
    (config / "models.yaml").write_text('mcp: {m: {servers: [{name: s, url: "http://127.0.0.1:1/mcp"}]}}\n')
    foreign = {"origin": "http://evil.example", "host": "evil.example"}
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::ffff:127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx2.AsyncClient(timeout=60) as client:
            with activated(config, [listener], "http", "--admin", "off"):
                assert (await client.get(f"{url}/x")).headers["x-client"] == "127.0.0.1"
                asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
                refused = await client.post(f"{url}/m", json=asked, headers=foreign)
                assert (refused.status_code, refused.json()["error"]["message"][:6]) == (403, "a page")


def test_an_admin_port_for_everyone_is_refused(tmp_path: Path) -> None:
    """A socket of systemd that other machines reach needs a token, as --admin does."""
    config = configured(tmp_path, 1)
    with socket.create_server(("0.0.0.0", 0)) as listener, activated(config, [listener], "admin") as process:
        assert process.wait(30) == 1
    assert "admin.tokens" in log_of(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (socket.SOCK_STREAM, "grpc", "name it http, admin or metrics"),
        (socket.SOCK_STREAM, "http", "Accept=no"),
        (socket.SOCK_DGRAM, "http", "ListenStream="),
    ],
)
def test_other_sockets_are_refused(tmp_path: Path, kind: socket.SocketKind, name: str, said: str) -> None:
    """What cannot be served ends the start with 1, and a sentence that names the key of the unit."""
    config = configured(tmp_path, 1)
    with socket.socket(socket.AF_INET, kind) as opened:
        opened.bind(("127.0.0.1", 0))
        if name == "grpc":
            opened.listen()
        with activated(config, [opened], name) as process:
            assert process.wait(30) == 1
    assert said in log_of(tmp_path)


def test_variables_of_another_process_are_left_alone(tmp_path: Path) -> None:
    """LISTEN_FDS of a parent that did not clear it says nothing about this process: --port is opened."""
    config, port = configured(tmp_path, 1), free_port()
    environment = os.environ | {"LISTEN_FDS": "1", "LISTEN_PID": "1"}
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config), "--admin", "off"]
    with (tmp_path / "stderr.log").open("wb") as log:
        process = subprocess.Popen([*command, "--port", str(port)], env=environment, stderr=log)
    try:
        until(lambda: f"listening on 0.0.0.0:{port}" in log_of(tmp_path), 30)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(40)


async def test_systemd_is_notified(tmp_path: Path) -> None:
    """READY when it serves, RELOADING and READY around a reload, with what is wrong, and STOPPING at its end."""
    notify_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify_socket.bind("\0" + str(tmp_path)[-90:])
    notify_socket.settimeout(30)
    config = configured(tmp_path, 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        notify = "@" + str(tmp_path)[-90:]
        with activated(config, [listener], "http", "--admin", "off", notify=notify) as process:
            assert notify_socket.recv(4096).startswith(b"READY=1\n")
            (config / "middleware.yaml").write_text("drain: {window: often}\n")
            process.send_signal(signal.SIGHUP)
            assert notify_socket.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert b"refused: middleware.yaml:1:" in (said := notify_socket.recv(4096))
            assert said.startswith(b"READY=1\n")
            process.send_signal(signal.SIGTERM)
            while not (said := notify_socket.recv(4096)).startswith(b"STOPPING=1\n"):
                assert said.startswith((b"RELOADING=1\n", b"READY=1\n"))  # it has seen the file by itself, before
    notify_socket.close()


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not on this machine")
async def test_systemd_s_own_activation(tmp_path: Path) -> None:
    """The first request starts the gateway, and is answered by it."""
    port = free_port()
    async with backend() as upstream, httpx2.AsyncClient(timeout=30) as client:
        config = configured(tmp_path, upstream.port)
        command = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=http", "-E", "PYTHONPATH"]
        serve = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config), "--admin", "off"]
        with (tmp_path / "stderr.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, *serve, stderr=log)
        try:
            await eventually(lambda: "Listening on" in log_of(tmp_path))
            assert (await client.get(f"http://127.0.0.1:{port}/x")).text == "ok"
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()
