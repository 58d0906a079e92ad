"""Reuse of a stored response for a request (RFC 9111, 4.2.4 and 5.2.1; RFC 5861)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from gateway.algorithms.http_cache.directives import MOST_SECONDS, cache_control, seconds
from gateway.algorithms.http_cache.terms import Terms
from gateway.http.bodies import Headers
from gateway.http.fields import tokens

ERRORS: Final = frozenset({500, 502, 503, 504})
"""Statuses in whose place a stale response may be served (RFC 5861, 4)."""

Verdict = Literal["fresh", "stale", "refresh", "validate"]
"""Use it; use it though it is stale; the same, and ask for a new one meanwhile; ask first."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The cache directives of a request. Times are in seconds."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age: float | None = None
    min_fresh: float = 0
    max_stale: float | None = None
    if_error: float | None = None


NO_WISH: Final = Wish()


@dataclass(frozen=True, slots=True)
class Leeway:
    """How long, in seconds, a response may be served stale that says nothing of that itself."""

    while_revalidate: float = 0
    if_error: float = 0


NO_LEEWAY: Final = Leeway()


def wish_of(headers: Headers, fields: dict[bytes, bytes]) -> Wish:
    """The wish of a request."""
    if b"cache-control" not in fields:
        old = b"pragma" in fields and b"no-cache" in tokens(headers, b"pragma")
        return Wish(no_cache=True) if old else NO_WISH
    directives = cache_control(headers)
    max_stale = seconds(directives, b"max-stale")
    return Wish(
        no_store=b"no-store" in directives,
        no_cache=b"no-cache" in directives,
        only_if_cached=b"only-if-cached" in directives,
        max_age=seconds(directives, b"max-age"),
        min_fresh=seconds(directives, b"min-fresh") or 0,
        max_stale=MOST_SECONDS if directives.get(b"max-stale") == b"" else max_stale,
        if_error=seconds(directives, b"stale-if-error"),
    )


def verdict(terms: Terms, age: float, wish: Wish = NO_WISH, leeway: Leeway = NO_LEEWAY) -> Verdict:
    """The action for a stored response of this age."""
    if terms.validated_always or wish.no_cache or (wish.max_age is not None and age > wish.max_age):
        return "validate"
    left = terms.lifetime - age
    if left > 0:
        return "fresh" if left >= wish.min_fresh else "validate"
    if terms.never_stale or wish.min_fresh:
        return "validate"
    if wish.max_stale is not None and -left <= wish.max_stale and not terms.never_stale_unless_said:
        return "stale"
    configured = leeway.while_revalidate if terms.lifetime > 0 else 0  # what was never fresh is not used again unasked
    return "refresh" if -left < _allowed(terms.while_revalidate, configured, terms) else "validate"


def may_replace_error(terms: Terms, age: float, wish: Wish = NO_WISH, leeway: Leeway = NO_LEEWAY) -> bool:
    """Whether a stored response of this age may be served where the backend fails."""
    if terms.never_stale:
        return False
    allowed = _allowed(terms.if_error, leeway.if_error, terms)
    if wish.if_error is not None and not terms.never_stale_unless_said:
        allowed = max(allowed, wish.if_error)
    return age - terms.lifetime < allowed


def may_be_stale_copy(terms: Terms) -> bool:
    """Whether it may be served, however old, where the operator wants that rather than an error (RFC 9111, 4.2.4)."""
    return not (terms.refusal or terms.never_stale or terms.never_stale_unless_said)


def _allowed(said: float | None, otherwise: float, terms: Terms) -> float:
    if said is not None:
        return said
    return 0 if terms.never_stale_unless_said else otherwise
