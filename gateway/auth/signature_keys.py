"""The keys that sign requests (RFC 9421, 3.3), each for one algorithm."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

MIN_RSA_BITS = 2048

Verify = Callable[[bytes, bytes], bool]
"""(signature, what is signed) -> whether it is right."""


class SignatureKeyError(ValueError):
    """The key does not fit; the text says why, and nothing of the key."""


@dataclass(frozen=True, slots=True)
class SignatureKey:
    """A key, and the algorithm that it is for."""

    algorithm: str
    verifies: Verify


def shared_key(secret: bytes) -> SignatureKey:
    """A key for hmac-sha256 (3.3.3)."""

    def verifies(signature: bytes, signed: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(secret, signed, "sha256"), signature)

    return SignatureKey("hmac-sha256", verifies)


def public_key(algorithm: str, pem: bytes) -> SignatureKey:
    """A key for any other algorithm. Raises SignatureKeyError if it does not fit the algorithm."""
    try:
        key = load_pem_public_key(pem)
    except Exception:  # a malformed key raises many kinds of errors
        raise SignatureKeyError("this is not a public key in PEM (-----BEGIN PUBLIC KEY-----)") from None
    return SignatureKey(algorithm, _verify(algorithm, key))


def _verify(algorithm: str, key: Any) -> Verify:
    if algorithm == "ed25519" and isinstance(key, Ed25519PublicKey):
        return _quiet(key.verify)
    if algorithm == "ecdsa-p256-sha256" and _is_on(key, ec.SECP256R1):
        return _ecdsa(key, 32, hashes.SHA256())
    if algorithm == "ecdsa-p384-sha384" and _is_on(key, ec.SECP384R1):
        return _ecdsa(key, 48, hashes.SHA384())
    if algorithm.startswith("rsa-") and isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise SignatureKeyError(f"the key has {key.key_size} bits, and needs at least {MIN_RSA_BITS}")
        if algorithm == "rsa-pss-sha512":
            pss = padding.PSS(padding.MGF1(hashes.SHA512()), salt_length=64)
            return _quiet(lambda signature, signed: key.verify(signature, signed, pss, hashes.SHA512()))
        pkcs1 = padding.PKCS1v15()
        return _quiet(lambda signature, signed: key.verify(signature, signed, pkcs1, hashes.SHA256()))
    raise SignatureKeyError(f"this key is not one for {algorithm}")


def _is_on(key: Any, curve: type[ec.EllipticCurve]) -> bool:
    return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, curve)


def _quiet(verify: Callable[[bytes, bytes], object]) -> Verify:
    def verifies(signature: bytes, signed: bytes) -> bool:
        try:
            verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return verifies


def _ecdsa(key: EllipticCurvePublicKey, size: int, hash_: hashes.HashAlgorithm) -> Verify:
    """A signature is r and s, one after the other (3.3.4, 3.3.5)."""
    algorithm = ec.ECDSA(hash_)

    def verify(signature: bytes, signed: bytes) -> None:
        if len(signature) != 2 * size:
            raise InvalidSignature
        r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        key.verify(encode_dss_signature(r, s), signed, algorithm)

    return _quiet(verify)
