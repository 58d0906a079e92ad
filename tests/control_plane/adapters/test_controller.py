"""Resources of a gateway-controller are made once, replaced, counted and deleted; its figures are real or absent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.control_plane.adapters.protocol import AdapterError, Metrics, Revision
from tests.control_plane.adapters.peers import ADMIN, Answer, Asked, FakeController, on_premise, peer, spec

API = "gateway.api-platform.wso2.com/v1"
PROVIDER = {"apiVersion": API, "kind": "LlmProvider", "metadata": {"name": "openai"}, "spec": {"displayName": "OpenAI"}}
PROXY = {"apiVersion": API, "kind": "LlmProxy", "metadata": {"name": "chat"}, "spec": {"provider": {"id": "openai"}}}


def revision(*documents: dict[str, Any]) -> Revision:
    return Revision("0" * 64, {"resources.yaml": "\n---\n".join(map(json.dumps, documents)).encode()})


def lying(controller: FakeController, lie: Callable[[Asked, Answer], Awaitable[Answer]]) -> Any:
    """A controller whose answers pass through `lie`."""

    async def answer(asked: Asked) -> Answer:
        return await lie(asked, await controller(asked))

    return answer


async def test_resources_are_made_replaced_shown_and_deleted() -> None:
    """The provider comes before the proxy that needs it, whatever their order in the files."""
    controller, adapter = FakeController(), on_premise()
    async with peer(controller) as served:
        gateway = spec(served.url, ADMIN, kind="gateway-controller")
        deployed = await adapter.deploy(gateway, revision(PROXY, PROVIDER))
        assert [(each.kind, each.name, each.state) for each in deployed.resources] == [
            ("llm-provider", "openai", "deployed"),
            ("llm-proxy", "chat", "deployed"),
        ]
        again = await adapter.deploy(gateway, revision({**PROVIDER, "spec": {"displayName": "Other"}}))
        assert again.state == "deployed"
        assert controller.resources["/llm-providers/openai"]["spec"] == {"displayName": "Other"}
        assert {(each.kind, each.name) for each in await adapter.deployed(gateway)} == {
            ("llm-provider", "openai"),
            ("llm-proxy", "chat"),
        }
        metrics = await adapter.metrics(gateway)
        assert (metrics.resource_count, metrics.provider_count, metrics.proxy_count, metrics.mcp_count) == (2, 1, 1, 0)
        assert (metrics.request_rate, metrics.error_rate, metrics.average_latency_ms) == (None, None, None)
        for _ in range(2):
            await adapter.undeploy(gateway, revision(PROVIDER, PROXY))
    await adapter.close()
    assert not controller.resources


async def test_a_create_whose_answer_is_lost_becomes_a_replacement() -> None:
    """One POST, and then a PUT of what it may have made."""
    lost = [True]

    async def lie(asked: Asked, answer: Answer) -> Answer:
        return None if asked.method == "POST" and lost and lost.pop() else answer

    controller, adapter = FakeController(), on_premise()
    async with peer(lying(controller, lie)) as served:
        await adapter.deploy(spec(served.url, ADMIN, kind="gateway-controller"), revision(PROVIDER))
    await adapter.close()
    assert [asked.method for asked in served.asked if asked.method != "GET"] == ["PUT", "POST", "PUT"]
    assert list(controller.resources) == ["/llm-providers/openai"]


async def test_one_that_was_created_concurrently_is_replaced() -> None:
    """409 to the create, and then a PUT."""
    controller, adapter = FakeController(), on_premise()

    async def lie(asked: Asked, answer: Answer) -> Answer:
        if asked.method == "PUT" and answer and answer[0] == 404:
            controller.resources["/llm-providers/openai"] = {}
        return answer

    async with peer(lying(controller, lie)) as served:
        deployed = await adapter.deploy(spec(served.url, ADMIN, kind="gateway-controller"), revision(PROVIDER))
    await adapter.close()
    assert deployed.state == "deployed"
    assert controller.resources["/llm-providers/openai"] == PROVIDER


async def test_what_the_controller_refuses_is_failed_with_its_words() -> None:
    """The other resources are deployed all the same."""

    async def lie(asked: Asked, answer: Answer) -> Answer:
        if "llm-proxies" not in asked.target:
            return answer
        errors = [{"field": "spec.context", "message": "Context must start with /"}]
        return 400, {"status": "error", "message": "Configuration validation failed", "errors": errors}

    adapter = on_premise()
    async with peer(lying(FakeController(), lie)) as served:
        deployed = await adapter.deploy(spec(served.url, ADMIN, kind="gateway-controller"), revision(PROVIDER, PROXY))
    await adapter.close()
    assert [each.state for each in deployed.resources] == ["deployed", "failed"]
    assert deployed.state == "failed"
    assert "spec.context: Context must start with /" in str(deployed.resources[1].error)


@pytest.mark.parametrize(
    "content",
    [b"kind: [", b"- 1", b"kind: Pod", b"kind: Mcp", b"\xff", b"kind: Mcp\nmetadata: {name: a}\nspec: 2026-01-01"],
)
async def test_files_that_describe_no_resources_are_refused_before_anything_is_sent(content: bytes) -> None:
    """With the file, and what is expected."""
    adapter = on_premise()
    async with peer(FakeController()) as served:
        with pytest.raises(AdapterError) as raised:
            await adapter.deploy(spec(served.url, ADMIN, kind="gateway-controller"), Revision("0", {"a.yaml": content}))
    await adapter.close()
    assert raised.value.errors[0].field.startswith("a.yaml")
    assert not served.asked


@pytest.mark.parametrize("count", [-1, "many", 1e400, 1.5, True, None, [], 10**400])
async def test_a_count_that_cannot_be_true_is_no_count(count: Any) -> None:
    """It is null, and not 0; where the list itself is there, its length counts."""

    async def lie(asked: Asked, answer: Answer) -> Answer:
        return (200, {"count": count}) if "/llm-providers" in asked.target else answer

    adapter = on_premise()
    async with peer(lying(FakeController(), lie)) as served:
        metrics = await adapter.metrics(spec(served.url, ADMIN, kind="gateway-controller"))
    await adapter.close()
    assert (metrics.resource_count, metrics.provider_count, metrics.proxy_count) == (None, None, 0)


async def test_rates_are_differences_of_its_counters() -> None:
    """Where its metrics are on: requests per second, per cent of errors, and the average duration."""
    pages = iter([(100, 10, 20.0), (110, 12, 21.0)])

    async def answer(asked: Asked) -> Answer:
        good, bad, seconds = next(pages)
        page = (
            "# TYPE http_requests_total counter\n"
            f'http_requests_total{{method="GET",status="200"}} {good}\nhttp_requests_total{{status="503"}} {bad}\n'
            "# TYPE http_request_duration_seconds histogram\n"
            f'http_request_duration_seconds_bucket{{le="+Inf"}} {good + bad}\n'
            f"http_request_duration_seconds_sum {seconds}\nhttp_request_duration_seconds_count {good + bad}\n"
        )
        return 200, page, {"Content-Type": "text/plain"}

    adapter = on_premise()
    async with peer(answer) as metrics_port, peer(FakeController()) as served:
        url = f"{metrics_port.url}/metrics"
        began = time.monotonic()
        metrics = await adapter.metrics(spec(served.url, ADMIN, kind="gateway-controller", metricsUrl=url))
        took = time.monotonic() - began
    await adapter.close()
    assert metrics.request_rate is not None
    assert 12 / took - 0.001 <= metrics.request_rate <= 12.2  # of two looks that are a second apart, or longer
    assert metrics.error_rate == pytest.approx(16.6667, abs=0.001)
    assert metrics.average_latency_ms == pytest.approx(83.333, abs=0.001)


@pytest.mark.parametrize("page", [(200, "{"), (200, 'http_requests_total{a="'), (404, {}), (200, "x y z"), None])
async def test_a_page_that_is_no_metrics_leaves_the_rates_unknown(page: Answer) -> None:
    """The counts are there all the same."""

    async def answer(asked: Asked) -> Answer:
        return page

    adapter = on_premise()
    async with peer(answer) as metrics_port, peer(FakeController()) as served:
        gateway = spec(served.url, ADMIN, kind="gateway-controller", metricsUrl=metrics_port.url)
        metrics = await adapter.metrics(gateway)
    await adapter.close()
    assert metrics == Metrics(resource_count=0, provider_count=0, proxy_count=0, mcp_count=0)


async def test_a_slow_controller_is_given_up_after_all_attempts() -> None:
    """The error says how long it was waited for."""

    async def never(asked: Asked) -> Answer:
        await asyncio.Event().wait()
        return None

    adapter = on_premise(seconds=1, attempts=2)
    async with peer(never) as served:
        with pytest.raises(AdapterError, match=r"did not answer within 1 s"):
            await adapter.deployed(spec(served.url, ADMIN, kind="gateway-controller"))
    await adapter.close()
    assert len(served.asked) == 2


async def test_a_controller_with_its_management_api_at_the_root_is_asked_there() -> None:
    """As the first ones had it, and as mock servers of its description have it."""
    controller, adapter = FakeController(), on_premise()

    async def at_root(asked: Asked) -> Answer:
        return (404, {}) if asked.target.startswith("/api/") else await controller(asked)

    async with peer(at_root) as served:
        gateway = spec(served.url, ADMIN, kind="gateway-controller")
        await adapter.deploy(gateway, revision(PROVIDER))
        metrics = await adapter.metrics(gateway)
    await adapter.close()
    assert list(controller.resources) == ["/llm-providers/openai"]
    assert metrics.provider_count == 1


async def test_where_nothing_is_counted_the_reason_is_said() -> None:
    """A controller that is out of order has no counts of null without a word."""
    controller, adapter = FakeController(), on_premise()

    async def broken(asked: Asked) -> Answer:
        return (500, {"message": "no storage"}) if "templates" not in asked.target else await controller(asked)

    async with peer(broken) as served:
        with pytest.raises(AdapterError, match="answered 500: no storage"):
            await adapter.metrics(spec(served.url, ADMIN, kind="gateway-controller"))
    await adapter.close()
