"""A gateway of ours, running, is recognised, probed and counted over its admin port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2

from tests.control_plane.adapters.peers import on_premise, spec
from tests.support import running_gateway

ROUTES = """\
routes:
  - path: /ok
    auth: []
    respond: {status: 200, body: fine}
  - path: /broken
    auth: []
    target: http://127.0.0.1:1
"""
MODELS = """\
providers:
  one: {protocol: openai, base_url: "http://127.0.0.1:1/v1", keys: [key]}
"""
AUTH = """\
schemes: {keys: {api_key: {header: X-API-Key}}}
default: [keys]
consumers:
- {name: acme, keys: ["sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]}
"""


async def test_a_running_gateway_is_registered_and_counted(tmp_path: Path) -> None:
    """Found out to be ours; its routes, providers, rate, errors and median are those that it has."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/models.yaml").write_text(MODELS)
    adapter = on_premise()
    with running_gateway(tmp_path, ROUTES, auth=AUTH) as gateway:
        address = f"http://127.0.0.1:{gateway.admin_port}"
        registered = await adapter.register(spec(address))
        assert (registered.status, registered.config) == ("ACTIVE", {"detectedKind": "flowmaster"})
        async with httpx2.AsyncClient(base_url=gateway.url) as client:
            for path in ("/ok", "/ok", "/ok", "/broken"):
                await client.get(path)
        ours = spec(address, {"token": gateway.admin_token["authorization"].removeprefix("Bearer ")}, kind="flowmaster")
        for _ in range(100):  # what is counted is shown once its second is over
            metrics = await adapter.metrics(ours)
            if metrics.error_rate == 25:
                break
            await asyncio.sleep(0.1)
        (configuration,) = await adapter.deployed(ours)
        assert (await adapter.check_health(ours)).healthy
    assert not (await adapter.check_health(ours)).healthy
    await adapter.close()
    assert (metrics.provider_count, metrics.proxy_count, metrics.mcp_count) == (1, 0, 0)
    assert metrics.resource_count is not None
    assert metrics.resource_count >= 3
    assert metrics.error_rate == 25
    assert metrics.average_latency_ms is not None
    assert (configuration.kind, configuration.state) == ("configuration", "deployed")
