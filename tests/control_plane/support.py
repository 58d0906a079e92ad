"""A control plane in this process, and a client of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx2
from fastapi import FastAPI
from starlette.routing import Route

from gateway.config.secrets import KnownSecrets
from gateway.control_plane.app import create_app
from gateway.control_plane.plane import Plane
from gateway.control_plane.rules import TOKEN_FILE
from gateway.control_plane.serve import DATABASE_FILE, Options, opened, server_of

DATABASE = "CONTROL_PLANE_TEST_DATABASE"
TEMPLATE = "CONTROL_PLANE_TEST_TEMPLATE"
"""Variables in which conftest.py says where the database of a test is, and a file that is migrated already."""

BASE = "http://127.0.0.1:9010"


@asynccontextmanager
async def control_plane(
    directory: Path, settings: str = "", database: str | None = None, **changes: Any
) -> AsyncIterator[Plane]:
    """One with these settings (the text of control-plane.yaml), whose database is up to date, without its jobs."""
    if settings:
        (directory / "control-plane.yaml").write_text(settings)
    if database is None:
        database = _database_for(directory)
    options = Options(directory, "127.0.0.1", 9010, database, migrate=True, secrets=KnownSecrets())
    async with opened(options) as plane:
        yield replace(plane, **changes)


@asynccontextmanager
async def client_of(plane: Plane, headers: Mapping[str, str] | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of its application, with the token of this machine unless these headers are given. What fails inside is
    a 500, as it would be over a socket."""
    if headers is None:
        headers = {"authorization": f"Bearer {(plane.state / TOKEN_FILE).read_text().strip()}"}
    transport = httpx2.ASGITransport(_app_of(plane), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE, headers=dict(headers)) as client:
        yield client


_APPS: Final[deque[tuple[Plane, FastAPI]]] = deque(maxlen=2)


def _app_of(plane: Plane) -> FastAPI:
    """Its application, made once: that takes a tenth of a second, for the most part for what FastAPI finds out about
    routes. They know no control plane, so those of an application before serve this one, too."""
    for known, app in _APPS:
        if known is plane:
            return app
    app = create_app(plane)
    if _APPS:
        pairs = zip(app.router.routes, _APPS[-1][1].router.routes, strict=True)
        app.router.routes[:] = [own if isinstance(own, Route) else other for own, other in pairs]
    _APPS.append((plane, app))
    return app


@dataclass(frozen=True, slots=True)
class Served:
    """A control plane that is served on a port of this machine."""

    url: str
    token: str


@asynccontextmanager
async def serving(plane: Plane) -> AsyncIterator[Served]:
    """The control plane on a port, with its jobs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = server_of(plane)
        task = asyncio.create_task(server.serve([listener]))
        token = (plane.state / TOKEN_FILE).read_text().strip()
        try:
            yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", token)
        finally:
            server.should_exit = True
            await task


def _database_for(directory: Path) -> str | None:
    """The PostgreSQL of this test, where there is one; else SQLite, copied from what was migrated once."""
    given = os.environ.get(DATABASE)
    template, path = os.environ.get(TEMPLATE), directory / "state" / DATABASE_FILE
    if given is None and template is not None and not path.exists():
        path.parent.mkdir(0o700, exist_ok=True)
        shutil.copy(template, path)
    return given
