"""One gateway and one backend for all of these tests."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.server.backend import Backend, running_backend
from tests.support import GatewayProcess, running_gateway

ROUTES = """
- path: /e/*
  target: 127.0.0.1:{port}
- path: /small/*
  target: 127.0.0.1:{port}
  max_body: 1KiB
- path: /brief/*
  target: 127.0.0.1:{port}
  timeout: {{response_header: 1s}}
"""

LIMITS = """
limits:
  header_timeout: 500ms
  keep_alive: 1s
  stall: 500ms
  head: 4KiB
  url: 512
  headers: 20
"""


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
    """A gateway with small limits and short clocks."""
    directory = tmp_path_factory.mktemp("site")
    with running_gateway(directory, ROUTES.format(port=backend.port), LIMITS) as gateway:
        yield Site(gateway, backend)
    assert " ERROR " not in gateway.log
