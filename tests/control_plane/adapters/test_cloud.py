"""Gateways of a provider are made once, watched until they are there, and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openapi_spec_validator import validate as validate_openapi
from pydantic import SecretStr

from gateway.control_plane.adapters.cloud import CloudGateways
from gateway.control_plane.adapters.networks import EVERYWHERE, allowed_addresses
from gateway.control_plane.adapters.outbound import Outbound
from gateway.control_plane.adapters.protocol import AdapterError
from gateway.control_plane.settings.adapter import Cloud, HealthCheck, OAuth2, RetryPolicy
from tests.control_plane.adapters.peers import Peer, peer, spec
from tests.control_plane.adapters.provider import DOCUMENT, FakeProvider

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
SCALED: dict[str, Any] = {
    "region": "us-east-1",
    "tier": "premium",
    "autoScaling": {"minInstances": 2, "maxInstances": 10},
}


@asynccontextmanager
async def cloud(
    provider: FakeProvider, secret: str = "s/cret", *, wait: float = 5, now: datetime = NOON
) -> AsyncIterator[tuple[CloudGateways, Peer]]:
    async with peer(provider) as served:
        settings = Cloud(
            api_endpoint=f"{served.url}/v1/",
            authentication=OAuth2(type="oauth2", client_id="client", client_secret=SecretStr(secret)),
            default_region="eu-west-1",
            default_timeout=5,
            retry_policy=RetryPolicy(max_backoff=0.01),
            health_check=HealthCheck(timeout=wait),
        )
        adapter = CloudGateways(settings, Outbound(allowed_addresses(EVERYWHERE)), lambda: now)
        try:
            yield adapter, served
        finally:
            await adapter.close()


def test_the_interface_is_described_by_a_valid_document() -> None:
    """Such a service can be generated from it."""
    validate_openapi(DOCUMENT)


async def test_a_gateway_is_made_watched_changed_and_deleted() -> None:
    """Its id and region are the provider's; the whole adapterConfig reaches the provider."""
    provider = FakeProvider()
    async with cloud(provider) as (adapter, _):
        wanted = spec(**SCALED)
        registered = await adapter.register(wanted)
        assert (registered.status, registered.region) == ("ACTIVE", "us-east-1")
        made = replace(wanted, config={**wanted.config, **registered.config})
        health = await adapter.check_health(made)
        assert (health.healthy, health.status, health.endpoint) == (True, "ACTIVE", "https://gw.example.com")
        metrics = await adapter.metrics(made)
        assert (metrics.resource_count, metrics.request_rate, metrics.mcp_count) == (3, 12.5, None)
        await adapter.update(made, {**made.config, "tier": "basic"})
        (gateway,) = provider.gateways.values()
        assert gateway["wanted"]["tier"] == "basic"
        assert gateway["wanted"]["autoScaling"] == SCALED["autoScaling"]
        await adapter.deregister(made)
        await adapter.deregister(made)  # which is no error
    assert not provider.gateways
    assert provider.tokens == 1


async def test_what_takes_longer_than_a_caller_waits_is_provisioning_until_a_probe_finds_it_active() -> None:
    """The caller gets PROVISIONING; probes say so, too, and then ACTIVE with the endpoint."""
    provider = FakeProvider(looks=2)
    async with cloud(provider, wait=0.3) as (adapter, _):
        wanted = spec(region="us-east-1")
        registered = await adapter.register(wanted)
        assert registered.status == "PROVISIONING"
        made = replace(wanted, config={**wanted.config, **registered.config})
    async with cloud(provider) as (adapter, _):  # whose probes may take longer
        states = [(health := await adapter.check_health(made)).status for _ in range(2)]
    assert states == ["PROVISIONING", "ACTIVE"]
    assert health.endpoint == "https://gw.example.com"


