"""The network of these tests: a small one in this process, or the real one."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agents.fake_network import FakeNetwork
from tests.agents.world import World, program, running_world


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[FakeNetwork]:
    """Daemons in this process that speak the bytes of real ones."""
    async with FakeNetwork(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def daemons_run() -> None:
    """Whether those of the wheel run here; else there is only what was recorded of them."""
    try:
        subprocess.run([program("pilot-daemon"), "-version"], capture_output=True, check=True, timeout=20)
    except FileNotFoundError as error:
        pytest.fail(str(error))
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"the daemon does not run here ({error}): test_recorded.py has what it said elsewhere")


@pytest.fixture
async def world(daemons_run: None) -> AsyncIterator[World]:
    """Real daemons."""
    async with running_world() as made:
        yield made
