"""At three in the morning: for each fault the log, /health and `gateway status` name the cause and the next step."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.live.tasks import Tasks
from tests.lifecycle.support import get, health
from tests.support import GatewayProcess, eventually, free_port, running_gateway, until
from tests.upstream.test_tls import certificate, server_side

ROUTES = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"


def status(process: GatewayProcess) -> str:
    """What the command prints."""
    return command("status", "--admin", f"127.0.0.1:{process.admin_port}")


def command(*arguments: str) -> str:
    return CliRunner().invoke(main, list(arguments)).output


def assert_reported(process: GatewayProcess, *words: str, logged: str | None = None) -> None:
    """/health and the command say all of this in one sentence, and the logs say this, or the first of them."""

    def found() -> bool:
        report = health(process)
        return any(all(word in each for word in words) for each in (*report["failing"], *report["errors"]))

    def printed() -> bool:
        return any(all(word in line for word in words) for line in status(process).splitlines())

    until(found, 30, f"{words}: {health(process)}")
    until(printed, 30, f"{words}: {status(process)}")
    sought = words[0] if logged is None else logged
    until(lambda: sought in process.log + process.access_log, 30, process.log)


def test_a_backend_is_down(tmp_path: Path) -> None:
    """Which one, since when, and that it is to be started; when it answers again, nothing is said any more."""
    port = free_port()
    with running_gateway(tmp_path, f"routes:\n- path: /x\n  target: 127.0.0.1:{port}\n") as process:
        assert get(process, "/x").status_code == 502
        assert_reported(
            process, f"127.0.0.1:{port}", "upstream-refused", "Start the backend", logged="upstream-refused"
        )


def test_a_name_does_not_resolve(tmp_path: Path) -> None:
    """The name, and where to look."""
    with running_gateway(tmp_path, "routes:\n- path: /x\n  target: nowhere.invalid:80\n") as process:
        assert get(process, "/x").status_code == 502
        assert_reported(process, "nowhere.invalid", "upstream-unresolved", "getent hosts", logged="nowhere.invalid")


def test_a_backend_that_never_answers(tmp_path: Path) -> None:
    """Its time-out, and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        routes = f"routes:\n- path: /x\n  target: {target}\n  timeout: {{response_header: 200ms}}\n"
        with running_gateway(tmp_path, routes) as process:
            assert get(process, "/x").status_code == 504
            words = "within 0.2 s (timeout.response_header)", "raise the limit"
            assert_reported(process, target, "upstream-timeout", *words, logged="upstream-timeout")


def test_a_backend_is_no_http_server(tmp_path: Path) -> None:
    """That what came is no HTTP, and to look at the port."""
    with running_gateway(tmp_path, ROUTES) as other:
        process_routes = f"routes:\n- path: /x\n  target: https://127.0.0.1:{other.port}\n"
        with running_gateway(tmp_path / "config", process_routes) as process:
            assert get(process, "/x").status_code == 502
            assert_reported(process, f"127.0.0.1:{other.port}", "upstream-tls", "speaks no TLS", logged="upstream-tls")


def test_a_bad_edit(tmp_path: Path) -> None:
    """The file, line and column, and what was perhaps meant; what was served before is served."""
    with running_gateway(tmp_path, ROUTES) as process:
        process.write(routes="routes:\n- path: /x\n  taget: 127.0.0.1:1\n")
        assert_reported(process, "routes.yaml:3:3", 'did you mean "target"', logged="routes.yaml:3:3")
        assert get(process, "/x").text == "one"


def test_a_key_has_expired(tmp_path: Path) -> None:
    """Whose, in the access log and in `gateway last`."""
    key = f'{{hash: "sha256:{sha256(b"an old key").hexdigest()}", expires: 2020-01-01}}'
    auth = "schemes: {keys: {api_key: {header: X-API-Key}}}\ndefault: [keys]\n"
    auth += f"consumers: [{{name: acme, keys: [{key}]}}]\n"
    with running_gateway(tmp_path, ROUTES, auth=auth) as process:
        assert httpx2.get(f"{process.url}/x", headers={"x-api-key": "an old key"}).status_code == 401
        until(lambda: '"claimed_consumer":"acme"' in process.access_log)
        shown = command("last", "--admin", f"127.0.0.1:{process.admin_port}")
        assert "the API key has expired" in shown
        assert_reported(
            process, "consumer acme", "the API key has expired", "gateway keys new", logged="the API key has expired"
        )


