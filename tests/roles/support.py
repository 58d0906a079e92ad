"""Gateways with a part of the roles, each with files of its own, as on hosts of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import httpx2

from tests.redis_server import RedisServer
from tests.support import GatewayProcess, read_head, scripted_backend


class RoleProcess(GatewayProcess):
    """One that may be no router: then the admin port says whether it is up."""

    def wait_until_healthy(self, path: str = "/health/ready", seconds: float = 60.0) -> None:
        routes = not any(each.startswith("--roles") and "router" not in each for each in self.arguments)
        super().wait_until_healthy(path if routes else "", seconds)

    def _answers(self, path: str) -> bool:
        assert self.process is not None
        return super()._answers(path) if path else self.process.poll() is None and self.health()["digest"] is not None

    def health(self) -> dict[str, Any]:
        """What the admin port says, but for what a busy machine does to its loop; nothing where it does not answer."""
        connection = HTTPConnection("127.0.0.1", self.admin_port, timeout=30)
        try:
            connection.request("GET", "/health")
            text = connection.getresponse().read()
        except (OSError, HTTPException):
            text = b'{"digest": null, "failing": []}'
        finally:
            connection.close()
        answer: dict[str, Any] = json.loads(text)
        answer["failing"] = [each for each in answer["failing"] if "kept everything waiting" not in each]
        return answer

    def ask(self, path: str) -> Any:
        """What the admin port answers."""
        return httpx2.get(f"http://127.0.0.1:{self.admin_port}{path}", timeout=30).raise_for_status().json()

    def send(self, path: str, message: Any) -> Any:
        """The same of a change."""
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        return httpx2.post(url, json=message, headers=self.admin_token, timeout=30).raise_for_status().json()

    def status(self, path: str) -> int:
        """Of what a client gets."""
        return httpx2.get(f"{self.url}{path}", timeout=30).status_code

    def kill(self) -> None:
        """It is gone at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)


def middleware(redis: RedisServer, directory: Path) -> str:
    """A bus over this Redis, for the test that has this directory."""
    return f"redis: {{url: {redis.url}, timeout: 1s, prefix: '{directory.name}:'}}\nbus: redis\n"


@contextmanager
def running(
    directory: Path, roles: str, routes: str, middleware: str, auth: str | None = None
) -> Iterator[RoleProcess]:
    """A process with these roles; ended afterwards."""
    config = directory / roles.replace(",", "-") / "config"
    number = 1
    while config.exists():
        number += 1
        config = directory / f"{roles.replace(',', '-')}-{number}" / "config"
    config.mkdir(parents=True)
    gateway = RoleProcess(config, arguments=(f"--roles={roles}",))
    gateway.write(routes, middleware, auth)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()


class CheckedBackend:
    """Answers checks while it is `well`, and all else always."""

    def __init__(self) -> None:
        self.port = 0
        self.well = True
        self.checks = 0
        self.others = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection."""
        while True:
            check = b" /health" in await read_head(reader)
            self.checks += check
            self.others += not check
            status = b"500 Oops" if check and not self.well else b"200 OK"
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\nok" % status)


@asynccontextmanager
async def checked_backend() -> AsyncIterator[CheckedBackend]:
    """A running one."""
    answering = CheckedBackend()
    async with scripted_backend(answering) as answering.port:
        yield answering


class Load:
    """Requests to one gateway, one after the other, all the time."""

    def __init__(self, url: str) -> None:
        self.statuses: dict[int, int] = {}
        self.seconds: list[float] = []
        self._url = url
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Load:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    @property
    def total(self) -> int:
        return sum(self.statuses.values())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        async with httpx2.AsyncClient(timeout=30) as client:
            while True:
                began = loop.time()
                status = (await client.get(self._url)).status_code
                self.seconds.append(loop.time() - began)
                self.statuses[status] = self.statuses.get(status, 0) + 1
                await asyncio.sleep(0.002)
