"""The document of the API, in the hands of others: a client that is made of it, and Schemathesis."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from gateway.control_plane.plane import Plane
from tests.control_plane.adapters.peers import FakeController, peer
from tests.control_plane.support import Served, serving
from tests.control_plane.tools import OPENAPI_PYTHON_CLIENT, PYTHON, SCHEMATHESIS

PROGRAMS = Path(__file__).parent / "programs"
DOCUMENT = "/api/v1/openapi.json"
SECONDS = 400

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(SECONDS + 60)]


@pytest.fixture
async def served(plane: Plane) -> AsyncIterator[Served]:
    async with serving(plane) as found:
        yield found


async def _run(*command: str | Path, directory: Path, **environment: str) -> tuple[int, str]:
    """The exit code of a program, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=directory,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")


async def test_a_generated_client_calls_all_seventeen(served: Served, tmp_path: Path) -> None:
    """What `openapi-python-client` makes of the document understands every answer."""
    async with httpx2.AsyncClient(base_url=served.url) as client:
        (tmp_path / "openapi.json").write_bytes((await client.get(DOCUMENT)).content)
    command = (OPENAPI_PYTHON_CLIENT, "generate", "--path", "openapi.json", "--meta", "none")
    code, output = await _run(*command, "--output-path", "generated_client", directory=tmp_path)
    assert code == 0, output
    async with peer(FakeController()) as controller:
        program = (PYTHON, PROGRAMS / "seventeen.py", served.url, served.token, controller.url)
        code, output = await _run(*program, directory=tmp_path, PYTHONPATH=str(tmp_path))
    assert (code, output.strip()) == (0, "all seventeen"), output


async def test_schemathesis_finds_nothing(served: Served, tmp_path: Path) -> None:
    """No input is answered with a failure of ours, or with anything that the document does not say."""
    async with peer(FakeController()) as controller:
        code, output = await _run(
            SCHEMATHESIS,
            "--config-file",
            PROGRAMS / "schemathesis.toml",
            "run",
            f"{served.url}{DOCUMENT}",
            "--header",
            f"Authorization: Bearer {served.token}",
            directory=tmp_path,
            GATEWAY_URL=controller.url,
            PYTHONPATH=str(PROGRAMS),
            PYTHONDONTWRITEBYTECODE="1",
        )
    assert code == 0, output
