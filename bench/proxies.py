"""The proxies that are compared, and the backend behind them: what each is configured with, and how it is started.

Each does the same: a path below /v1/bench/ is sent to the backend as one below /api/v1/bench/, over connections
that are kept. The backend is an nginx that answers with a constant, with a file of the size that its name says, or
with what it received of the request.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import envoy
from bench.machine import free_port
from bench.programs import BenchError, Program

PREFIX = "/v1/bench"
REWRITTEN = "/api/v1/bench"
COUNTER = "/requests"
SMALL = '{"padding":"' + "x" * 186 + '"}'  # 200 bytes
FILE_SIZES = {"1KiB": 1024, "64KiB": 64 * 1024, "1MiB": 1024 * 1024}

_NGINX = """
daemon off;
worker_processes 1;
pid {directory}/{name}.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/{name}-temporary;
    proxy_temp_path {directory}/{name}-temporary;
    fastcgi_temp_path {directory}/{name}-temporary;
    uwsgi_temp_path {directory}/{name}-temporary;
    scgi_temp_path {directory}/{name}-temporary;
{servers}
}}
"""

_BACKEND = """
    sendfile on;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = {rewritten}/small {{ return 200 '{small}'; }}
        location = {rewritten}/echo {{ return 200 '{echo}'; }}
        location {rewritten}/ {{ alias {directory}/files/; }}
        location = {counter} {{ stub_status; }}
    }}
"""

_ECHO = json.dumps(
    {
        "path": "$request_uri",
        "consumer": "$http_x_consumer_name",
        "key": "$http_x_api_key",
        "request_id": "$http_x_request_id",
        "traceparent": "$http_traceparent",
    }
)

_PROXY = """
    upstream backend {{
        server 127.0.0.1:{backend};
        keepalive 128;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location {prefix}/ {{
            proxy_pass http://backend{rewritten}/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_max_temp_file_size 0;
        }}
    }}
