"""Credentials of gateways are kept sealed, and shown nowhere."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select

from gateway.control_plane.adapters.protocol import AdapterError
from gateway.control_plane.credentials import (
    FILE,
    VARIABLE,
    CredentialKeys,
    UnusableKey,
    add_key,
    gateway_spec,
    load_keys,
    reseal,
    shown,
    stored,
)
from gateway.control_plane.database.tables import Gateway
from gateway.control_plane.plane import Plane
from gateway.control_plane.serve import StartError
from tests.control_plane.support import control_plane

KEYS = CredentialKeys.of(Fernet.generate_key().decode(), "test")
GIVEN = {"controlPlaneUrl": "http://gw:9090", "credentials": {"username": "admin", "password": "hunter2"}}


def row(config: dict[str, Any] | None) -> Gateway:
    return Gateway(uuid=uuid4(), name="a", display_name="A", gateway_type="EGRESS", adapter_config=config)


def test_what_is_kept_and_shown_has_no_credential() -> None:
    """Adapters get it back; the row and answers have none of it, in no form."""
    kept = stored(GIVEN, None, KEYS)
    assert "hunter2" not in json.dumps(kept)
    assert shown(kept) == {"controlPlaneUrl": "http://gw:9090"}
    spec = gateway_spec(row(kept), KEYS)
    assert spec.credentials == GIVEN["credentials"]
    assert "hunter2" not in repr(spec)
    assert "hunter2" not in repr(KEYS)


def test_a_change_keeps_what_it_does_not_name() -> None:
    """Keys that no adapter knows, what is nested, and the credentials; null removes."""
    before = stored({**GIVEN, "team": "core", "autoScaling": {"minInstances": 1, "maxInstances": 3}}, None, KEYS)
    after = stored({"controlPlaneUrl": "http://gw:9090/path", "autoScaling": {"minInstances": 2}}, before, KEYS)
    assert shown(after) == {
        "controlPlaneUrl": "http://gw:9090/path",
        "team": "core",
        "autoScaling": {"minInstances": 2, "maxInstances": 3},
    }
    assert gateway_spec(row(after), KEYS).credentials == GIVEN["credentials"]
    assert shown(stored({"team": None}, after, KEYS)).keys() == {"controlPlaneUrl", "autoScaling"}


def test_credentials_are_replaced_and_removed_as_a_whole() -> None:
    """A token in the place of a password, and then nothing."""
    before = stored(GIVEN, None, KEYS)
    after = stored({"credentials": {"token": "t"}}, before, KEYS)
    assert gateway_spec(row(after), KEYS).credentials == {"token": "t"}
    assert gateway_spec(row(stored({"credentials": None}, after, KEYS)), KEYS).credentials is None


@pytest.mark.parametrize(
    "change",
    [
        {"controlPlaneUrl": "http://gw:9091"},
        {"controlPlaneUrl": "https://gw:9090"},
        {"controlPlaneUrl": "http://gw.evil:9090"},
        {"healthUrl": "http://evil:9090/health"},
        {"healthUrl": "http://gw:9090@evil/health"},
        {"healthUrl": 7},
    ],
)
def test_credentials_are_not_sent_to_where_they_were_not_given_for(change: dict[str, Any]) -> None:
    """A change of scheme, host or port needs them again: otherwise a change of the address would disclose them."""
    before = stored(GIVEN, None, KEYS)
    with pytest.raises(AdapterError) as raised:
        stored(change, before, KEYS)
    assert [error.field for error in raised.value.errors] == ["adapterConfig.credentials"]
    assert gateway_spec(row(stored({**change, "credentials": {"token": "t"}}, before, KEYS)), KEYS).credentials
    assert gateway_spec(row(stored({**change, "credentials": None}, before, KEYS)), KEYS).credentials is None
    without = stored({"controlPlaneUrl": None}, before, KEYS)
    with pytest.raises(AdapterError):
        stored(change, without, KEYS)


def test_other_paths_of_the_same_place_need_no_credentials_again() -> None:
    """In any spelling of the place."""
    before = stored({"controlPlaneUrl": "https://gw", "credentials": {"token": "t"}}, None, KEYS)
    after = stored({"controlPlaneUrl": "HTTPS://GW:443/base", "healthUrl": "https://gw/health"}, before, KEYS)
    assert gateway_spec(row(after), KEYS).credentials == {"token": "t"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"password": "hunter2"}, "adapterConfig.password"),
        ({"admin": [{"api-key": "hunter2"}]}, "adapterConfig.admin[].api-key"),
        ({"sealedCredentials": "hunter2"}, "adapterConfig.sealedCredentials"),
        ({"credentials": "hunter2"}, "adapterConfig.credentials"),
        ({"credentials": {"password": 7}}, "adapterConfig.credentials"),
        ({"a": "x" * 70_000}, "adapterConfig"),
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_and_not_repeated(given: dict[str, Any], field: str) -> None:
    """It would be shown by every answer."""
    with pytest.raises(AdapterError) as raised:
        stored(given, None, KEYS)
    assert [error.field for error in raised.value.errors] == [field]
    assert "hunter2" not in str(raised.value) + str(raised.value.errors)


def test_a_configuration_that_is_nested_too_deep_is_refused() -> None:
    """However deep."""
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    with pytest.raises(AdapterError):
        stored(deep, None, KEYS)


def test_keys_can_be_rotated_and_a_lost_one_is_named() -> None:
    """The new key seals, the old one still opens; without it, the error says what to do."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    sealed = CredentialKeys.of(old, "test").seal({"token": "t"})
    both = CredentialKeys.of(f"{new},{old}", "test")
    assert both.open(sealed) == {"token": "t"}
    with pytest.raises(AdapterError, match=VARIABLE):
        CredentialKeys.of(new, "test").open(sealed)
    assert CredentialKeys.of(new, "test").open(both.resealed(sealed)) == {"token": "t"}


