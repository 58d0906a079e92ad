"""Validates the claims of a verified token (RFC 7519, 4.1), and makes its identity. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.auth.token import TokenError, TokenTimeError

MAX_TEXT = 200  # characters of a name, a group or a scope
MAX_LIST = 500  # groups, or scopes
LATEST = 253_402_300_800.0  # the year 10000, in seconds since 1970

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """The required claims of one issuer's tokens."""

    audiences: frozenset[str]  # none: any
    leeway: float  # seconds
    required: tuple[str, ...]


def check(claims: Claims, rules: ClaimRules, now: float) -> float:
    """The expiry of a token, in seconds since 1970. Raises TokenError if it is invalid now."""
    expires = _time(claims, "exp")
    if expires is None:
        raise TokenError("the token has no exp")
    if now >= expires + rules.leeway:
        raise TokenTimeError("the token has expired", now - expires)
    begins, issued = _time(claims, "nbf"), _time(claims, "iat")
    if begins is not None and now < begins - rules.leeway:
        raise TokenTimeError("the token does not hold yet", now - begins)
    if issued is not None and now < issued - rules.leeway:
        raise TokenTimeError("the token was issued in the future", now - issued)
    _check_audience(claims.get("aud"), rules.audiences)
    for name in rules.required:
        if claim(claims, name) is None:
            raise TokenError(f"the token has no {name}")
    return expires


def _time(claims: Claims, name: str) -> float | None:
    """A NumericDate (RFC 7519, 2): a number, and neither a text nor true."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LATEST:
        raise TokenError(f"the token's {name} is not a time")
    return value


def _check_audience(value: Any, audiences: frozenset[str]) -> None:
    meant_for = [value] if isinstance(value, str) else value
    if not audiences:
        return
    if not isinstance(meant_for, list) or not all(isinstance(name, str) for name in meant_for):
        raise TokenError("the token has no valid audience (aud)")
    if audiences.isdisjoint(meant_for):
        raise TokenError("the token is for another audience (aud)")


def claim(claims: Claims, path: str) -> Any:
    """A claim, or one within another (`realm_access.roles`); one whose name has dots itself goes first."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def name(claims: Claims, path: str) -> str | None:
    """A claim that is a name. Raises TokenError where it is something else."""
    value = claim(claims, path)
    if value is None:
        return None
    if not isinstance(value, str) or not _is_name(value):
        raise TokenError(f"the token's {path} is not a name of at most {MAX_TEXT} printable characters")
    return value


def names(claims: Claims, path: str, separator: str | None = None) -> frozenset[str]:
    """A claim that is a list of names, or one text, which `separator` parts. Raises TokenError."""
    value = claim(claims, path)
    if value is None:
        return frozenset()
    if isinstance(value, str):
        value = value.split(separator) if separator else [value]
    if not isinstance(value, list) or len(value) > MAX_LIST:
        raise TokenError(f"the token's {path} is not a list of at most {MAX_LIST} names")
    if not all(isinstance(item, str) and (not item or _is_name(item)) for item in value):
        raise TokenError(f"the token's {path} has what is not a name")
    return frozenset(value) - {""}


def _is_name(text: str) -> bool:
    """Whether a text can be written in a header and a log line and read back unchanged."""
    return 0 < len(text) <= MAX_TEXT and text.isprintable() and text == text.strip()