"""


COMPILED = Path(".venv/compiled")  # below a checkout


@dataclass(frozen=True, slots=True)
class Workshop:
    """Writes configurations below `directory` for proxies in front of the backend on port `backend`."""

    directory: Path
    backend: int
    compiled: Path | None = None  # where the gateway is installed with its request path compiled; None: it is not
    before: Path | None = None  # a checkout of another commit, compiled or not, to compare with

    def backend_program(self) -> Program:
        """The backend, with a file of each size."""
        files = self.directory / "files"
        files.mkdir()
        for name, size in FILE_SIZES.items():
            (files / name).write_bytes(b"x" * size)
        servers = _BACKEND.format(
            port=self.backend, rewritten=REWRITTEN, small=SMALL, echo=_ECHO, counter=COUNTER, directory=self.directory
        )
        return self.nginx_program("backend", "backend", self.backend, servers)

    def nginx(self) -> Program:
        """The yardstick of all."""
        port = free_port()
        return self.nginx_program(
            "nginx", "nginx", port, _PROXY.format(backend=self.backend, port=port, prefix=PREFIX, rewritten=REWRITTEN)
        )

    def envoy(self) -> Sequence[Program]:
        """The other yardstick, as little of it as there is; none where it is not installed."""
        return self.envoy_program("envoy")

    def gateway(
        self,
        name: str = "gateway",
        *,
        log: bool = False,
        routes: int = 1,
        interpreted: bool = False,
        before: bool = False,
    ) -> Program:
        """The gateway, with nothing but routes."""
        files = self.gateway_files(name, routes=routes)
        output = files / "access.log" if log else "off"
        (files / "middleware.yaml").write_text(f"access_log:\n  output: {output}\n")
        return self.gateway_program(name, files, interpreted=interpreted, before=before)

    def earlier(self) -> Sequence[Program]:
        """The gateway of the other commit, both ways; none where there is none."""
        return [
            self.gateway(name, interpreted=interpreted, before=True) for name, interpreted in self.versions_before()
        ]

    def versions_before(self) -> Sequence[tuple[str, bool]]:
        """The names of the gateway of the other commit, and whether it is interpreted; none where there is none."""
        if self.before is None:
            return ()
        compiled = [("gateway before", False)] if (self.before / COMPILED).is_dir() else []
        return (*compiled, ("gateway before, interpreted", True))

    def interpreted(self) -> Sequence[Program]:
        """The same as it runs without a C compiler; none where all of them do."""
        return (self.gateway("gateway, interpreted", interpreted=True),) if self.compiled else ()

    def profiled_gateway(self, statistics: Path) -> Program:
        """The gateway under cProfile."""
        served = self.gateway(interpreted=True)
        arguments = served.command[served.command.index("serve") :]
        return Program("profile", (sys.executable, "-m", "bench.profiled", str(statistics), *arguments), served.port)

    def stock(self) -> Program:
        """The gateway as an ASGI application on uvicorn as it comes."""
        port = free_port()
        files = self.gateway_files("stock")
        (files / "middleware.yaml").write_text("access_log:\n  output: off\n")
        return Program("gateway on uvicorn", (sys.executable, "-m", "bench.stock", str(files), str(port)), port)

    def plain(self) -> Program:
        """What one would write in an afternoon."""
        port = free_port()
        upstream = f"http://127.0.0.1:{self.backend}{REWRITTEN}"
        return Program("Starlette + httpx2", (sys.executable, "-m", "bench.plain", upstream, str(port)), port)

    def compared(self) -> list[Program]:
        """All of them, the yardsticks first."""
        return [
            self.nginx(),
            *self.envoy(),
            self.gateway(),
            self.gateway("gateway, access log", log=True),
            *self.interpreted(),
            *self.earlier(),
            self.stock(),
            self.plain(),
        ]

    # The programs, on configurations of all kinds.

    def nginx_program(self, name: str, stem: str, port: int, servers: str, log: Path | None = None) -> Program:
        """nginx with one worker. `stem` is what its files are called."""
        (self.directory / f"{stem}-temporary").mkdir()
        file = self.directory / f"{stem}.conf"
        file.write_text(_NGINX.format(directory=self.directory, name=stem, servers=servers))
        command = (_nginx_binary(), "-e", "stderr", "-p", str(self.directory), "-c", str(file))
        return Program(name, command, port, log)

    def envoy_program(self, stem: str, log: Path | None = None, **connection: Any) -> Sequence[Program]:
        """Envoy with one worker, and with more of its HTTP connection manager; none where it is not installed."""
        binary, port = envoy.binary(), free_port()
        if binary is None:
            return ()
        file = self.directory / f"{stem}.json"
        config = envoy.configuration(port, self.backend, PREFIX, REWRITTEN, **connection)
        file.write_text(json.dumps(config))
        return (Program("Envoy", (binary, *envoy.arguments(file)), port, log),)

    def gateway_program(
        self, name: str, files: Path, log: Path | None = None, *, interpreted: bool = False, before: bool = False
    ) -> Program:
        """The gateway as `gateway serve` starts it."""
        port = free_port()
        options = ("--config", str(files), "--host", "127.0.0.1", "--port", str(port), "--admin", "off")
        command = ("-m", "gateway.cli", "serve", *options)
        checkout = (self.before if before else None) or Path.cwd()
        compiled = checkout / COMPILED if before else self.compiled
        sources = checkout if interpreted or compiled is None else compiled
        # -P: not what is in the current directory.
        return Program(name, (sys.executable, "-P", *command), port, log, (("PYTHONPATH", str(sources)),))

    def gateway_files(self, name: str, *, routes: int = 1) -> Path:
        """A configuration directory with routes, of which one is used."""
        files = self.directory / f"config-{name.replace(', ', '-').replace(' ', '-')}"
        files.mkdir()
        (files / "routes.yaml").write_text("routes:\n" + self._routes(routes))
        return files

    def _routes(self, count: int) -> str:
        """`count` routes, of which the one in the middle is used."""
        lines = [self._route(f"/v1/service-{number}", f"/api/v1/service-{number}") for number in range(count - 1)]
        lines.insert(len(lines) // 2, self._route(PREFIX, REWRITTEN))
        return "".join(lines)

    def _route(self, path: str, rewritten: str) -> str:
        return f"- path: {path}/*\n  target: 127.0.0.1:{self.backend}\n  rewrite: {rewritten}/$1\n"


def _nginx_binary() -> str:
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or shutil.which("nginx")
    if found is None:
        raise BenchError("nginx is missing; it is the backend and the yardstick (Debian: apt-get install nginx-light)")
    return found
