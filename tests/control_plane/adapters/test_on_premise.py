"""Gateways that are there already are found, probed, and registered only where they are well."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.control_plane.adapters.protocol import AdapterError
from tests.control_plane.adapters.peers import ADMIN, Answer, Asked, FakeController, on_premise, peer, spec


async def test_a_controller_is_registered_where_it_is_well_and_takes_the_credentials() -> None:
    """Its URL is the endpoint, it is active, and its kind has been found out."""
    adapter = on_premise()
    async with peer(FakeController()) as controller:
        registered = await adapter.register(spec(controller.url, ADMIN))
    await adapter.close()
    assert (registered.endpoint, registered.status) == (controller.url, "ACTIVE")
    assert registered.config == {"detectedKind": "gateway-controller"}
    assert registered.probed_url == f"{controller.url}/health"


async def test_wrong_credentials_are_named_at_registration() -> None:
    """The refusal says 401, and has nothing of the password."""
    adapter = on_premise()
    async with peer(FakeController()) as controller:
        with pytest.raises(AdapterError, match="401: authentication failed") as raised:
            await adapter.register(spec(controller.url, {"username": "admin", "password": "hunter2"}))
    await adapter.close()
    assert (raised.value.reason, raised.value.status) == ("unauthorized", 502)
    assert "hunter2" not in str(raised.value)


async def test_an_admin_port_of_ours_is_recognised_by_its_health() -> None:
    """What answers with a digest and the number of reloads is of kind flowmaster, without configuration."""

    async def ours(asked: Asked) -> Answer:
        return 200, {"digest": "0" * 64, "loaded_at": "2026-11-26T12:00:00Z", "reloads": 1, "problems": 0}

    adapter = on_premise()
    async with peer(ours) as gateway:
        registered = await adapter.register(spec(gateway.url))
    await adapter.close()
    assert registered.config == {"detectedKind": "flowmaster"}


async def test_a_gateway_that_calls_out_needs_no_url() -> None:
    """It is inactive until its first heartbeat, and is not probed."""
    adapter = on_premise()
    calling = spec(kind="flowmaster")
    assert (await adapter.register(calling)).status == "INACTIVE"
    assert (await adapter.check_health(calling)).healthy is None
    await adapter.close()


async def test_a_gateway_that_is_down_is_not_registered() -> None:
    """The error says which address gave no connection, and is a 502 for the caller."""
    adapter = on_premise()
    async with peer(FakeController()) as controller:
        pass
    with pytest.raises(AdapterError, match=f"{controller.url}/health: no connection") as raised:
        await adapter.register(spec(controller.url))
    await adapter.close()
    assert (raised.value.reason, raised.value.status) == ("refused", 502)
    assert raised.value.errors[0].field == "adapterConfig.controlPlaneUrl"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, {"status": "unhealthy"}), "answer"),
        ((200, {"status": "DOWN"}), "answer"),
        ((200, "<html>Sign in</html>", {"Content-Type": "text/html; charset=utf-8"}), "answer"),
        ((200, "{"), "answer"),
        ((503, {"message": "starting"}), "status"),
        ((301, None, {"Location": "http://elsewhere/"}), "status"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "answer"),
        (None, "answer"),
    ],
)
async def test_a_gateway_that_does_not_say_that_it_is_well_is_not(answer: Answer, reason: str) -> None:
    """Whatever the status of its answer."""

    async def always(asked: Asked) -> Answer:
        return answer

    adapter = on_premise()
    async with peer(always) as gateway:
        health = await adapter.check_health(spec(gateway.url, healthUrl=f"{gateway.url}/healthz"))
    await adapter.close()
    assert (health.healthy, health.reason) == (False, reason)
    assert f"{gateway.url}/healthz" in str(health.message)


async def test_the_admin_port_of_a_controller_is_asked_where_its_management_port_has_no_health(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The address that works is remembered, and asked before the other one of that port from then on."""

    async def without(asked: Asked) -> Answer:
        return 404, {"status": "error", "message": "not found"}

    async def admin(asked: Asked) -> Answer:
        return (200, {"status": "healthy"}) if asked.target == "/api/admin/v1/health" else (404, {})

    adapter = on_premise()
    async with peer(without) as management, peer(admin) as served:
        monkeypatch.setattr("gateway.control_plane.adapters.controller._ADMIN_PORT", served.port)
        gateway = spec(management.url, kind="gateway-controller")
        health = await adapter.check_health(gateway)
        assert (health.healthy, health.url) == (True, f"{served.url}/api/admin/v1/health")
        served.asked.clear()
        assert (await adapter.check_health(replace(gateway, probed_url=health.url))).healthy
        assert [asked.target for asked in served.asked] == ["/api/admin/v1/health"]
    await adapter.close()