def test_a_key_is_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    """Only its owner can read it; what was sealed before a restart opens after it."""
    state = tmp_path / "state"
    sealed = load_keys(state, {}).seal({"token": "t"})
    assert stat.S_IMODE((state / FILE).stat().st_mode) == 0o600
    assert load_keys(state, {}).open(sealed) == {"token": "t"}
    add_key(state)
    assert stat.S_IMODE((state / FILE).stat().st_mode) == 0o600
    assert load_keys(state, {}).open(sealed) == {"token": "t"}
    assert [path.name for path in state.iterdir()] == [FILE]


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    """What one seals, all of them open."""
    made: list[CredentialKeys] = []
    threads = [threading.Thread(target=lambda: made.append(load_keys(tmp_path, {}))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sealed = made[0].seal({"token": "t"})
    assert all(keys.open(sealed) == {"token": "t"} for keys in made)
    assert len(made) == 8


@pytest.mark.parametrize("text", ["", "short", "é" * 32, "x" * 44])
def test_what_is_no_key_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    """With a way to make one."""
    with pytest.raises(UnusableKey, match="openssl rand") as raised:
        load_keys(tmp_path, {VARIABLE: text})
    assert text == "" or text not in str(raised.value)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The error says how to mend it."""
    load_keys(tmp_path, {})
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(UnusableKey, match="chmod 600"):
        load_keys(tmp_path, {})


def test_a_fingerprint_needs_the_keys_and_outlives_their_rotation() -> None:
    """Guesses of what was sent cannot be tried with the database alone."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    before, after = CredentialKeys.of(old, "test"), CredentialKeys.of(f"{new} {old}", "test")
    assert before.fingerprint(b"hunter2") == after.fingerprint(b"hunter2") != KEYS.fingerprint(b"hunter2")


def test_a_process_that_runs_uses_a_new_key_at_once(tmp_path: Path) -> None:
    """It seals with it, and opens what others have sealed with it; a file that is spoilt changes nothing."""
    running = load_keys(tmp_path, {})
    before = running.seal({"token": "t"})
    add_key(tmp_path)
    newest, former = (tmp_path / FILE).read_text().split()
    assert CredentialKeys.of(newest, "test").open(running.seal({"token": "t"})) == {"token": "t"}
    assert running.open(before) == {"token": "t"}
    (tmp_path / FILE).write_text("spoilt")
    assert running.open(CredentialKeys.of(former, "test").seal({"token": "u"})) == {"token": "u"}
    (tmp_path / FILE).unlink()
    assert running.open(before) == {"token": "t"}


async def test_all_credentials_are_sealed_anew(plane: Plane, client: httpx2.AsyncClient, tmp_path: Path) -> None:
    """With the new key alone they open; those that no key opens are named and left as they are."""
    for name in ("a", "b", "c"):
        config = GIVEN if name != "c" else {"controlPlaneUrl": "http://gw:9090"}
        body = {"name": name, "displayName": name, "gatewayType": "EGRESS", "adapterConfig": config}
        response = await client.post("/api/v1/gateways?validate=false", json={**body, "environmentIds": []})
        assert response.status_code == 201, response.text
    async with plane.database.transaction() as session:
        lost = (await session.scalars(select(Gateway).where(Gateway.name == "b"))).one()
        lost.adapter_config = stored(GIVEN, None, KEYS)
    add_key(plane.state)
    async with plane.database.transaction() as session:
        assert await reseal(session, load_keys(plane.state, {})) == (1, ["b"])
    newest = CredentialKeys.of((plane.state / FILE).read_text().split()[0], "test")
    async with plane.database.transaction() as session:
        opened = (await session.scalars(select(Gateway).where(Gateway.name == "a"))).one()
        assert gateway_spec(opened, newest).credentials == GIVEN["credentials"]


async def test_a_gateway_whose_key_is_lost_can_be_changed_and_removed(plane: Plane, client: httpx2.AsyncClient) -> None:
    """New credentials are taken, and a gateway that is to go needs none."""
    body = {"name": "a", "displayName": "a", "gatewayType": "EGRESS", "adapterConfig": GIVEN, "environmentIds": []}
    uuid = (await client.post("/api/v1/gateways?validate=false", json=body)).json()["uuid"]
    async with plane.database.transaction() as session:
        (await session.scalars(select(Gateway))).one().adapter_config = stored(GIVEN, None, KEYS)
    url = f"/api/v1/gateways/{uuid}"
    refused = await client.put(f"{url}?validate=false", json={"displayName": "b", "adapterConfig": {"zone": "a"}})
    assert refused.status_code == 400
    assert VARIABLE in refused.json()["detail"]
    taken = await client.put(f"{url}?validate=false", json={"displayName": "b", "adapterConfig": GIVEN})
    assert taken.status_code == 200
    async with plane.database.transaction() as session:
        (await session.scalars(select(Gateway))).one().adapter_config = stored(GIVEN, None, KEYS)
    assert (await client.delete(url)).status_code == 204


async def test_a_control_plane_without_the_key_of_its_database_does_not_make_another(
    plane: Plane, client: httpx2.AsyncClient, database_url: str, tmp_path: Path
) -> None:
    """A second one, or a restored one, says where the key belongs; with it, it starts."""
    body = {"name": "a", "displayName": "a", "gatewayType": "EGRESS", "adapterConfig": GIVEN, "environmentIds": []}
    assert (await client.post("/api/v1/gateways?validate=false", json=body)).status_code == 201
    second = tmp_path / "second"
    (second / "state").mkdir(parents=True)
    with pytest.raises(StartError, match=f"copy {FILE}"):
        async with control_plane(second, database=database_url):
            pass
    assert not (second / "state" / FILE).exists()
    (second / "state" / FILE).write_text((plane.state / FILE).read_text())
    (second / "state" / FILE).chmod(0o600)
    async with control_plane(second, database=database_url) as other, other.database.transaction() as session:
        row = (await session.scalars(select(Gateway))).one()
        assert gateway_spec(row, other.keys).credentials == GIVEN["credentials"]
