"""The configuration says which adapter the process has."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from gateway.config.problems import ConfigError
from gateway.config.secrets import KnownSecrets
from gateway.control_plane.adapters.factory import UnusableAdapter, create_adapter
from gateway.control_plane.adapters.protocol import (
    AdapterError,
    Deployed,
    FieldError,
    GatewaySpec,
    Health,
    Metrics,
    Registered,
    Resource,
    Revision,
)
from gateway.control_plane.settings.adapter import AdapterSettings, Cloud, Custom, HealthCheck, OAuth2
from gateway.control_plane.settings.reading import read_settings
from tests.control_plane.adapters.peers import spec


class Ours:
    """An adapter of one's own."""

    type = "custom"

    def __init__(self, endpoint: str = "http://ours") -> None:
        self.endpoint = endpoint

    def validate(self, config: Mapping[str, Any], credentials: Mapping[str, Any] | None) -> Sequence[FieldError]:
        return ()

    async def register(self, spec: GatewaySpec) -> Registered:
        return Registered(self.endpoint, None, "ACTIVE")

    async def update(self, gateway: GatewaySpec, config: Mapping[str, Any]) -> Registered:
        return Registered(self.endpoint, None, "ACTIVE")

    async def deregister(self, gateway: GatewaySpec) -> None: ...

    async def check_health(self, gateway: GatewaySpec) -> Health:
        return Health(True)

    async def metrics(self, gateway: GatewaySpec) -> Metrics:
        return Metrics()

    async def deploy(self, gateway: GatewaySpec, revision: Revision) -> Deployed:
        return Deployed("deployed")

    async def undeploy(self, gateway: GatewaySpec, revision: Revision) -> None: ...

    async def deployed(self, gateway: GatewaySpec) -> Sequence[Resource]:
        return ()

    async def close(self) -> None: ...


class Half:
    """One that lacks methods."""

    def validate(self) -> None: ...


async def test_on_premise_is_what_there_is_without_a_configuration() -> None:
    """With the times of the proposal."""
    settings = AdapterSettings()
    adapter = await create_adapter(settings)
    assert adapter.type == "on-premise"
    assert (settings.calls.default_timeout, settings.calls.health_check) == (30, HealthCheck(interval=30, timeout=5))
    await adapter.close()


async def test_a_provider_makes_the_cloud_adapter() -> None:
    """As the proposal configures it."""
    client = OAuth2(type="oauth2", client_id="id", client_secret=SecretStr("secret"))
    cloud = Cloud(api_endpoint="https://api.wso2.cloud/v1", authentication=client, provider="wso2-cloud")
    adapter = await create_adapter(AdapterSettings(type="cloud", cloud=cloud))
    assert adapter.type == "cloud"
    await adapter.close()


async def test_a_class_of_ones_own_is_made_with_its_options() -> None:
    """`custom: module:Class`, of a module beside control-plane.yaml or of one that is installed."""
    custom = Custom.model_validate({"class": f"{__name__}:Ours", "options": {"endpoint": "http://x"}})
    adapter = await create_adapter(AdapterSettings(type="custom", custom=custom))
    assert (await adapter.register(spec())).endpoint == "http://x"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no.such.module:Class", "No module named 'no'"),
        (f"{__name__}:Missing", "has no attribute 'Missing'"),
        (f"{__name__}:Half", "has no register, update"),
    ],
)
async def test_a_class_that_cannot_be_used_is_named_at_the_start(path: str, message: str) -> None:
    """With the reason."""
    settings = AdapterSettings.model_validate({"type": "custom", "custom": path})
    with pytest.raises(UnusableAdapter, match=message) as raised:
        await create_adapter(settings)
    assert path in str(raised.value)


async def test_a_file_of_certificates_that_is_missing_is_named_at_the_start(tmp_path: Path) -> None:
    """With its name."""
    settings = AdapterSettings.model_validate({"on_premise": {"ca": "missing.pem"}})
    with pytest.raises(UnusableAdapter, match=r"missing\.pem: No such file"):
        await create_adapter(settings, directory=tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "cloud"},
        {"type": "custom"},
        {"type": "custom", "custom": "no-path"},
        {"type": "else"},
        {"type": "cloud", "cloud": {"api_endpoint": "https://user:secret@api.example.com"}},
        {"type": "cloud", "cloud": {"api_endpoint": "ftp://api.example.com"}},
        {"on_premise": {"retry_policy": {"max_attempts": 0}}},
        {"on_premise": {"default_timeout": "0s"}},
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(wrong: dict[str, Any]) -> None:
    """Before anything is made."""
    with pytest.raises(ValidationError):
        AdapterSettings.model_validate(wrong)


