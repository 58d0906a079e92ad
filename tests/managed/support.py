"""A gateway's side of a control plane in this process, without servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.config.secrets import KnownSecrets
from gateway.deadlines import Deadlines
from gateway.http import Report
from gateway.live import Owner
from gateway.managed.gateway import SERVICE, ManagedGateway
from gateway.reload import Reloader
from gateway.upstream.transport import Connector, Resolver
from tests.support import eventually

ONE = b"routes: [{path: /, respond: {status: 200, body: 'one'}}]\n"
TWO = b"routes: [{path: /, respond: {status: 200, body: 'two'}}]\n"
WRONG = b"routes:\n- {path: /, respond: {status: 9999}}\n"


@dataclass
class Managed:
    """What runs, and the directory that it reads."""

    directory: Path
    reloader: Reloader
    managed: ManagedGateway
    reports: list[Report]

    @property
    def body(self) -> str | None:
        """What its only route answers."""
        current = self.reloader.current
        respond = None if current is None else current.configuration.routes.routes[0].respond
        return None if respond is None else str(respond.body)

    async def until(self, body: str) -> None:
        """Wait until it serves this."""
        await eventually(lambda: self.body == body, message=f"{self.body} is served, and not {body}")

    async def until_kept(self, body: str) -> None:
        """Wait until it serves this as what the control plane wants, and has it on its disk."""
        await self.until(body)
        await self.until_source("control-plane")

    async def until_source(self, source: str) -> None:
        """Wait until what it serves is from there."""
        await eventually(lambda: self.managed.applying.source == source, message=f"{self.managed.applying.source}")


def write(directory: Path, files: Mapping[str, bytes | str]) -> None:
    """Write local files."""
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def calling(url: str, token: str) -> str:
    """A middleware.yaml that names a control plane."""
    return f"control_plane: {{url: '{url}', token: {token}, name: edge, heartbeat: 1}}\n"


@asynccontextmanager
async def managed(directory: Path, environment: Mapping[str, str] | None = None) -> AsyncIterator[Managed]:
    """A gateway that has started there."""
    owner, reports = Owner(), list[Report]()
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    environment, secrets = environment or {}, KnownSecrets()
    reloader = Reloader(directory, environment, owner, connector, secrets=secrets)
    made = owner.hold(SERVICE, ManagedGateway(reloader, environment, secrets, reports))
    await reloader.start(made.kept)
    made.begin()
    try:
        yield Managed(directory, reloader, made, reports)
    finally:
        await reloader.stop()