def test_the_disk_of_the_access_log_is_full(tmp_path: Path) -> None:
    """How many lines are lost, and that room is to be made."""
    with running_gateway(tmp_path, ROUTES, "access_log: {output: /dev/full}") as process:
        get(process, "/x")
        assert_reported(process, "the access log /dev/full", "No space left", "make room", logged="No space left")


def test_the_access_log_cannot_be_reopened(tmp_path: Path) -> None:
    """Which file, and what to do; once it is open again, nothing is said any more."""
    logs = tmp_path / "logs"
    logs.mkdir()
    with running_gateway(tmp_path, ROUTES, f"access_log: {{output: {logs / 'access.log'}}}") as process:
        logs.rename(tmp_path / "moved")
        process.signal(signal.SIGUSR1)
        assert_reported(process, "cannot be reopened", str(logs / "access.log"), "make its directory", "kill -USR1")
        logs.mkdir()
        process.signal(signal.SIGUSR1)
        until(lambda: not any("reopened" in each for each in health(process)["failing"]), 30, process.log)
        get(process, "/x")
        until(lambda: '"/x"' in (logs / "access.log").read_text(), 30, process.log)


def test_a_registry_has_no_instances_any_more(tmp_path: Path) -> None:
    """Whose, how long the last ones are used, and what to do."""
    routes = "services: {s: {discovery: {file: instances.yaml}}}\nroutes:\n- path: /x\n  target: s\n"
    with running_gateway(tmp_path, routes, ready=False) as process:
        instances = process.directory / "instances.yaml"
        instances.write_text("[127.0.0.1:1]\n")
        process.wait_until_healthy()
        instances.write_text("[]\n")
        assert_reported(
            process, "s has no instances", "the last ones stay", "see why none is listed", logged="s has no"
        )


def test_an_issuer_answers_with_a_page(tmp_path: Path) -> None:
    """That it is no key set, and to look at the address."""
    with running_gateway(tmp_path, ROUTES) as page:
        issuer = f"{{issuer: i, audiences: [], algorithms: [RS256], jwks_url: '{page.url}/x'}}"
        auth = f"schemes: {{login: {{jwt: {{issuers: [{issuer}]}}}}}}\ndefault: [login]\n"
        with running_gateway(tmp_path / "config", ROUTES, auth=auth) as process:
            assert_reported(process, "is not a JSON Web Key Set", "whether its address is right")


@pytest.mark.parametrize("closed", [True, False])
def test_the_disk_of_the_audit_log_is_full(tmp_path: Path, closed: bool) -> None:
    """Where nothing is served without it, the gateway is not ready; when there is room again, it is."""
    middleware = (
        f"audit_log: {{file: audit.jsonl, on_failure: {'closed' if closed else 'open'}}}\naccess_log: {{output: 'off'}}"
    )
    with running_gateway(tmp_path, ROUTES, middleware) as process:
        for _ in range(20):
            get(process, "/x")
        file = process.directory / "audit.jsonl"
        until(lambda: file.read_text().count('"path":"/x"') == 20)
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file.stat().st_size, most))
        get(process, "/x")
        assert_reported(process, "audit.jsonl cannot be written", "File too large", "make room")
        ready = get(process, "/health/ready")
        assert ready.status_code == (503 if closed else 200)
        assert ready.json()["status"] == ("requests cannot be recorded" if closed else "ok")
        assert get(process, "/x").status_code == (503 if closed else 200)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        until(lambda: get(process, "/health/ready").status_code == 200)
        until(lambda: "is written again" in process.log)


