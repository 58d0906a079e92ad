"""JSON-RPC 2.0 messages of MCP: what of them is read, and the errors that answer them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.mcp.json_text import (
    MOST_CONTAINERS,
    Ambiguous,
    NotJson,
    Part,
    decoded,
    elements,
    joined,
    members,
    skip,
    written,
)

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
REFUSED: Final = -32000  # by a limit, by a policy, or because a server is not there
TIMED_OUT: Final = -32001
HEADER_MISMATCH: Final = -32020

MOST_MESSAGES: Final = 1000  # in one batch

CALL: Final = "tools/call"
LIST_TOOLS: Final = "tools/list"
LISTEN: Final = "subscriptions/listen"  # whose answer is a stream without an end
INITIALIZE: Final = "initialize"
CANCELLED: Final = "notifications/cancelled"

METHODS: Final = frozenset(
    {
        *(INITIALIZE, "ping", "server/discover", LISTEN, CALL, LIST_TOOLS, "prompts/list"),
        *("prompts/get", "resources/list", "resources/read", "resources/templates/list", "resources/subscribe"),
        *("resources/unsubscribe", "completion/complete", "logging/setLevel", CANCELLED, "notifications/initialized"),
        *("notifications/progress", "notifications/roots/list_changed"),
    }
)
"""Messages of clients, in all versions of the protocol."""

_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_PARAMETERS: Final = frozenset({"name", "arguments", "uri", "ref", "cursor", "requestId", "_meta", "level"})


class BadMessage(Exception):
    """A message that is answered with an error. `id` is that of the request, as JSON; `status` that of the answer."""

    def __init__(self, code: int, sentence: str, id: str = "null", status: int = 400) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.id = id
        self.status = status


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as it stands in a text."""

    text: str = field(repr=False)  # what it is part of
    start: int
    end: int
    members: Mapping[str, Part] = field(repr=False)
    method: str  # empty: it is an answer
    id: str  # as JSON; empty: a notification

    @property
    def raw(self) -> str:
        """The message as it was sent."""
        return self.text[self.start : self.end]

    @property
    def is_request(self) -> bool:
        """Whether it is to be answered."""
        return bool(self.method and self.id)

    @property
    def key(self) -> str:
        """Its id, the same however it is written; empty where it has none."""
        return written(self.members["id"].value) if self.id else ""

    @property
    def is_answer(self) -> bool:
        """Whether it ends a request."""
        return "result" in self.members or "error" in self.members

    @property
    def params(self) -> Mapping[str, Any]:
        """Its parameters; empty where it has none, or a list of them, which MCP does not know."""
        part = self.members.get("params")
        return part.value if part is not None and isinstance(part.value, dict) else {}

    @property
    def result(self) -> Mapping[str, Any]:
        """Of an answer, its result; empty where that is an error."""
        part = self.members.get("result")
        return part.value if part is not None and isinstance(part.value, dict) else {}

    def parameters(self) -> dict[str, Part]:
        """Its parameters, with their places. Raises NotJson."""
        part = self.members.get("params")
        return members(self.text, part.start) if part is not None and isinstance(part.value, dict) else {}


@dataclass(frozen=True, slots=True)
class Messages:
    """The contents of one body: a message, or a batch of them."""

    several: tuple[Message, ...]
    batch: bool

    def only(self, kept: Sequence[Message]) -> bytes:
        """The body with these messages only."""
        return joined(message.raw for message in kept).encode()


def read(body: bytes) -> Messages:
    """The messages of a body that a client has sent. Raises BadMessage."""
    try:
        text = decoded(body, MOST_CONTAINERS)
        start = skip(text, 0)
        if text[start] != "[":
            return Messages((_message(text, start),), batch=False)
        parts = elements(text, start)
        if not 1 <= len(parts) <= MOST_MESSAGES:
            raise BadMessage(INVALID_REQUEST, f"a batch has 1 to {MOST_MESSAGES} messages")
        return Messages(tuple(_message(text, part.start) for part in parts), batch=True)
    except Ambiguous as error:
        raise BadMessage(INVALID_REQUEST, f"the message is ambiguous: {error}") from None
    except NotJson as error:
        raise BadMessage(PARSE_ERROR, f"the message cannot be read: {error}") from None


