"""Callers of the control plane by other schemes than keys: tokens of an identity provider, passwords, signatures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.auth import password
from gateway.http.testing import make_exchange
from tests.auth.schemes_support import USUAL, Signer, add, digest
from tests.auth.support import claims, jwt_auth, mint, pem, private_key
from tests.control_plane.access_support import asking

PATH = "/api/v1/environments"
ROLES = """
roles:
- {role: admin, groups: [platform]}
- {role: viewer, consumers: [acme, "user-17"]}
"""


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"groups": ["platform"]}, {"*": "admin"}),
        ({}, {"*": "viewer"}),
        ({"sub": "somebody"}, 403),
        ({"exp": 1}, 401),
        ({"aud": "another"}, 401),
    ],
)
async def test_a_token_of_an_identity_provider_has_the_roles_of_its_groups_and_its_subject(
    tmp_path: Path, changes: dict[str, Any], answer: dict[str, str] | int
) -> None:
    """As OpenID Connect gives it; one that has expired, or has another audience, is refused."""
    auth = jwt_auth({"key": pem(private_key("RS256")), "claims": {"groups": "groups"}})
    token = mint(payload=claims(**changes))
    async with asking(tmp_path, {"auth.yaml": auth, "control-plane.yaml": ROLES}) as client:
        found = await client.get(PATH, headers={"authorization": f"Bearer {token}"})
    assert (found.status_code if isinstance(answer, int) else found.json()["roles"]) == answer
    assert token not in found.text


async def test_a_password_holds_and_a_browser_is_not_asked_for_one_by_scripts_of_the_page(tmp_path: Path) -> None:
    """A challenge of a request that a script made would open a password dialog."""
    hash_ = str(password.make("a password of acme"))
    consumer = {"name": "acme", "basic": {"username": "acme", "password": hash_}}
    auth = json.dumps({"schemes": {"passwords": {"basic": {}}}, "consumers": [consumer]})
    async with asking(tmp_path, {"auth.yaml": auth, "control-plane.yaml": ROLES}) as client:
        known = await client.get(PATH, auth=("acme", "a password of acme"))
        wrong = await client.get(PATH, auth=("acme", "another"))
        script = await client.get(PATH, headers={"sec-fetch-mode": "cors"})
    assert known.json()["roles"] == {"*": "viewer"}
    assert (wrong.status_code, "basic" in wrong.headers["www-authenticate"].lower()) == (401, True)
    assert (script.status_code, "www-authenticate" in script.headers) == (401, False)


@pytest.mark.parametrize(("sent", "status"), [(b'{"name": "a"}', 200), (b'{"name": "b"}', 401), (b"", 401)])
async def test_a_signed_body_is_the_one_that_is_read(tmp_path: Path, sent: bytes, status: int) -> None:
    """Another one under the same signature is refused before anything is done with it."""
    signer, signed = Signer(), b'{"name": "a"}'
    auth = json.dumps({"schemes": {"signed": {"http_signature": {}}}, "consumers": [signer.consumer]})
    exchange = make_exchange("POST", PATH, headers=[("host", "127.0.0.1:9010")])
    exchange.host = "127.0.0.1:9010"
    signer.sign(add(exchange, "content-digest", digest(signed)), (*USUAL, "content-digest"))
    headers = {name.decode(): value.decode() for name, value in exchange.headers}
    async with asking(tmp_path, {"auth.yaml": auth, "control-plane.yaml": ROLES}) as client:
        found = await client.post(PATH, headers=headers, content=sent)
    assert found.status_code == status, found.text
    if status == 200:
        assert found.json() == {"name": "acme", "roles": {"*": "viewer"}, "body": sent.decode()}


async def test_a_body_that_no_signature_covers_is_not_read(tmp_path: Path) -> None:
    """Who has seen a signed request without a body cannot send one with it."""
    signer = Signer()
    signed = {"http_signature": {"body": "signed"}}
    auth = json.dumps({"schemes": {"signed": signed}, "consumers": [signer.consumer]})
    exchange = make_exchange("POST", PATH, headers=[("host", "127.0.0.1:9010")])
    exchange.host = "127.0.0.1:9010"
    headers = {name.decode(): value.decode() for name, value in signer.sign(exchange, USUAL).headers}
    async with asking(tmp_path, {"auth.yaml": auth, "control-plane.yaml": ROLES}) as client:
        found = await client.post(PATH, headers=headers, content=b"{}")
    assert found.status_code == 401
    assert "the body is not covered" in found.json()["detail"]
