"""The Kubernetes source and a real API server (1.20). Without one, test_kubernetes.py has recorded traffic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from gateway.outside.http_client import http_client
from gateway.registry.kubernetes import KubernetesSource
from gateway.registry.kubernetes_api import Access, Api, ExpiredError, parse_event
from tests.registry.kubernetes_server import KubernetesServer, running_kubernetes
from tests.registry.support import Heard, listening

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("kubernetes")]

ONE, TWO, THREE = (f"10.0.0.{number}:8080" for number in range(1, 4))


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesServer]:
    """One API server for all tests: it takes some seconds to start."""
    with running_kubernetes(tmp_path_factory.mktemp("kubernetes")) as server:
        yield server


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A file with the administrator's token."""
    (tmp_path / "token").write_text("administrator")
    return tmp_path / "token"


@pytest.fixture
def account_token(kubernetes: KubernetesServer, tmp_path: Path) -> Path:
    """A file with the token of a service account that may do nothing yet."""
    (tmp_path / "account").write_text(kubernetes.token_of("gateway"))
    return tmp_path / "account"


def heard(server: KubernetesServer, service: str, token: Path) -> AbstractAsyncContextManager[Heard]:
    return listening(KubernetesSource("default", service, "http", Access(server.url, token, server.ca)))


async def test_slices_change(kubernetes: KubernetesServer, token: Path) -> None:
    """They come, change, are emptied and go, and pods that end serve where there is no other."""
    kubernetes.put("a", "10.0.0.1", service="one")
    async with heard(kubernetes, "one", token) as said:
        await said.has(ONE)
        kubernetes.put("b", "10.0.0.2", "10.0.0.1", service="one")
        await said.has(ONE, TWO)
        kubernetes.put("a", "10.0.0.3", service="one", ready=False, serving=True, terminating=True)
        await said.has(ONE, TWO)
        kubernetes.delete("b")
        await said.has(THREE)
        kubernetes.put("a", service="one")
        await said.has()
        assert not said.lost


async def test_more_slices_than_a_page_holds(kubernetes: KubernetesServer, token: Path) -> None:
    """A list is asked for page by page."""
    for number in range(12):
        kubernetes.put(f"page-{number}", f"10.0.1.{number}", service="many")
    async with heard(kubernetes, "many", token) as said:
        await said.has(*(f"10.0.1.{number}:8080" for number in range(12)))


async def test_a_service_account_needs_a_role(kubernetes: KubernetesServer, account_token: Path) -> None:
    """What is missing is said, and the instances are found as soon as it is there."""
    kubernetes.put("c", "10.0.0.1", service="three")
    async with heard(kubernetes, "three", account_token) as said:
        await said.is_lost("bind the gateway's service account to a Role in namespace default")
        kubernetes.allow("gateway")
        await said.has(ONE)


async def test_a_restart(kubernetes: KubernetesServer, token: Path) -> None:
    """The last instances stay while the API server is away, and others are used when it is back."""
    kubernetes.put("d", "10.0.0.1", service="four")
    async with heard(kubernetes, "four", token) as said:
        await said.has(ONE)
        kubernetes.stop()
        await said.is_lost("the API server does not answer")
        assert said.addresses == [ONE]
        kubernetes.start()
        kubernetes.put("d", "10.0.0.2", service="four")
        await said.has(TWO)
    assert await _is_gone(kubernetes, token, revision="1")


async def _is_gone(kubernetes: KubernetesServer, token: Path, revision: str) -> bool:
    """Whether a watch from this revision is answered as expired."""
    async with await http_client(10, ca=kubernetes.ca) as client:
        api = Api(client, Access(kubernetes.url, token), "default", "four")
        await api.choose_version()
        async with api.watch(revision) as pieces:
            with pytest.raises(ExpiredError):
                parse_event(await anext(pieces), "http")
    return True