def test_a_port_is_taken(tmp_path: Path) -> None:
    """Which, and by which option to choose another; exit code 1."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        process = GatewayProcess(tmp_path / "config")
        process.directory.mkdir()
        process.write(ROUTES)
        process.port = int(port)
        with pytest.raises(AssertionError, match="ended with 1"):
            process.start(forked=False)
        assert port in process.log
        assert "--port" in process.log
        shown = command("check", "--here", "--config", str(process.directory), "--host", "127.0.0.1", "--port", port)
        assert f"127.0.0.1:{port} cannot be listened on here: Address already in use; stop what listens" in shown


def test_there_are_no_descriptors(tmp_path: Path) -> None:
    """That connections wait, and which limit to raise."""
    with running_gateway(tmp_path, ROUTES) as process:
        used = max(map(int, os.listdir(f"/proc/{process.pid}/fd")))
        admin = httpx2.Client(base_url=f"http://127.0.0.1:{process.admin_port}")
        admin.get("/health")
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used + 2, hard))
        clients = [socket.create_connection(("127.0.0.1", process.port)) for _ in range(12)]
        until(lambda: "connections wait: Too many open files" in process.log)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        for client in clients:
            client.close()
        assert_reported(process, "connections had to wait", "LimitNOFILE", logged="LimitNOFILE")


def test_a_secret_cannot_be_read(tmp_path: Path) -> None:
    """Which file, at which place of the configuration, and what to do."""
    middleware = "redis: {url: 'redis://:${file:/no/such/secret}@127.0.0.1:6379'}"
    with running_gateway(tmp_path, ROUTES, middleware, ready=False) as process:
        assert_reported(process, "middleware.yaml:1:", "/no/such/secret", logged="/no/such/secret")
        assert get(process, "/health/ready").status_code == 503


def test_redis_is_down(tmp_path: Path) -> None:
    """Since when, why, and what limits do meanwhile."""
    middleware = f"redis: {{url: 'redis://127.0.0.1:{free_port()}'}}\n"
    middleware += "rate_limits: {all: {key: [address], limits: [100/s], store: redis}}\n"
    with running_gateway(tmp_path, ROUTES, middleware) as process:
        assert_reported(process, "Redis is down", "on_failure", "start it")


def test_the_keys_of_an_issuer_cannot_be_fetched(tmp_path: Path) -> None:
    """Whose, why, and what becomes of its tokens."""
    url = f"http://127.0.0.1:{free_port()}"
    issuer = f"{{issuer: i, audiences: [], algorithms: [RS256], jwks_url: '{url}'}}"
    auth = f"schemes: {{login: {{jwt: {{issuers: [{issuer}]}}}}}}\n"
    with running_gateway(tmp_path, ROUTES, auth=auth + "default: [login]\n") as process:
        assert_reported(
            process, "the keys of i cannot be fetched", "503", "the gateway reaches it", logged="cannot be fetched"
        )


def test_a_policy_keeps_the_loop(tmp_path: Path) -> None:
    """Its place, and what it is to do instead."""
    policy = "import time\n\n\nclass Slow:\n    def wrap(self, handler):\n        async def slow(exchange):\n"
    policy += "            time.sleep(2)\n            return await handler(exchange)\n        return slow\n"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "slow.py").write_text(policy)
    with running_gateway(tmp_path, ROUTES, "policies: {slow: {class: 'slow.py:Slow'}}") as process:
        get(process, "/x")
        assert_reported(process, "slow.py:7", "use a thread", logged="nothing was served")


@contextmanager
def _a_file_in_place_of(directory: Path) -> Iterator[None]:
    """A directory that is not writable, even for root."""
    for each in directory.iterdir():
        each.unlink()
    directory.rmdir()
    directory.write_text("")
    yield


def test_the_state_directory_cannot_be_written(tmp_path: Path) -> None:
    """What that loses, and how to correct it."""
    with running_gateway(tmp_path, ROUTES) as process, _a_file_in_place_of(process.directory / "state"):
        assert_reported(process, "state cannot be written", "lost with a restart", "make it writable", logged="")


def test_the_store_of_quotas_is_locked(tmp_path: Path) -> None:
    """The file, and to look for who holds it."""
    middleware = "quotas: {day: {key: [address], limit: 5, window: day}}"
    with running_gateway(tmp_path, ROUTES, middleware) as process:
        get(process, "/x")
        file = process.directory / "state" / "quotas.sqlite"
        until(file.exists)
        with sqlite3.connect(file) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            get(process, "/x")
            assert_reported(process, "quotas.sqlite cannot be used", "locked", "fuser", logged="locked")
            holder.rollback()


def test_a_breaker_is_open(tmp_path: Path) -> None:
    """Of which route, and why; the log of requests says so, too."""
    routes = f"routes:\n- path: /x\n  id: shop\n  target: 127.0.0.1:{free_port()}\n"
    routes += "  breaker: {error_ratio: 50%, minimum: 2}\n"
    with running_gateway(tmp_path, routes) as process:
        until(lambda: get(process, "/x").status_code == 503)
        until(lambda: "circuit-open" in process.access_log)
        assert "breaker of route shop" in status(process)
        assert_reported(
            process, "route shop", "circuit-open", "PUT /breakers/ROUTE", logged="the breaker of route shop"
        )


def test_a_registry_is_gone(tmp_path: Path) -> None:
    """Which, since when, and that the last endpoints are used."""
    routes = f"services: {{s: {{discovery: {{consul: {{url: 'http://127.0.0.1:{free_port()}', service: s}}}}}}}}\n"
    routes += "routes:\n- path: /x\n  target: s\n"
    with running_gateway(tmp_path, routes, ready=False) as process:
        assert_reported(process, "s ", "consul", logged="consul")


def test_a_source_is_stale(tmp_path: Path) -> None:
    """Whose, why, and that the endpoints that it last had are used."""
    routes = "services: {s: {discovery: {file: instances.yaml}}}\nroutes:\n- path: /x\n  target: s\n"
    with running_gateway(tmp_path, routes, ready=False) as process:
        instances = process.directory / "instances.yaml"
        instances.write_text("[127.0.0.1:1]\n")
        process.wait_until_healthy()
        instances.write_text("[127.0.0.1:\n")
        assert_reported(
            process, "of s are stale", "instances.yaml", "line 2", "that it had are used", logged="instances.yaml"
        )


def test_a_policy_raises(tmp_path: Path) -> None:
    """Which, with what, and that the log has the traceback."""
    policy = "class Broken:\n    def wrap(self, handler):\n        async def broken(exchange):\n"
    policy += "            raise KeyError('tenant')\n        return broken\n"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "broken.py").write_text(policy)
    routes = "routes:\n- path: /x\n  id: shop\n  target: asgi:tests.lifecycle.apps:one\n"
    with running_gateway(tmp_path, routes, "policies: {broken: {class: 'broken.py:Broken'}}") as process:
        assert get(process, "/x").status_code == 500
        assert_reported(
            process, "route shop", 'policy "broken" failed', "traceback", "correct the policy", logged="broken.py"
        )


def test_the_access_log_is_not_read(tmp_path: Path) -> None:
    """That its reader is gone, how many lines are lost, and what to look at."""
    process = GatewayProcess(tmp_path / "config")
    process.directory.mkdir()
    process.write(ROUTES)
    reading, writing = os.pipe()
    serve = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(process.directory), "--host", "127.0.0.1"]
    serve += ["--port", str(process.port), "--admin", f"127.0.0.1:{process.admin_port}"]
    for name in ("stdout.log", "stderr.log"):
        (tmp_path / name).touch()
    with (tmp_path / "stderr.log").open("wb") as logged:
        process.process = subprocess.Popen(serve, stdout=writing, stderr=logged)
    os.close(writing)
    try:
        process.wait_until_healthy()
        os.close(reading)
        get(process, "/x")
        assert_reported(process, "the access log", "Broken pipe", "start what reads it", logged="Broken pipe")
    finally:
        process.stop()


@contextmanager
def http_server(seconds: float = 0, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A backend whose clock is ahead by so much; its port."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + seconds)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(HTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that ends the handshake."""

    server = Quiet(("127.0.0.1", 0), Answering)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def test_the_clock_is_wrong(tmp_path: Path) -> None:
    """By how much, as whom tells, and what to look at; as soon as it is right, nothing is said any more."""
    with http_server(3600) as late, http_server() as right:
        service = f"services: {{s: {{endpoints: [127.0.0.1:{late}], health: {{path: /, interval: 500ms}}}}}}\n"
        with running_gateway(tmp_path, service + "routes:\n- path: /x\n  target: s\n") as process:
            assert_reported(process, "the clock of this machine is 3", " s behind that of", str(late), "timedatectl")
            metrics = httpx2.get(f"http://127.0.0.1:{process.admin_port}/metrics").text
            assert "gateway_clock_offset_seconds -3" in metrics
            process.write(service.replace(str(late), str(right)) + "routes:\n- path: /x\n  target: s\n")
            until(lambda: "clock" not in status(process))
            until(lambda: "as those of others again" in process.log)


