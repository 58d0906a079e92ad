"""An application that says who calls it, behind the access of a control plane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from gateway.admin.listening import Listening
from gateway.config.secrets import KnownSecrets
from gateway.control_plane.access import Access
from gateway.control_plane.refusals import Refusals
from gateway.control_plane.rules import RuleFiles

ORGANIZATION = uuid4()
HERE = Listening("127.0.0.1", 9010)


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    """Says who calls, and what came."""
    caller = scope["state"]["caller"] if "state" in scope else None
    body = await Request(scope, receive).body()
    content = {"name": caller and caller.name, "roles": caller and dict(caller.roles), "body": body.decode()}
    await JSONResponse(content)(scope, receive, send)


@asynccontextmanager
async def asking(
    directory: Path, files: Mapping[str, str], listening: Listening = HERE, refusals: Refusals | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of it, with these files in the directory of the control plane."""
    for name, text in files.items():
        (directory / name).write_text(text)
    rules = RuleFiles(directory, directory / "state", listening, {}, KnownSecrets())
    await rules.start()
    access = Access(rules.rules, listening, {"default": ORGANIZATION}, refusals)
    transport = httpx2.ASGITransport(access.guarding(_application), client=("127.0.0.1", 1234))
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:9010") as client:
            yield client
    finally:
        await rules.stop()