class Wrong(Ours):
    """One that does all that it should not."""

    async def register(self, spec: GatewaySpec) -> Registered:
        raise RuntimeError("hunter2")

    async def check_health(self, gateway: GatewaySpec) -> Health:
        await asyncio.Event().wait()
        return Health(True)

    async def metrics(self, gateway: GatewaySpec) -> Metrics:
        return {"requestRate": 1}  # type: ignore[return-value]

    async def deployed(self, gateway: GatewaySpec) -> Sequence[Resource]:
        raise TimeoutError("its own")

    def deregister(self, gateway: GatewaySpec) -> Any:
        raise ValueError("not even awaited")


async def test_what_a_class_of_ones_own_does_wrong_is_its_failure() -> None:
    """Each call ends in time, with an error that callers of the control plane may see."""
    given = {"class": f"{__name__}:Wrong", "health_check": {"timeout": "50ms"}}
    adapter = await create_adapter(AdapterSettings.model_validate({"type": "custom", "custom": given}))
    with pytest.raises(AdapterError, match="register failed with RuntimeError: see the log") as raised:
        await adapter.register(spec())
    assert "hunter2" not in str(raised.value)
    with pytest.raises(AdapterError, match="metrics returned dict"):
        await adapter.metrics(spec())
    with pytest.raises(AdapterError, match="deployed failed with TimeoutError"):
        await adapter.deployed(spec())
    with pytest.raises(AdapterError, match="deregister failed with ValueError"):
        await adapter.deregister(spec())
    health = await adapter.check_health(spec())
    assert (health.healthy, health.reason) == (False, "timeout")


async def test_a_class_beside_the_configuration_is_found(tmp_path: Path) -> None:
    """Without installing anything."""
    (tmp_path / "beside_the_configuration.py").write_text(
        f"from {__name__} import Ours\n\nclass Mine(Ours):\n    pass\n"
    )
    settings = AdapterSettings.model_validate({"type": "custom", "custom": "beside_the_configuration:Mine"})
    try:
        adapter = await create_adapter(settings, directory=tmp_path)
        assert (await adapter.register(spec())).status == "ACTIVE"
    finally:
        sys.path.remove(str(tmp_path))


def test_wrong_settings_are_named_with_their_place(tmp_path: Path) -> None:
    """All of them at once, with what is expected."""
    (tmp_path / "control-plane.yaml").write_text(
        "gateway:\n  adapter:\n    onPremise:\n      retryPolicy: {backoffMultiplier: x}\n"
        "networks: [privat, 10.0.0.1/8]\n"
    )
    with pytest.raises(ConfigError) as raised:
        read_settings(tmp_path, {}, KnownSecrets())
    assert [(each.line, each.column, each.message.partition(" (")[0]) for each in raised.value.problems] == [
        (4, 21, "expected a number"),
        (5, 12, "expected a network such as 10.0.0.0/8, or one of the words private, names, loopback"),
        (5, 20, "the address has bits set beyond the prefix length; the network is 10.0.0.0/8"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "gateway:\n  adapter:\n    type: on-premise\n    onPremise:\n      defaultTimeout: 30s\n      retryPolicy:\n"
        "        maxAttempts: 3\n        backoffMultiplier: 2\n        maxBackoff: 30s\n      healthCheck:\n"
        "        interval: 30s\n        timeout: 5s\n",
        "gateway:\n  adapter:\n    type: cloud\n    cloud:\n      provider: wso2-cloud\n"
        "      apiEndpoint: https://api.wso2.cloud/v1\n      authentication:\n        type: oauth2\n"
        "        clientId: ${CLOUD_CLIENT_ID}\n        clientSecret: ${CLOUD_CLIENT_SECRET}\n"
        "      defaultRegion: us-east-1\n",
    ],
)
async def test_the_configurations_of_the_proposal_are_taken_as_they_stand(text: str, tmp_path: Path) -> None:
    """Word for word."""
    (tmp_path / "control-plane.yaml").write_text(text)
    environment = {"CLOUD_CLIENT_ID": "id", "CLOUD_CLIENT_SECRET": "secret"}
    settings = read_settings(tmp_path, environment, KnownSecrets()).gateway.adapter
    adapter = await create_adapter(settings)
    assert adapter.type == settings.type
    assert settings.calls.default_timeout == 30
    await adapter.close()
