"""A control plane with gateways of two environments, each a process of its own, and clients that never stop."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.control_plane.process import ControlPlaneProcess, running_control_plane
from tests.support import GatewayProcess, eventually, free_port, read_head

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")


@asynccontextmanager
async def backend(status: int) -> AsyncIterator[int]:
    """One that answers every request so, with its port; that port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = f"HTTP/1.1 {status} X\r\ncontent-length: 5\r\n\r\n{writer.get_extra_info('sockname')[1]:05}".encode()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await read_head(reader):
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def routes(port: int) -> dict[str, str]:
    """The files of a revision whose only route leads there."""
    return {"routes.yaml": f"routes:\n- path: /*\n  target: http://127.0.0.1:{port}\n"}


@dataclass
class Traffic:
    """Clients that ask on and on. `failures`: what came of those that failed, and by which gateway."""

    url: str
    answered: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    async def run(self) -> None:
        limits = httpx2.Limits(max_connections=8)
        async with httpx2.AsyncClient(base_url=self.url, timeout=10, limits=limits, trust_env=False) as http:
            while True:
                try:
                    response = await http.get("/")
                except httpx2.HTTPError as error:
                    self.failures.append((type(error).__name__, ""))
                else:
                    self.answered += 1
                    if response.status_code != 200:
                        self.failures.append((str(response.status_code), response.headers.get("x-gateway", "")))
                await asyncio.sleep(0.005)


@asynccontextmanager
async def asking(url: str, clients: int = 2) -> AsyncIterator[Traffic]:
    """Clients that ask while the block runs."""
    traffic = Traffic(url)
    tasks = [asyncio.create_task(traffic.run()) for _ in range(clients)]
    try:
        await eventually(lambda: traffic.answered > 20)
        yield traffic
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def nginx_before(directory: Path, gateways: list[GatewayProcess]) -> Iterator[str]:
    """nginx in front of gateways, which says in `x-gateway` who answered; its URL."""
    assert NGINX is not None
    port = free_port()
    servers = "".join(f"server 127.0.0.1:{each.port};" for each in gateways)
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {directory}; proxy_temp_path {directory};\n"
        f" fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};\n"
        f" upstream gateways {{ {servers} }}\n"
        f" server {{ listen 127.0.0.1:{port}; add_header x-gateway $upstream_addr always;\n"
        f" location / {{ proxy_pass http://gateways; proxy_next_upstream off; }} }} }}\n"
    )
    process = subprocess.Popen([NGINX, "-p", str(directory), "-c", str(directory / "nginx.conf")])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@dataclass
class Estate:
    """All of it. `gateways` and `environments` by name."""

    plane: ControlPlaneProcess
    gateways: dict[str, GatewayProcess] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    environments: dict[str, str] = field(default_factory=dict)

    def stop(self, name: str) -> None:
        """End this gateway, which may be another process by now."""
        self.gateways[name].stop()

    async def ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        async with httpx2.AsyncClient(base_url=f"{self.plane.url}/api/v1/", headers=self.plane.headers) as http:
            response = await http.request(method, path, json=body or None, timeout=30)
            assert response.is_success, response.text
            return dict(response.json()) if response.content else {}

    async def push(self, port: int) -> str:
        return str((await self.ask("POST", "revisions", files=routes(port)))["digest"])

    async def rollout(self, environment: str, **body: Any) -> str:
        path = f"environments/{self.environments[environment]}/rollouts"
        return str((await self.ask("POST", path, **body))["uuid"])

    async def served(self, name: str) -> int:
        """The port of the backend that a gateway leads to."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            return int((await http.get(self.gateways[name].url + "/")).text)

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        """Ask until it is so."""
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110  what is asked is another process
                await asyncio.sleep(0.2)

    async def until_all_run(self, digest: str) -> None:
        """Wait until all gateways say that they run this."""

        async def run() -> bool:
            return set((await self.running()).values()) == {digest}

        await self.until(run)

    async def ended(self, rollout: str, seconds: float = 60) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while True:
                found = await self.ask("GET", f"rollouts/{rollout}")
                if found["state"] in ("done", "rolled_back", "failed"):
                    return found
                await asyncio.sleep(0.2)

    async def running(self) -> dict[str, str | None]:
        """What each gateway says that it runs."""
        found = await self.ask("GET", "gateways/status")
        return {
            each["name"]: next((one["revision"] for one in each["instances"] if one["connected"]), None)
            for each in found["gateways"]
        }


@asynccontextmanager
async def estate(
    directory: Path, local: dict[str, str], arguments: tuple[str, ...] = (), **places: tuple[str, ...]
) -> AsyncIterator[Estate]:
    """Gateways that serve these local files, in the environments `places`; all speak with the control plane."""
    (directory / "plane").mkdir()
    (directory / "plane" / "control-plane.yaml").write_text("{}\n")
    with running_control_plane(directory / "plane", arguments) as plane:
        async with belonging(directory, plane, plane.url, local, **places) as made:
            yield made


@asynccontextmanager
async def belonging(
    directory: Path, plane: ControlPlaneProcess, url: str, local: dict[str, str], **places: tuple[str, ...]
) -> AsyncIterator[Estate]:
    """The same, with a control plane that runs already, and that the gateways find at this URL."""
    async with AsyncExitStack() as stack:
        made = Estate(plane)
        for environment, names in places.items():
            answer = await made.ask("POST", "environments", name=environment, displayName=environment)
            made.environments[environment] = answer["uuid"]
            for name in names:
                made.ids[name] = await _registered(made, name, answer["uuid"])
                token = (await made.ask("POST", f"gateways/{made.ids[name]}/tokens"))["token"]
                files = directory / name / "config"
                files.mkdir(parents=True)
                for file, text in local.items():
                    (files / file).write_text(text)
                (files / "token").write_text(token)
                (files / "middleware.yaml").write_text(
                    f"control_plane:\n  url: {url}\n  token_file: token\n  heartbeat: 1\n"
                )
                gateway = made.gateways[name] = GatewayProcess(files)
                stack.callback(made.stop, name)
                gateway.start()

        async def heard() -> bool:
            return {name for name, revision in (await made.running()).items() if revision} == set(made.gateways)

        await made.until(heard)
        yield made


async def _registered(made: Estate, name: str, environment: str) -> str:
    answer = await made.ask(
        "POST",
        "gateways",
        name=name,
        displayName=name,
        gatewayType="EGRESS",
        environmentIds=[environment],
        adapterConfig={"kind": "flowmaster"},
    )
    return str(answer["uuid"])
