"""`ETag` and `If-Match` (RFC 9110, 8.8.3 and 13.1.1): no lost updates."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Annotated, Any, Final

import orjson
from fastapi import Depends, Header, Request

from gateway.control_plane.problems import Problem

_TAG: Final = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_HEADER: Final = Header(
    alias="If-Match",
    description="The `ETag` of the object to change, or `*`; none: it is changed unconditionally.",
    json_schema_extra={"pattern": r'^(|\*|"[!#-~]*")$'},
)
_MOST: Final = 100  # tags of one request
_CHANGED: Final = "the object has changed since (If-Match); read it again, and repeat the change"


def etag_of(*parts: Any) -> str:
    """The tag of what a PUT replaces: it changes with any of these values of JSON, and with nothing else."""
    return f'"{sha256(orjson.dumps(parts, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]}"'


def _wanted(
    request: Request,
    _: Annotated[str, _HEADER] = "",
) -> tuple[str, ...] | None:
    """The tags of `If-Match`; None: there is none. `*` stands for any. A weak one matches nothing."""
    given = ",".join(request.headers.getlist("if-match")).strip()
    if not given:
        return None
    if given == "*":
        return ("*",)
    tags = [match[0] for match in _TAG.finditer(given)]
    if not tags or len(tags) > _MOST or _TAG.sub("", given).strip(", \t"):
        raise Problem(400, 'If-Match: expected tags in quotes, such as "0123abcd", or *')
    return tuple(tag for tag in tags if not tag.startswith("W/"))


IfMatch = Annotated[tuple[str, ...] | None, Depends(_wanted)]
"""The parameter of an operation that changes something."""


def confirm(wanted: tuple[str, ...] | None, tag: str) -> None:
    """Raises Problem where a change is meant for another state than this."""
    if wanted is not None and "*" not in wanted and tag not in wanted:
        raise Problem(412, _CHANGED, headers={"etag": tag})
