"""The adapter against a mock server that serves the documents of the real controller, and holds requests to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import httpx2
import pytest
import yaml

from gateway.control_plane.adapters.protocol import AdapterError, Revision
from tests.control_plane.adapters.peers import ADMIN, Answer, Asked, Peer, on_premise, peer, spec
from tests.control_plane.tools import NODE, PRISM
from tests.support import eventually, free_port

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(180)]

DOCUMENTS = Path(__file__).parents[1] / "data/gateway-controller"


def example(name: str) -> dict[str, Any]:
    """The example of a schema; that of a RestApi has a context that its own pattern forbids."""
    document = yaml.safe_load((DOCUMENTS / "management-openapi.yaml").read_text())
    found = dict(document["components"]["schemas"][name]["example"])
    return {**found, "spec": {**found["spec"], "context": "/api"}} if name == "RestAPIRequest" else found


@contextlib.contextmanager
def mocking(document: str) -> Iterator[int]:
    """Prism, which answers with 400 to a request that is not as the document says."""
    port = free_port()
    command = [str(NODE), str(PRISM), "mock", "--host", "127.0.0.1", "--port", str(port)]
    process = Popen([*command, str(DOCUMENTS / document)], stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2):
        return True
    return False


@pytest.fixture(scope="module")
def controller() -> Iterator[tuple[str, str]]:
    """The management API, and the URL of the admin API's health."""
    with mocking("management-openapi.yaml") as management, mocking("admin-openapi.yaml") as admin:
        asyncio.run(eventually(lambda: accepts(management) and accepts(admin), 60))
        yield f"http://127.0.0.1:{management}", f"http://127.0.0.1:{admin}/health"


@contextlib.asynccontextmanager
async def before(url: str, prefer: dict[str, str]) -> AsyncIterator[Peer]:
    """A proxy that asks the mock server for a status of its document, by method."""
    async with httpx2.AsyncClient(base_url=url) as client:

        async def forward(asked: Asked) -> Answer:
            sent = ("authorization", "content-type")
            headers: dict[str, str] = {name: asked.headers[name] for name in sent if name in asked.headers}
            if asked.method in prefer:
                headers["Prefer"] = f"code={prefer[asked.method]}"
            answer = await client.request(asked.method, asked.target, headers=headers, content=asked.body)
            return answer.status_code, answer.text

        async with peer(forward) as served:
            yield served


def resources(*documents: dict[str, Any]) -> Revision:
    return Revision("0" * 64, {"resources.yaml": "\n---\n".join(json.dumps(each) for each in documents).encode()})


EXAMPLES = ["LLMProviderTemplateRequest", "LLMProviderConfigurationRequest", "LLMProxyConfigurationRequest",
            "MCPProxyConfigurationRequest", "RestAPIRequest"]  # fmt: skip


async def test_a_controller_is_registered_counted_and_shown(controller: tuple[str, str]) -> None:
    """With what the examples of its document say."""
    adapter = on_premise()
    gateway = spec(controller[0], ADMIN, healthUrl=controller[1])
    registered = await adapter.register(gateway)
    assert (registered.status, registered.config) == ("ACTIVE", {"detectedKind": "gateway-controller"})
    assert (await adapter.check_health(gateway)).healthy
    metrics = await adapter.metrics(gateway)
    assert (metrics.provider_count, metrics.proxy_count, metrics.mcp_count) == (2, 2, 5)
    assert (metrics.resource_count, metrics.request_rate) == (14, None)
    shown = {(each.kind, each.name) for each in await adapter.deployed(gateway)}
    assert {("llm-provider", "wso2-openai-provider"), ("llm-proxy", "openai-proxy")} <= shown
    await adapter.close()


async def test_its_examples_are_deployed_and_undeployed(controller: tuple[str, str]) -> None:
    """Every kind, replaced where it is there and made where it is not; each request is as the document says."""
    adapter = on_premise()
    revision = resources(*map(example, EXAMPLES))
    for prefer in ({}, {"PUT": "404"}):
        async with before(controller[0], prefer) as served:
            gateway = spec(served.url, ADMIN, kind="gateway-controller")
            deployed = await adapter.deploy(gateway, revision)
            assert [each.state for each in deployed.resources] == ["deployed"] * len(EXAMPLES)
            await adapter.undeploy(gateway, revision)
        assert sum(asked.method == "POST" for asked in served.asked) == (len(EXAMPLES) if prefer else 0)
    await adapter.close()


@pytest.mark.parametrize(("prefer", "words"), [({"PUT": "404", "POST": "409"}, "409"), ({"PUT": "400"}, "400")])
async def test_what_it_refuses_has_failed(controller: tuple[str, str], prefer: dict[str, str], words: str) -> None:
    """A conflict with what cannot be replaced either, and what it cannot use."""
    adapter = on_premise()
    async with before(controller[0], prefer) as served:
        deployed = await adapter.deploy(
            spec(served.url, ADMIN, kind="gateway-controller"), resources(example(EXAMPLES[1]))
        )
    await adapter.close()
    assert deployed.state == "failed"
    assert f"answered {words}" in str(deployed.resources[0].error)


async def test_a_resource_that_is_not_as_its_document_says_has_failed(controller: tuple[str, str]) -> None:
    """The mock server names it, and so does the resource."""
    adapter = on_premise()
    wrong = {**example(EXAMPLES[1]), "spec": {"displayName": 7}}
    deployed = await adapter.deploy(spec(controller[0], ADMIN, kind="gateway-controller"), resources(wrong))
    await adapter.close()
    assert deployed.state == "failed"


async def test_without_credentials_it_refuses(controller: tuple[str, str]) -> None:
    """401 is an error, and no count of 0."""
    adapter = on_premise()
    with pytest.raises(AdapterError) as raised:
        await adapter.metrics(spec(controller[0], kind="gateway-controller"))
    await adapter.close()
    assert (raised.value.reason, raised.value.status) == ("unauthorized", 502)
