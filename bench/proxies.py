"""The proxies that are compared, and the backend behind them: what each is configured with, and how it is started.

Each does the same: a path below /v1/bench/ is sent to the backend as one below /api/v1/bench/, over connections
that are kept. The backend is an nginx that answers with a constant, with a file of the size that its name says, or
with what it received of the request.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import caddy, contenders, envoy, haproxy, interpreters, traefik
from bench.machine import free_port
from bench.programs import Program
from bench.verdict import INTERPRETED, OURS

PREFIX = "/v1/bench"
REWRITTEN = "/api/v1/bench"
COUNTER = "/requests"
SMALL = '{"padding":"' + "x" * 186 + '"}'  # 200 bytes
FILE_SIZES = {"100KB": 100_000, "1MiB": 1024 * 1024, "10MB": 10_000_000}

_NGINX = """
daemon off;
worker_processes 1;
pid {directory}/{name}.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    client_max_body_size 0;
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
        location = {prefix}/small {{ return 200 '{small}'; }}
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
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_read_timeout 300s;
        }}
        location {prefix}/websocket {{
            proxy_pass http://backend{rewritten}/websocket;
            proxy_http_version 1.1;
            proxy_set_header Connection upgrade;
            proxy_set_header Upgrade $http_upgrade;
        }}
    }}