def test_a_certificate_has_expired(tmp_path: Path) -> None:
    """Whose, and that it is to be renewed."""
    certificate(tmp_path, "ca", "", 30, None)
    certificate(tmp_path, "old", "IP:127.0.0.1", -1, "ca")
    with http_server(tls=server_side(tmp_path, "old")) as port:
        tls = f"protocol: https, tls: {{ca: {tmp_path}/ca.pem}}"
        routes = f"services: {{s: {{endpoints: [127.0.0.1:{port}], {tls}}}}}\n"
        with running_gateway(tmp_path, routes + "routes:\n- path: /x\n  target: s\n") as process:
            assert get(process, "/x").status_code == 502
            assert_reported(process, "upstream-tls", str(port), "expired; renew it", logged="upstream-tls")


def _mount_namespaces() -> bool:
    tried = [shutil.which("unshare") or "", "--user", "--map-root-user", "--mount", "true"]
    return tried[0] != "" and subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _mount_namespaces(), reason="this machine does not allow new mount namespaces")
def test_memory_is_near_its_limit(tmp_path: Path) -> None:
    """How much of how much, what happens beyond that, and where either is set. The limit is one of files: a real one
    would be that of the tests."""
    group = tmp_path / "groups" / "memory"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(f"{128 * 2**20}\n")
    (group / "memory.usage_in_bytes").write_text(f"{127 * 2**20}\n")
    (tmp_path / "own").write_text("4:memory:/\n0::/\n")
    (tmp_path / "groups" / "memory.max").write_text(f"{128 * 2**20}\n")
    process = GatewayProcess(tmp_path / "config")
    process.directory.mkdir()
    process.write(ROUTES)
    serve = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(process.directory), "--host", "127.0.0.1"]
    serve += ["--port", str(process.port), "--admin", f"127.0.0.1:{process.admin_port}"]
    mounts = f"mount --bind {tmp_path}/groups /sys/fs/cgroup && mount --bind {tmp_path}/own /proc/$$/cgroup"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounts + '; exec "$@"', "sh", *serve]
    (tmp_path / "stdout.log").touch()
    with (tmp_path / "stderr.log").open("wb") as logged:
        process.process = subprocess.Popen(command, stdout=logged, stderr=logged)
    try:
        process.wait_until_healthy()
        assert_reported(process, "127 of the 128 MiB of memory", "MemoryMax", "docs/sizing.md")
    finally:
        process.stop()


def test_the_admin_token_is_lost(tmp_path: Path) -> None:
    """The answer, and so the command, says where it should be."""
    with running_gateway(tmp_path, ROUTES) as process:
        (process.directory / "state" / "admin-token").unlink()
        said = command("reload", "--admin", f"127.0.0.1:{process.admin_port}")
        assert "admin-token" in said


async def test_the_watch_over_the_configuration_dies() -> None:
    """Its name and what it died of; it is begun again."""

    async def dies() -> None:
        raise OSError("gone")

    tasks = Tasks()
    tasks.supervise("the watch over the configuration", dies)
    await eventually(lambda: bool(tasks.troubles()))
    (trouble,) = tasks.troubles()
    assert "the watch over the configuration ended" in trouble
    assert "OSError" in trouble
    assert "see the log" in trouble
    await tasks.end()
