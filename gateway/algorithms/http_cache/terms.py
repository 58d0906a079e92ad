"""Permissions of a response for a shared cache (RFC 9111, 3 and 4.2; RFC 5861)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.algorithms.http_cache.directives import Directives, age_said, cache_control, http_date, seconds
from gateway.algorithms.http_cache.vary import vary_names
from gateway.http.bodies import Headers
from gateway.http.fields import tokens, values

HEURISTIC_SHARE: Final = 0.1  # of the time since its last change, for which a response is taken to be fresh
HEURISTIC_MOST: Final = 24 * 3600.0
HEADER_BYTES: Final = 16 * 1024  # of a response that is stored

HEURISTIC_STATUSES: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""Those that may be stored although the response does not say so (RFC 9110, 15.1); 206 is never stored here."""

_UNDERSTOOD: Final = HEURISTIC_STATUSES | {302, 303, 307, 400, 403, 500, 502, 503, 504}
"""Those whose caching needs nothing that is not done here, for `must-understand` (RFC 9111, 5.2.2.3)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The caching terms of a response. Times are in seconds.

    `refusal`: why it must not be stored; empty where it may.
    """

    refusal: str
    lifetime: float  # 0 where it says nothing, and none is assumed
    validated_always: bool  # no-cache
    never_stale: bool  # must-revalidate and its like
    never_stale_unless_said: bool  # s-maxage, beside which stale-if-error and its like still count
    while_revalidate: float | None
    if_error: float | None
    for_all: bool  # also where the request had a credential (RFC 9111, 3.5)
    has_validator: bool


def terms_of(status: int, headers: Headers, now: float, *, heuristic: bool = False) -> Terms:
    """The terms of a response that came at `now` (Unix time). `heuristic`: assume a lifetime where it says none."""
    fields = dict(headers)
    directives = cache_control(headers)
    # `Pragma: no-cache` of a response has no defined meaning, and can only be meant as one (RFC 9111, 5.4).
    # Why a response must not be stored, whatever the request was.
    understood = b"must-understand" in directives and status in _UNDERSTOOD
    names = vary_names(headers)
    said = not directives.keys().isdisjoint((b"public", b"max-age", b"s-maxage")) or b"expires" in fields
    reasons = (
        (status < 200 or status in (206, 304) or b"content-range" in fields, f"status {status} is no whole answer"),
        (b"must-understand" in directives and not understood, f"status {status} is not understood"),
        (b"no-store" in directives and not understood, "no-store"),
        (b"private" in directives, "private"),
        (b"set-cookie" in fields, "Set-Cookie"),
        (names is None, "Vary names too much"),
        (names is not None and b"*" in names, "Vary: *"),
        (fields.get(b"content-type", b"").lower().startswith(b"text/event-stream"), "an event stream"),
        (sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES, "its headers are too large"),
        (not said and status not in HEURISTIC_STATUSES, f"status {status} without a lifetime"),
    )
    return Terms(
        refusal=next((reason for holds, reason in reasons if holds), ""),
        lifetime=_lifetime(status, fields, directives, now, heuristic=heuristic),
        validated_always=b"no-cache" in directives
        or (b"pragma" in fields and not directives and b"no-cache" in tokens(headers, b"pragma")),
        never_stale=not directives.keys().isdisjoint((b"must-revalidate", b"proxy-revalidate", b"no-cache")),
        never_stale_unless_said=b"s-maxage" in directives,
        while_revalidate=seconds(directives, b"stale-while-revalidate"),
        if_error=seconds(directives, b"stale-if-error"),
        for_all=not directives.keys().isdisjoint((b"public", b"s-maxage", b"must-revalidate")),
        has_validator=b"etag" in fields or b"last-modified" in fields,
    )


def _lifetime(status: int, fields: dict[bytes, bytes], directives: Directives, now: float, *, heuristic: bool) -> float:
    """RFC 9111, 4.2.1."""
    for name in (b"s-maxage", b"max-age"):
        if (said := seconds(directives, name)) is not None:
            return said
    date = http_date(fields.get(b"date", b""))
    date = now if date is None else date
    if b"expires" in fields:
        expires = http_date(fields[b"expires"])
        return 0 if expires is None else max(0, expires - date)
    changed = http_date(fields.get(b"last-modified", b""))
    if heuristic and changed is not None and (status in HEURISTIC_STATUSES or b"public" in directives):
        return min(max(0, date - changed) * HEURISTIC_SHARE, HEURISTIC_MOST)
    return 0


def initial_age(headers: Headers, delay: float, now: float) -> float:
    """How old a response is when it comes, `delay` seconds after it was asked for (RFC 9111, 4.2.3)."""
    dates = values(headers, b"date")
    date = http_date(dates[0]) if dates else None
    apparent = 0 if date is None else max(0, now - date)
    return max(apparent, age_said(headers) + max(0, delay))
