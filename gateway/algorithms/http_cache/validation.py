"""Asking whether a stored response is still right, and answering a client who asks that.

(RFC 9110, 13; RFC 9111, 4.3.)
"""

from __future__ import annotations

from typing import Final

from gateway.algorithms.http_cache.directives import http_date
from gateway.http.bodies import Headers
from gateway.http.fields import CONNECTION_FIELDS, values

CONDITIONS: Final = frozenset({b"if-none-match", b"if-modified-since"})
"""Those that a cache may answer itself."""

FOR_THE_ORIGIN: Final = frozenset({b"range", b"if-range", b"if-match", b"if-unmodified-since"})
"""Those that only the origin can, or of which only parts come (RFC 9111, 4.3.2)."""

_KEPT: Final = CONNECTION_FIELDS | {b"content-length", b"content-encoding", b"content-type", b"content-range", b"age"}
"""Fields that a 304 does not update (RFC 9111, 3.2): they describe the connection or the stored bytes."""

_OF_A_304: Final = frozenset(
    {
        b"cache-control",
        b"cache-status",
        b"content-location",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        b"vary",
        b"age",
    }
)


def conditions_for(headers: Headers) -> Headers:
    """The lines that ask the origin whether a stored response with these headers is still right."""
    fields = dict(headers)
    asked = ((b"if-none-match", b"etag"), (b"if-modified-since", b"last-modified"))
    return [(condition, fields[name]) for condition, name in asked if name in fields]


def updated(stored: Headers, answer: Headers) -> Headers:
    """The headers of a stored response that a 304 with these confirmed (RFC 9111, 3.2)."""
    new = [line for line in answer if line[0] not in _KEPT]
    names = {name for name, _ in new}
    return [line for line in stored if line[0] not in names] + new


def is_confirmed(stored: Headers, answer: Headers) -> bool:
    """Whether a 304 is about this stored response: its strong validator, where it has one, is the same."""
    tag = dict(answer).get(b"etag")
    return tag is None or _opaque(tag) == _opaque(dict(stored).get(b"etag", tag))


def differs(stored: Headers, head: Headers) -> bool:
    """Whether the answer to a HEAD is about another response than the stored one (RFC 9111, 4.3.5)."""
    old, new = dict(stored), dict(head)
    shared = (name for name in (b"etag", b"last-modified", b"content-length") if name in old and name in new)
    return any(old[name] != new[name] for name in shared)


def is_not_modified(request: Headers, response: Headers) -> bool:
    """Whether a client who sent these conditions has this response already (RFC 9110, 13.2.2)."""
    tags = values(request, b"if-none-match")
    fields = dict(response)
    if tags:
        mine = fields.get(b"etag")
        named = {_opaque(tag.strip()) for line in tags for tag in line.split(b",")}
        return b"*" in named or (mine is not None and _opaque(mine) in named)
    since = [http_date(value) for value in values(request, b"if-modified-since")]
    changed = http_date(fields.get(b"last-modified", b""))
    return len(since) == 1 and since[0] is not None and changed is not None and changed <= since[0]


def _opaque(tag: bytes) -> bytes:
    """A tag without its weakness, as it is compared here (RFC 9110, 8.8.3.2)."""
    return tag.removeprefix(b"W/")


def of_a_304(headers: Headers) -> Headers:
    """The lines that a 304 has of the 200 in whose place it stands (RFC 9110, 15.4.5)."""
    return [line for line in headers if line[0] in _OF_A_304]