def read_answers(text: str) -> list[Message]:
    """The messages that a server has sent, one or a batch; what is none is left out. Raises NotJson."""
    decoded(text.encode("utf-8", "replace"))
    start = skip(text, 0)
    starts = [part.start for part in elements(text, start)] if text[start] == "[" else [start]
    return [_made(text, each, members(text, each)) for each in starts if text[each] == "{"]


def _message(text: str, start: int) -> Message:
    if text[start] != "{":
        raise BadMessage(INVALID_REQUEST, "a message is an object")
    found = members(text, start)
    made = _made(text, start, found)
    id = made.id or "null"
    _check_names(found, _MEMBERS, id)
    if "jsonrpc" not in found or found["jsonrpc"].value != "2.0":
        raise BadMessage(INVALID_REQUEST, 'a message has "jsonrpc": "2.0"', id)
    method, given = found.get("method"), found.get("id")
    unknown = given is not None and given.value is None and method is None and "error" in found
    if given is not None and not made.id and not unknown:
        raise BadMessage(INVALID_REQUEST, "the id of a message is a text or a whole number")
    if method is None:
        if "result" not in found and "error" not in found:
            raise BadMessage(INVALID_REQUEST, "a message has a method, or a result or error", id)
        return made
    if "result" in found or "error" in found:
        raise BadMessage(INVALID_REQUEST, "a message has a method, or a result or error, and not both", id)
    if not isinstance(method.value, str):
        raise BadMessage(INVALID_REQUEST, "the method of a message is a text", id)
    known = folded(method.value)
    if known in _FOLDED and method.value not in METHODS:
        raise BadMessage(METHOD_NOT_FOUND, "unknown method; method names are case-sensitive", id)
    if known in _FOLDED and isinstance(made.members.get("params", _NOTHING).value, dict):
        _check_names(made.params, _PARAMETERS, id)
    return made


def _made(text: str, start: int, found: Mapping[str, Part]) -> Message:
    method, given = found.get("method"), found.get("id")
    name = method.value if method is not None and isinstance(method.value, str) else ""
    has_id = given is not None and isinstance(given.value, str | int) and not isinstance(given.value, bool)
    end = text.index("}", max((part.end for part in found.values()), default=start)) + 1
    return Message(text, start, end, found, name, text[given.start : given.end] if given and has_id else "")


def _check_names(names: Mapping[str, object], known: frozenset[str], id: str) -> None:
    """Some readers take names in any letter case, and end them at a NUL."""
    for name in names:
        if name not in known and folded(name) in _KNOWN_FOLDED[known]:
            raise BadMessage(INVALID_REQUEST, "the message is ambiguous: a member's name is written otherwise", id)


def folded(name: str) -> str:
    """The form of a name for readers that ignore letter case, width, space and control characters."""
    plain = unicodedata.normalize("NFKC", name)
    return "".join(each for each in plain if each.isprintable()).strip().casefold()


def is_strange_call(method: str) -> bool:
    """Whether a method may be another way to call tools, which a server has beside that of the protocol."""
    return method not in METHODS and folded(method).startswith("tool")


_NOTHING: Final = Part(None, 0, 0)
_FOLDED: Final = frozenset(map(folded, METHODS))
_KNOWN_FOLDED: Final = {names: frozenset(map(folded, names)) for names in (_MEMBERS, _PARAMETERS)}


def error_text(id: str, code: int, sentence: str, data: object = None) -> str:
    """A JSON-RPC error that answers the request with this id, which is JSON."""
    error: dict[str, object] = {"code": code, "message": sentence}
    if data is not None:
        error["data"] = data
    return f'{{"jsonrpc":"2.0","id":{id or "null"},"error":{written(error)}}}'
