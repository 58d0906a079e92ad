"""A JSON Web Token in its compact form (RFC 7519, RFC 7515), parsed strictly and not yet verified. Pure.

Everything that two readers could read in two ways is refused: base64url with padding or with bits that do not count,
duplicated members of a JSON object, header parameters that change what the signature is over.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 16 * 1024  # of a token
MAX_KID = 256  # characters

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_TYPES = frozenset({"jwt", "at+jwt", "jose"})


class TokenError(Exception):
    """A token that does not hold; the text says why, to the client."""


class TokenTimeError(TokenError):
    """A token that does not hold now. `seconds`: since it expired; negative: until it begins to hold."""

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Token:
    """The claims of a token."""

    algorithm: str
    kid: str | None
    claims: dict[str, Any]
    signed: bytes  # what the signature is over
    signature: bytes


def parse(data: bytes) -> Token:
    """Take a token apart. Raises TokenError."""
    if len(data) > MAX_BYTES:
        raise TokenError(f"the token is larger than {MAX_BYTES // 1024} KiB")
    match = _COMPACT.fullmatch(data)
    if match is None:
        raise TokenError("the token is not three parts of base64url without padding")
    header = _object(match[1], "header")
    algorithm, kid = _check_header(header)
    claims = _object(match[2], "payload")
    return Token(algorithm, kid, claims, data[: match.end(2)], base64url(match[3]))


def _check_header(header: dict[str, Any]) -> tuple[str, str | None]:
    """`alg` and `kid`. What else could point to a key (`jwk`, `jku`, `x5u`, `x5c`) is not even looked at."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise TokenError("the token names no algorithm")
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise TokenError(f"the token's kid is not a text of at most {MAX_KID} characters")
    if "crit" in header or "b64" in header:
        raise TokenError("the token's header has extensions that are not understood here (crit, b64)")
    if "enc" in header or "zip" in header:
        raise TokenError("the token is encrypted or compressed, which is not understood here")
    if not _is_access_token(header.get("typ", "JWT")) or "cty" in header:
        raise TokenError("the token is of another type than JWT (typ, cty)")
    return algorithm, kid


def _is_access_token(kind: Any) -> bool:
    """RFC 8725, 3.11: a logout token or a proof, say, of the same issuer is signed by the same key."""
    return isinstance(kind, str) and kind.lower().removeprefix("application/") in _TYPES


def base64url(part: bytes) -> bytes:
    """The bytes that a part stands for, if it is the one way to write them (RFC 7515, 2). Raises TokenError."""
    if len(part) % 4 == 1 or b"=" in part:
        raise TokenError("a part of the token is not base64url without padding")
    try:
        data = urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        raise TokenError("a part of the token is not base64url") from None
    if binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=") != part:
        raise TokenError("a part of the token is not written as base64url writes it")
    return data


_TO_URL = bytes.maketrans(b"+/", b"-_")


def _object(part: bytes, what: str) -> dict[str, Any]:
    try:
        value = load_json(base64url(part))
    except (ValueError, RecursionError):
        raise TokenError(f"the token's {what} is not JSON, or has a member twice") from None
    if not isinstance(value, dict):
        raise TokenError(f"the token's {what} is not a JSON object")
    return value


def load_json(data: bytes) -> Any:
    """JSON in UTF-8, without duplicated members, NaN and infinities. Raises ValueError or RecursionError."""
    return json.loads(data.decode("utf-8"), object_pairs_hook=_members, parse_constant=_no_number)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is duplicated")
    return members


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
