"""Everything that depends on the version of the protocol (the header `MCP-Protocol-Version`), in one file.

Up to 2025-11-25 there is a handshake (`initialize`), a session, and a stream (GET) for what servers say by themselves;
2025-03-26 alone has batches. Since 2026-07-28 every request stands for itself: its version is in `params._meta`, what
it asks for also in the headers `Mcp-Method` and `Mcp-Name`, and streams of their own begin with
`subscriptions/listen`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.http import Exchange
from gateway.http.fields import values
from gateway.mcp.messages import HEADER_MISMATCH, INVALID_PARAMS, METHOD_NOT_FOUND, BadMessage, Message

KNOWN: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
"""All versions, the oldest first."""

WITH_HANDSHAKE: Final = KNOWN[:4]

VERSION_HEADER: Final = b"mcp-protocol-version"
SESSION_HEADER: Final = b"mcp-session-id"
METHOD_HEADER: Final = b"mcp-method"
NAME_HEADER: Final = b"mcp-name"

DISCOVER: Final = "server/discover"
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"

VERSION_IN_META: Final = "io.modelcontextprotocol/protocolVersion"
SERVER_IN_META: Final = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_IN_META: Final = "io.modelcontextprotocol/subscriptionId"

NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Which parameter of a request `Mcp-Name` repeats."""

_STATUSES: Final = {METHOD_NOT_FOUND: 404, INVALID_PARAMS: 400, HEADER_MISMATCH: 400}
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=")


def stands_alone(exchange: Exchange) -> bool:
    """Whether the request is of a version without sessions."""
    version = exchange.fields.get(VERSION_HEADER, b"").decode("latin-1")
    return version in KNOWN and version not in WITH_HANDSHAKE


def status_of_error(code: int, *, alone: bool) -> int:
    """With which status a server would send an error that answers a request."""
    return _STATUSES.get(code, 200) if alone else 200


def oldest(versions: Iterable[str]) -> str:
    """Of these, which are known, what all who speak them understand."""
    return min(versions, key=KNOWN.index)


def check_headers(exchange: Exchange, messages: Sequence[Message]) -> None:
    """Headers must agree with the message, since intermediaries may use them.

    Raises BadMessage.
    """
    for name in (VERSION_HEADER, SESSION_HEADER, METHOD_HEADER, NAME_HEADER):
        if name in exchange.fields and len(values(exchange.headers, name)) > 1:
            raise _mismatch(name, "is there more than once", messages)
    method = exchange.fields.get(METHOD_HEADER)
    if method is not None and messages and [method.decode("latin-1")] != [each.method for each in messages]:
        raise _mismatch(METHOD_HEADER, "is not the method of the message", messages)
    about = exchange.fields.get(NAME_HEADER)
    if about is not None and messages and [read_header(about)] != [named(each) for each in messages]:
        raise _mismatch(NAME_HEADER, "is not what the message names", messages)
    version = exchange.fields.get(VERSION_HEADER)
    for message in messages:
        meta = message.params.get("_meta")
        said = meta.get(VERSION_IN_META) if isinstance(meta, dict) else None
        if said is not None and (version is None or said != version.decode("latin-1")):
            raise _mismatch(VERSION_HEADER, "is not the version of the message", messages)


def named(message: Message) -> object:
    """The subject of a message: the name of a tool or prompt, or the URI of a resource."""
    return message.params.get(NAMED_BY.get(message.method, ""))


def read_header(value: bytes) -> str | None:
    """The text of a header that may be encoded; None where it cannot be read."""
    text = value.decode("latin-1")
    match = _ENCODED.fullmatch(text)
    if match is None:
        return text
    try:
        return base64.b64decode(match[1], validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def written_header(text: str) -> bytes:
    """The value of a header for this text."""
    plain = re.fullmatch(r"[ -~]*", text) is not None and text == text.strip() and not _ENCODED.fullmatch(text)
    return text.encode() if plain else b"=?base64?" + base64.b64encode(text.encode()) + b"?="


def _mismatch(header: bytes, why: str, messages: Sequence[Message]) -> BadMessage:
    id = messages[0].id if len(messages) == 1 else ""
    return BadMessage(HEADER_MISMATCH, f"the header {header.decode()} {why}", id or "null")
