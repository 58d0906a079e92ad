"""Parts of a request that may be credentials, and must not be logged, beside headers and query."""

from __future__ import annotations

import re
from typing import Final

_USERINFO: Final = re.compile(r"\A((?:[A-Za-z][A-Za-z0-9+.-]*:[/\\]+|[/\\]{2,})?)[^/\\]*@")
"""What is before the host of a URL; also of one that lacks its scheme or a slash, as browsers take it nevertheless."""


def without_userinfo(text: str) -> str:
    """A host or a request target without the user and the password that a refused request may have before its host."""
    return text if "@" not in text or text.startswith("/") else text.rpartition("@")[2]


def shown_query(query: bytes) -> str:
    """The query of a request for what it is logged by: without its values, which may be credentials."""
    return _without_values(query.decode("latin-1"))


def shown_url(url: str) -> str:
    """A URL for a log: without the user and the values of the query, which may be what the gateway proves itself by."""
    before, mark, query = url.partition("?")
    if "@" not in before:
        return f"{before}?{_without_values(query)}" if mark else url
    return _USERINFO.sub(r"\1", before) + mark + _without_values(query)


def _without_values(query: str) -> str:
    """Names and what separates them stay; a part without a name is a value."""
    return "&".join([_without_value(part) for part in query.split("&")])


def _without_value(part: str) -> str:
    name, equals, value = part.partition("=")
    if not equals:
        return "(hidden)" if part else ""
    return f"{name}=(hidden)" if value else part