async def test_a_gateway_that_never_becomes_active_has_failed_after_the_time_limit() -> None:
    """After half an hour it is an ERROR, with the reason."""
    provider = FakeProvider(looks=1000)
    wanted = spec(region="us-east-1")
    async with cloud(provider, wait=0.1) as (adapter, _):
        registered = await adapter.register(wanted)
    async with cloud(provider, now=NOON + timedelta(minutes=31)) as (adapter, _):
        config = {**registered.config, "provisioningSince": NOON.isoformat()}
        health = await adapter.check_health(replace(wanted, config=config))
    assert (health.healthy, health.status, health.message) == (False, "ERROR", "not active after 1800 s")


async def test_a_create_whose_answer_is_lost_is_looked_up_and_not_repeated() -> None:
    """The provider has made one gateway, and was asked once to make it."""
    provider = FakeProvider(failing=[None])
    async with cloud(provider) as (adapter, served):
        registered = await adapter.register(spec(region="us-east-1"))
    assert registered.status == "ACTIVE"
    assert len(provider.gateways) == 1
    assert sum(asked.method == "POST" and asked.target == "/v1/gateways" for asked in served.asked) == 1


async def test_a_create_that_the_provider_has_not_begun_is_repeated() -> None:
    """503 with Retry-After, and then it is made."""
    provider = FakeProvider(undone=[(503, {"message": "busy"}, {"Retry-After": "0"})])
    async with cloud(provider) as (adapter, _):
        await adapter.register(spec(region="us-east-1"))
    assert len(provider.gateways) == 1


async def test_a_token_that_is_revoked_is_replaced() -> None:
    """A 401 leads to one new token, and the call succeeds."""
    provider = FakeProvider()
    async with cloud(provider) as (adapter, _):
        await adapter.register(spec(region="us-east-1"))
        provider.tokens += 1
        await adapter.register(spec(region="us-east-1"))
    assert provider.tokens == 3


async def test_wrong_client_credentials_are_named_without_the_secret() -> None:
    """Even where the provider sends back what it got."""
    async with cloud(FakeProvider(), secret="wrong") as (adapter, _):
        with pytest.raises(AdapterError, match=r"check authentication\.clientId and clientSecret") as raised:
            await adapter.register(spec(region="us-east-1"))
        health = await adapter.check_health(spec(region="us-east-1", providerId="gw"))
    assert raised.value.reason == health.reason == "unauthorized"
    for text in (str(raised.value), health.message or ""):
        assert "wrong" not in text
        assert "Y2xpZW50" not in text  # base64 of "client"


async def test_a_gateway_that_the_provider_has_lost_is_unhealthy() -> None:
    """404 of its status is a failure that says so."""
    async with cloud(FakeProvider()) as (adapter, _):
        health = await adapter.check_health(spec(region="us-east-1", providerId="gone"))
    assert (health.healthy, health.reason) == (False, "missing")


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", (200, "{"), (200, []), (200, {"status": 7})]
)
async def test_incomplete_answers_of_a_provider_make_no_gateway_active(said: object) -> None:
    """A state that cannot be read is a failure, not a state."""
    provider = FakeProvider(undone=[said] * 9)  # type: ignore[list-item]
    async with cloud(provider) as (adapter, _):
        health = await adapter.check_health(spec(region="us-east-1", providerId="gw"))
    assert (health.healthy, health.reason) == (False, "answer")


async def test_all_that_is_wrong_with_a_configuration_is_said_at_once() -> None:
    """Without asking the provider."""
    async with cloud(FakeProvider()) as (adapter, served):
        wrong = {"region": 7, "tier": "", "autoScaling": {"minInstances": -1, "maxInstances": "2"}}
        errors = adapter.validate(wrong, {"token": "t"})
        assert not served.asked
    assert [error.field.removeprefix("adapterConfig.") for error in errors] == [
        "region", "tier", "credentials", "autoScaling.minInstances", "autoScaling.maxInstances"
    ]  # fmt: skip