async def test_a_gateway_without_a_configuration_is_not_well() -> None:
    """Our admin port answers, and says that it has none."""

    async def empty(asked: Asked) -> Answer:
        return 200, {"digest": None, "loaded_at": None, "reloads": 0, "problems": 1}

    adapter = on_premise()
    async with peer(empty) as gateway:
        health = await adapter.check_health(spec(gateway.url, kind="flowmaster"))
    await adapter.close()
    assert (health.healthy, health.message) == (False, f"{gateway.url}/health says that no configuration is loaded")


async def test_a_probe_ends_in_time_whatever_the_gateway_does() -> None:
    """It is a time-out, and takes no longer than the limit, and no retries."""

    async def never(asked: Asked) -> Answer:
        await asyncio.Event().wait()
        return None

    adapter = on_premise(seconds=1)
    async with peer(never) as gateway:
        health = await adapter.check_health(spec(gateway.url))
        assert len(gateway.asked) == 1
    await adapter.close()
    assert (health.healthy, health.reason) == (False, "timeout")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "controlPlaneUrl"),
        ({"controlPlaneUrl": 7}, "controlPlaneUrl"),
        ({"controlPlaneUrl": ""}, "controlPlaneUrl"),
        ({"controlPlaneUrl": "gateway-1:9090"}, "controlPlaneUrl"),
        ({"controlPlaneUrl": "file:///etc/passwd"}, "controlPlaneUrl"),
        ({"controlPlaneUrl": "http://admin:hunter2@gw:9090"}, "controlPlaneUrl"),
        ({"controlPlaneUrl": "http://gw:99999"}, "controlPlaneUrl"),
        ({"controlPlaneUrl": "http://gw:9090/?key=hunter2"}, "controlPlaneUrl"),
        ({"controlPlaneUrl": "http://gw\r\nX: y"}, "controlPlaneUrl"),
        ({"controlPlaneUrl": "http://[::ffff:169.254.169.254]/"}, "controlPlaneUrl"),
        ({"controlPlaneUrl": "http://127.0.0.1:9001", "healthUrl": "http://0xa9fea9fe/"}, "healthUrl"),
        ({"controlPlaneUrl": "http://127.0.0.1:9001", "metricsUrl": "http://metadata.google.internal/"}, "metricsUrl"),
        ({"controlPlaneUrl": "http://127.0.0.1:9001", "kind": "kong"}, "kind"),
        ({"controlPlaneUrl": "http://127.0.0.1:9001", "region": "x" * 65}, "region"),
    ],
)
async def test_a_configuration_that_leads_nowhere_is_refused_with_its_field(config: dict[str, Any], field: str) -> None:
    """Without a request, and without a word of a password."""
    adapter = on_premise()
    with pytest.raises(AdapterError) as raised:
        await adapter.register(spec(**config))
    await adapter.close()
    assert [error.field for error in raised.value.errors] == [f"adapterConfig.{field}"]
    assert raised.value.status == 400
    assert "hunter2" not in str(raised.value.errors)


@pytest.mark.parametrize(
    "credentials",
    [{"username": "a"}, {"username": "a:b", "password": "c"}, {"token": "é"}, {"token": "a\r\nX: y"}, {"key": "a"}],
)
def test_credentials_that_no_request_can_hold_are_refused(credentials: dict[str, str]) -> None:
    """A header is one line, and HTTP Basic has no colon in the user's name."""
    errors = on_premise().validate({"controlPlaneUrl": "http://127.0.0.1:9090"}, credentials)
    assert errors
    assert all(error.field.startswith("adapterConfig.credentials") for error in errors)


async def test_another_port_of_the_host_does_not_speak_for_a_gateway_that_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two gateways may be on one host: that one of them is well says nothing of the other."""
    adapter = on_premise(attempts=1)
    async with peer(FakeController()) as other:
        monkeypatch.setattr("gateway.control_plane.adapters.controller._ADMIN_PORT", other.port)
        async with peer(FakeController()) as controller:
            pass
        assert not (await adapter.check_health(spec(controller.url, kind="gateway-controller"))).healthy
        with pytest.raises(AdapterError, match="no connection"):
            await adapter.register(spec(controller.url, healthUrl=f"{other.url}/health"))
    await adapter.close()


async def test_a_gateway_that_has_become_one_of_another_make_is_recognised_at_the_next_change() -> None:
    """What was found out before does not count any more."""

    async def ours(asked: Asked) -> Answer:
        return 200, {"digest": "0" * 64, "loaded_at": "2026-11-26T12:00:00Z", "reloads": 1, "problems": 0}

    adapter = on_premise()
    async with peer(FakeController()) as controller, peer(ours) as gateway:
        before = spec(controller.url)
        registered = await adapter.register(before)
        changed = await adapter.update(before, {**registered.config, "controlPlaneUrl": gateway.url})
    await adapter.close()
    assert changed.config == {"detectedKind": "flowmaster"}
