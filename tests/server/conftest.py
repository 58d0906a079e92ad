"""One gateway and one backend for all of these tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server.backend import Backend, running_backend
from tests.support import GatewayProcess, running_gateway

ROUTES = """
- path: /e/*
  target: 127.0.0.1:{port}
- path: /small/*
  target: 127.0.0.1:{port}
  max_body: 1KiB
"""

LIMITS = """
limits:
  head: 4KiB
  url: 512
  headers: 20
"""

STALL = 3.0  # seconds
HASTY = f"""
limits:
  header_timeout: 2500ms
  keep_alive: 1s
  stall: {STALL}s
"""
BEFORE_LONG = 8.0  # seconds: what is waited for is the clock of a hasty gateway, not the usual one, of ten seconds


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway in front of a backend."""

    gateway: GatewayProcess
    backend: Backend

    @property
    def port(self) -> int:
        return self.gateway.port


@pytest.fixture(scope="session")
def backend() -> Iterator[Backend]:
    with running_backend() as backend:
        yield backend


@pytest.fixture(scope="session")
def site(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway with small limits, and the usual clocks: on a busy machine clients are slow."""
    yield from _running(backend, tmp_path_factory.mktemp("site"), LIMITS)


@pytest.fixture(scope="session")
def hasty(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway with short clocks."""
    yield from _running(backend, tmp_path_factory.mktemp("hasty"), HASTY)


def _running(backend: Backend, directory: Path, limits: str) -> Iterator[Site]:
    with running_gateway(directory, ROUTES.format(port=backend.port), limits) as gateway:
        yield Site(gateway, backend)
    assert " ERROR " not in gateway.log