"""

COMPILED = (Path(".venv/profiled"), Path(".venv/compiled"))  # below a checkout; the first that is there is taken
WITHOUT_C = Path("bench/without_c")  # what is in it is imported first, and has nothing in C imported


def compiled_in(checkout: Path) -> Path | None:
    """Where the gateway of a checkout is installed with its request path compiled; None where it is not."""
    return next((checkout.resolve() / each for each in COMPILED if (checkout / each).is_dir()), None)


@dataclass(frozen=True, slots=True)
class Workshop:
    """Writes configurations below `directory` for proxies in front of the backend on port `backend`."""

    directory: Path
    backend: int
    compiled: Path | None = None  # where the gateway is installed with its request path compiled; None: it is not
    before: Path | None = None  # a checkout of another commit, compiled or not, to compare with
    python: str = sys.executable  # runs the gateway, and the other proxies in Python

    def inside(self, name: str, backend: int | None = None) -> Workshop:
        """The same with a directory of its own below this one, and with another backend."""
        directory = self.directory / name
        directory.mkdir()
        directory.chmod(0o755)
        return replace(self, directory=directory, backend=backend or self.backend)

    def backend_program(self) -> Program:
        """The backend, with a file of each size."""
        files = self.directory / "files"
        files.mkdir()
        for name, size in FILE_SIZES.items():
            (files / name).write_bytes(b"x" * size)
        servers = _BACKEND.format(
            port=self.backend,
            prefix=PREFIX,
            rewritten=REWRITTEN,
            small=SMALL,
            echo=_ECHO,
            counter=COUNTER,
            directory=self.directory,
        )
        return self.nginx_program("backend", "backend", self.backend, servers)

    def nginx(self) -> Program:
        """The yardstick of all."""
        port = free_port()
        return self.nginx_program(
            "nginx", "nginx", port, _PROXY.format(backend=self.backend, port=port, prefix=PREFIX, rewritten=REWRITTEN)
        )

    def many_locations(self, count: int) -> Program:
        """nginx with so many locations, and with a page that says `@version@`, to be replaced before it is started."""
        port = free_port()
        location = "location /v1/service-{0}/ {{ proxy_pass http://backend/api/v1/service-{0}/; }}\n"
        more = "".join(location.format(number) for number in range(count - 1))
        server = _PROXY.format(backend=self.backend, port=port, prefix=PREFIX, rewritten=REWRITTEN)
        first, brace, rest = server.partition("backlog=1024;")
        version = "location = /version { return 200 '@version@'; }\n"
        return self.nginx_program("nginx", "nginx-many", port, f"{first}{brace}\n{version}{more}{rest}")

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
        without_c: bool = False,
        before: bool = False,
        files: str = "",
    ) -> Program:
        """The gateway, with nothing but routes. `files`: what its directory is called, if not as it is."""
        directory = self.gateway_files(files or name, routes=routes)
        output = directory / "access.log" if log else "off"
        (directory / "middleware.yaml").write_text(f"access_log:\n  output: {output}\n")
        return self.gateway_program(name, directory, interpreted=interpreted, without_c=without_c, before=before)

    def earlier(self) -> Sequence[Program]:
        """The gateway of the other commit, both ways; none where there is none."""
        return [
            self.gateway(name, interpreted=interpreted, before=True) for name, interpreted in self.versions_before()
        ]

    def versions_before(self) -> Sequence[tuple[str, bool]]:
        """The names of the gateway of the other commit, and whether it is interpreted; none where there is none."""
        if self.before is None:
            return ()
        compiled = [("gateway before", False)] if compiled_in(self.before) else []
        return (*compiled, ("gateway before, interpreted", True))

    def interpreted(self) -> Sequence[Program]:
        """The same as `pip install` installs it; none where all of them are."""
        return (self.gateway("gateway, interpreted", interpreted=True),) if self.compiled else ()

    def uncompiled(self) -> Sequence[Program]:
        """The same, and as it is installed where there is no C compiler."""
        return (*self.interpreted(), self.gateway("gateway, no compiler", interpreted=True, without_c=True))

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
        return self._python_program("gateway on uvicorn", port, Path.cwd(), "bench.stock", str(files), str(port))

    def plain(self) -> Program:
        """What one would write in an afternoon."""
        port = free_port()
        upstream = f"http://127.0.0.1:{self.backend}{REWRITTEN}"
        return self._python_program("Starlette + httpx2", port, Path.cwd(), "bench.plain", upstream, str(port))

    def haproxy(self) -> Sequence[Program]:
        """HAProxy; none where it is not installed."""
        return self.haproxy_program("haproxy")

    def caddy(self) -> Sequence[Program]:
        """Caddy; none where it is not installed."""
        return self.caddy_program("caddy")

    def traefik(self) -> Sequence[Program]:
        """Traefik; none where it is not installed."""
        return self.traefik_program("traefik")

    def others(self) -> list[Program]:
        """All that are not ours, the yardsticks first."""
        return [self.nginx(), *self.haproxy(), *self.envoy(), *self.caddy(), *self.traefik()]

    def compared(self) -> list[Program]:
        """All of them, the yardsticks first."""
        ours = [self.gateway(), *self.uncompiled(), *self.earlier()]
        return [*self.others(), *ours, self.stock(), self.plain()]

    # The programs, on configurations of all kinds.

    def nginx_program(self, name: str, stem: str, port: int, servers: str, log: Path | None = None) -> Program:
        """nginx with one worker. `stem` is what its files are called."""
        (self.directory / f"{stem}-temporary").mkdir()
        file = self.directory / f"{stem}.conf"
        file.write_text(_NGINX.format(directory=self.directory, name=stem, servers=servers))
        command = (contenders.nginx(), "-e", "stderr", "-p", str(self.directory), "-c", str(file))
        return Program(name, command, port, log)

    def envoy_program(self, stem: str, log: Path | None = None, **connection: Any) -> Sequence[Program]:
        """Envoy with one worker, and with more of its HTTP connection manager; none where it is not installed."""
        binary, port = contenders.find("envoy"), free_port()
        if binary is None:
            return ()
        file = self.directory / f"{stem}.json"
        config = envoy.configuration(port, self.backend, PREFIX, REWRITTEN, **connection)
        file.write_text(json.dumps(config))
        return (Program("Envoy", (binary, *envoy.arguments(file)), port, log),)

    def haproxy_program(
        self, stem: str, log: Path | None = None, rules: str = "", name: str = "HAProxy"
    ) -> Sequence[Program]:
        """HAProxy with one thread, and with more rules; none where it is not installed."""
        binary, port = contenders.find("haproxy"), free_port()
        if binary is None:
            return ()
        file = self.directory / f"{stem}.cfg"
        file.write_text(haproxy.configuration(port, self.backend, PREFIX, REWRITTEN, rules, log is not None))
        return (Program(name, (binary, "-db", "-f", str(file)), port, log, output=log),)

    def caddy_program(
        self, stem: str, log: Path | None = None, handlers: list[dict[str, Any]] | None = None
    ) -> Sequence[Program]:
        """Caddy, and with more handlers; none where it is not installed."""
        binary, port = contenders.find("caddy"), free_port()
        if binary is None:
            return ()
        file = self.directory / f"{stem}.json"
        file.write_text(json.dumps(caddy.configuration(port, self.backend, PREFIX, REWRITTEN, handlers, log)))
        home = ("HOME", str(self.directory))
        command = (binary, "run", "--config", str(file))
        return (Program("Caddy", command, port, log, (home, *caddy.ENVIRONMENT)),)

    def traefik_program(
        self, stem: str, log: Path | None = None, middlewares: dict[str, Any] | None = None
    ) -> Sequence[Program]:
        """Traefik, and with more middlewares; none where it is not installed."""
        binary, port = contenders.find("traefik"), free_port()
        if binary is None:
            return ()
        static, dynamic = self.directory / f"{stem}.yml", self.directory / f"{stem}-dynamic.yml"
        static.write_text(json.dumps(traefik.static(port, dynamic, log, self.backend)))  # JSON is YAML
        dynamic.write_text(json.dumps(traefik.dynamic(self.backend, PREFIX, REWRITTEN, middlewares)))
        return (Program("Traefik", (binary, f"--configfile={static}"), port, log),)

    def gateway_program(
        self,
        name: str,
        files: Path,
        log: Path | None = None,
        *,
        interpreted: bool = False,
        without_c: bool = False,
        before: bool = False,
    ) -> Program:
        """The gateway as `gateway serve` starts it."""
        port = free_port()
        options = ("--config", str(files), "--host", "127.0.0.1", "--port", str(port), "--admin", "off")
        checkout = (self.before if before else None) or Path.cwd()
        compiled = compiled_in(checkout) if before else self.compiled
        if name == OURS and compiled is None:
            name = INTERPRETED
        sources = checkout if interpreted or compiled is None else compiled
        program = self._python_program(name, port, sources, "gateway.cli", "serve", *options, without_c=without_c)
        return replace(program, log=log)

    def _python_program(
        self, name: str, port: int, sources: Path, module: str, *arguments: str, without_c: bool = False
    ) -> Program:
        """A module of `sources`. -P: not what is in the current directory."""
        hidden = (str(WITHOUT_C.resolve()),) if without_c else ()
        paths = (*hidden, str(sources), *interpreters.libraries(self.python))
        command = (self.python, "-P", "-m", module, *arguments)
        return Program(name, command, port, environment=(("PYTHONPATH", ":".join(paths)),))

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
