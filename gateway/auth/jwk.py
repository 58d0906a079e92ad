"""Keys that verify tokens: from PEM, from a secret, and from JSON Web Keys (RFC 7517), with what makes them unfit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import InvalidKeyError

from gateway.auth.token import TokenError, base64url

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

RSA_BITS = range(2048, 8193)
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_PEM_END = "-----END PUBLIC KEY-----"
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
OTHER_PURPOSES = ("its use is not sig", "its key_ops do not have verify")
"""Why a key that is sound is not for verifying signatures."""

_REQUIRED = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",), "oct": ("k",)}
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)

ALGORITHMS: dict[str, Algorithm] = get_default_algorithms()
"""pyjwt's implementations, by the name of the algorithm."""


class KeyUnfitError(ValueError):
    """A key that must not be used; the text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key, and the algorithms that it may verify: those of its type, and no other."""

    kid: str | None
    algorithms: frozenset[str]
    material: PublicKey | bytes

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is by this key. An algorithm that the key is not for never verifies anything."""
        if algorithm not in self.algorithms:
            return False
        try:
            return ALGORITHMS[algorithm].verify(signed, self.material, signature)
        except ValueError:  # a signature that is not of the form that the algorithm has
            return False


def from_secret(secret: bytes) -> Key:
    """A secret, for as many of the HMACs as it is long enough for (RFC 7518, 3.2)."""
    algorithms = frozenset(name for name, size in SECRET_BYTES.items() if len(secret) >= size)
    if not algorithms:
        raise KeyUnfitError("a secret of less than 32 bytes is too short")
    return Key(None, algorithms, secret)


def from_pem(text: str) -> list[Key]:
    """Public keys, one after the other. Raises KeyUnfitError."""
    if "PRIVATE KEY-----" in text:
        raise KeyUnfitError("this is a private key; the gateway needs only the public one: openssl pkey -pubout")
    blocks = [block + _PEM_END for block in text.split(_PEM_END)[:-1]]
    if not blocks:
        raise KeyUnfitError("it has no -----BEGIN PUBLIC KEY-----")
    return [_public(None, _load_pem(block.strip())) for block in blocks]


def _load_pem(block: str) -> Any:
    try:
        return load_pem_public_key(block.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnfitError("it is not a public key in PEM") from None


def from_jwk(jwk: Any) -> Key:
    """A JSON Web Key that is for verifying signatures. Raises KeyUnfitError.

    Certificates and URLs in it (`x5c`, `x5u`) are not looked at.
    """
    if not isinstance(jwk, dict):
        raise KeyUnfitError("it is not a JSON object")
    kind, kid, algorithm = jwk.get("kty"), jwk.get("kid"), jwk.get("alg")
    if not isinstance(kind, str) or kind not in _REQUIRED:
        raise KeyUnfitError("its kty is not RSA, EC, OKP or oct")
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        raise KeyUnfitError("its kid or its alg is not a text")
    # RFC 7517, 4.2 and 4.3.
    not_for_signatures, not_for_verifying = OTHER_PURPOSES
    if jwk.get("use") not in (None, "sig"):
        raise KeyUnfitError(not_for_signatures)
    operations = jwk.get("key_ops")
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        raise KeyUnfitError(not_for_verifying)
    for name in _REQUIRED[kind]:
        if not isinstance(jwk.get(name), str):
            raise KeyUnfitError(f"it has no {name}")
        try:
            base64url(jwk[name].encode())
        except (TokenError, UnicodeEncodeError):
            raise KeyUnfitError(f"its {name} is not base64url without padding") from None
    if kind != "oct" and any(name in jwk for name in _PRIVATE):
        raise KeyUnfitError("it has private parts, so others may have it, too")
    key = from_secret(base64url(jwk["k"].encode())) if kind == "oct" else _public(kid, _load_jwk(jwk, kind))
    if algorithm is None:
        return Key(kid, key.algorithms, key.material)
    if algorithm not in key.algorithms:
        raise KeyUnfitError("its alg is not one for keys of its type, size or curve")
    return Key(kid, frozenset({algorithm}), key.material)


def _load_jwk(jwk: dict[str, Any], kind: str) -> Any:
    family = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[kind]
    public = {name: jwk[name] for name in ("kty", "crv", *_REQUIRED[kind]) if name in jwk}
    try:
        return ALGORITHMS[family].from_jwk(public)
    except (InvalidKeyError, ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyUnfitError("its numbers are not those of a key of its type") from None


def _public(kid: str | None, material: Any) -> Key:
    """A public key with the algorithms of its type."""
    if isinstance(material, RSAPublicKey):
        if material.key_size not in RSA_BITS:
            raise KeyUnfitError(f"it has {material.key_size} bits; RSA keys have {RSA_BITS[0]} to {RSA_BITS[-1]} here")
        if _is_roca(material.public_numbers().n):
            raise KeyUnfitError("it was made by a device whose keys can be factored (ROCA, CVE-2017-15361)")
        return Key(kid, RSA_ALGORITHMS, material)
    if isinstance(material, EllipticCurvePublicKey) and material.curve.name in CURVES:
        return Key(kid, frozenset({CURVES[material.curve.name]}), material)
    if isinstance(material, Ed25519PublicKey | Ed448PublicKey):
        return Key(kid, frozenset({"EdDSA"}), material)
    raise KeyUnfitError("it is not a key for RS, PS, ES256, ES384, ES512 or EdDSA")


def _is_roca(modulus: int) -> bool:
    """Whether the modulus is a power of 65537 modulo each of these primes; of others, one in 2^27 is."""
    return all(modulus % prime in {pow(65537, power, prime) for power in range(prime)} for prime in _ROCA_PRIMES)


def from_jwks(document: Any) -> tuple[list[Key], list[str]]:
    """The keys of a JSON Web Key Set that are fit, and what is wrong with each of the others. Raises KeyUnfitError.

    Public keys may share a kid (RFC 7517, 4.5): which of them a token means, its algorithm and its signature say.
    Secrets that share one are unfit, and so is a set that mixes secrets with public keys.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise KeyUnfitError("it is not a JSON Web Key Set")
    objects = [jwk for jwk in keys if isinstance(jwk, dict)]
    if len({jwk.get("kty") == "oct" for jwk in objects}) == 2:
        raise KeyUnfitError("it mixes secrets with public keys")
    kids = Counter(jwk["kid"] for jwk in objects if isinstance(jwk.get("kid"), str))
    fit, wrong = [], []
    for index, jwk in enumerate(keys):
        try:
            key = from_jwk(jwk)
            if key.kid is not None and isinstance(key.material, bytes) and kids[key.kid] > 1:
                raise KeyUnfitError("another key has the same kid")
            fit.append(key)
        except KeyUnfitError as error:
            wrong.append(f"keys[{index}]: {error}")
    return fit, wrong
