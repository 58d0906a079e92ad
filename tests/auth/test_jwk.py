"""Which keys are fit to verify tokens with, and what makes the others unfit."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.auth import jwk as jwks
from gateway.auth.jwk import KeyUnfitError, from_jwk, from_jwks, from_pem, from_secret

from .support import b64, jwk, pem, private_key

RSA = jwk(private_key("RS256"), kid="a")
EC = jwk(private_key("ES256"), kid="b")
OKP = jwk(private_key("EdDSA"), kid="c")
OCT = {"kty": "oct", "kid": "d", "k": b64(bytes(range(32)))}


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (RSA, {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (EC, {"ES256"}),
        (jwk(private_key("ES384")), {"ES384"}),
        (jwk(private_key("ES512")), {"ES512"}),
        (OKP, {"EdDSA"}),
        (OCT, {"HS256"}),
        ({**OCT, "k": b64(bytes(64))}, {"HS256", "HS384", "HS512"}),
        ({**RSA, "alg": "PS256"}, {"PS256"}),
        ({**RSA, "use": "sig", "key_ops": ["verify"]}, {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        ({**EC, "key_ops": ["sign", "verify"]}, {"ES256"}),
        ({**RSA, "x5c": ["MIIB"], "x5t": "x", "x5u": "http://127.0.0.1:1/"}, jwks.RSA_ALGORITHMS),
    ],
)
def test_a_key_is_for_the_algorithms_of_its_type(key: dict[str, Any], algorithms: set[str]) -> None:
    """Of its size and curve, too; `alg` leaves only one."""
    assert from_jwk(key).algorithms == algorithms


SMALL = jwk(rsa.generate_private_key(65537, 1024))


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ({**RSA, "use": "enc"}, "use is not sig"),
        ({**RSA, "use": ["sig"]}, "use is not sig"),
        ({**RSA, "key_ops": ["encrypt"]}, "key_ops"),
        ({**RSA, "key_ops": []}, "key_ops"),
        ({**RSA, "key_ops": "verify"}, "key_ops"),
        ({**RSA, "use": "sig", "key_ops": ["sign"]}, "key_ops"),
        ({**RSA, "alg": "ES256"}, "alg"),
        ({**RSA, "alg": "HS256"}, "alg"),
        ({**RSA, "alg": "RSA1_5"}, "alg"),
        ({**RSA, "alg": "none"}, "alg"),
        ({**RSA, "alg": ["RS256"]}, "alg"),
        ({**EC, "alg": "ES384"}, "alg"),
        ({**EC, "alg": "ES512"}, "alg"),
        ({**EC, "alg": "ES521"}, "alg"),
        ({**EC, "alg": "ES224"}, "alg"),
        ({**EC, "crv": "P-384"}, "numbers"),
        ({**EC, "crv": "secp256k1"}, "numbers"),
        ({**EC, "crv": "P-192"}, "numbers"),
        ({**EC, "crv": None}, "numbers"),
        ({**EC, "x": EC["y"], "y": EC["x"]}, "numbers"),
        ({**EC, "x": ""}, "numbers"),
        ({**EC, "y": b64(bytes(32))}, "numbers"),
        ({**EC, "x": b64(bytes(32)), "y": b64(bytes(32))}, "numbers"),
        ({**EC, "kty": "RSA"}, "no n"),
        ({**RSA, "kty": "EC"}, "no x"),
        ({**RSA, "kty": "rsa"}, "kty"),
        ({**RSA, "kty": None}, "kty"),
        ({**RSA, "kty": ["RSA"]}, "kty"),
        ({**RSA, "n": RSA["n"] + "=="}, "base64url"),
        ({**RSA, "n": RSA["n"][:-2] + "+/"}, "base64url"),
        ({**RSA, "n": " " + RSA["n"]}, "base64url"),
        ({**RSA, "n": "\ud800"}, "base64url"),
        ({**RSA, "n": 3}, "no n"),
        ({**RSA, "e": "AQ"}, "numbers"),
        ({**RSA, "e": "Ag"}, "numbers"),
        ({**RSA, "e": "AQAA"}, "numbers"),
        ({**RSA, "e": RSA["n"]}, "numbers"),
        (SMALL, "1024 bits"),
        ({**RSA, "d": RSA["n"]}, "private parts"),
        ({**EC, "d": EC["x"]}, "private parts"),
        ({**RSA, "kid": 7}, "kid"),
        ({**RSA, "kid": ["a"]}, "kid"),
        ({**OCT, "k": b64(bytes(31))}, "too short"),
        ({**OCT, "alg": "HS512"}, "alg"),
        ({**OCT, "k": ""}, "too short"),
        ({**OCT, "k": b64(bytes(33)) + "="}, "base64url"),
        ({**OKP, "crv": "X25519"}, "numbers"),
        ({**OKP, "crv": "P-256"}, "numbers"),
        ({**OKP, "x": b64(bytes(31))}, "numbers"),
        ({}, "kty"),
        ([], "not a JSON object"),
        ("x", "not a JSON object"),
        (None, "not a JSON object"),
    ],
)
def test_what_is_unfit_is_refused(key: Any, why: str) -> None:
    """Keys for something else, of another curve, too short, written in another way, private, or none at all."""
    with pytest.raises(KeyUnfitError, match=why):
        from_jwk(key)


def test_keys_of_a_broken_generator_are_unfit() -> None:
    """ROCA: the modulus is a product of primes of the form k * M + 65537^a mod M, which can be found out from it."""
    product = 1
    for prime in jwks._ROCA_PRIMES:
        product *= prime
    modulus = (1 << 2047) // product * product + pow(65537, 12345, product)
    modulus += product * (1 - modulus % 2)  # odd, and the same modulo each of the primes
    number = b64(modulus.to_bytes(256, "big"))
    with pytest.raises(KeyUnfitError, match="ROCA"):
        from_jwk({**RSA, "n": number})


def test_a_set_keeps_its_fit_keys() -> None:
    """One key that is unfit does not take the others with it."""
    fit, wrong = from_jwks({"keys": [RSA, {**EC, "use": "enc"}, OKP, SMALL, {"kty": "new"}, 7]})
    assert [key.kid for key in fit] == ["a", "c"]
    assert [reason.partition(":")[0] for reason in wrong] == ["keys[1]", "keys[3]", "keys[4]", "keys[5]"]


def test_public_keys_may_share_a_kid() -> None:
    """RFC 7517, 4.5: equivalent keys of several types, and one key for several algorithms, have one name."""
    shared = [{**RSA, "alg": "RS256"}, {**RSA, "alg": "RS512"}, {**EC, "kid": "a"}, {**RSA, "use": "enc"}]
    fit, wrong = from_jwks({"keys": shared})
    assert [key.algorithms for key in fit] == [{"RS256"}, {"RS512"}, {"ES256"}]
    assert wrong == ["keys[3]: its use is not sig"]


def test_secrets_that_share_a_kid_are_unfit() -> None:
    """All of them are for the same algorithms, so one of them is a mistake."""
    fit, wrong = from_jwks({"keys": [OCT, {**OCT, "k": b64(bytes(range(1, 33)))}]})
    assert fit == []
    assert all("same kid" in reason for reason in wrong)


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": None}, {"keys": [RSA, OCT]}, "x", 7])
def test_what_is_no_key_set_is_refused(document: Any) -> None:
    """So is a set that mixes secrets with public keys."""
    with pytest.raises(KeyUnfitError):
        from_jwks(document)


def _private(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (_private(private_key("ES256")), "private key"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "not a key for"),
        (pem(x25519.X25519PrivateKey.generate()), "not a key for"),
        (pem(dsa.generate_private_key(2048)), "not a key for"),
        (pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),
        (pem(private_key("RS256")).replace("MII", "AAA"), "not a public key"),
        ("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", "not a public key"),
        ("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", "no -----BEGIN"),
        ("", "no -----BEGIN"),
        (json.dumps({"keys": [RSA]}), "no -----BEGIN"),
    ],
)
def test_what_is_no_public_key_in_pem_is_refused(text: str, why: str) -> None:
    """Private keys, keys of other kinds, certificates, and what is none of it."""
    with pytest.raises(KeyUnfitError, match=why):
        from_pem(text)


def test_a_key_never_verifies_with_an_algorithm_of_another_type() -> None:
    """Whatever calls it: the list of algorithms is part of the key."""
    secret = from_secret(b"x" * 64)
    for algorithm in ("RS256", "ES256", "EdDSA", "none", ""):
        assert not secret.verifies(algorithm, b"", b"")
    assert not from_pem(pem(private_key("RS256")))[0].verifies("HS256", b"", b"")
