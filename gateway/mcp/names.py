"""Names of one server of several, and the names that clients use for them.

Tools and prompts are `server__name` for clients, resources `server+uri`. Ids that a server has made (of its requests to
the client, and their progress tokens) are texts with its name in front, so that nothing need be remembered of them:
`files:7` is the 7 of `files`. Ids that the client has made are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.config.models.llm.mcp import SEPARATOR
from gateway.mcp.json_text import Change, NotJson, Part, decoded, elements, joined, members, value_at, written
from gateway.mcp.messages import CALL, CANCELLED, Message
from gateway.mcp.server import Server

COMPLETE: Final = "completion/complete"
_UPDATED: Final = "notifications/resources/updated"
_DEEPEST: Final = 4
_BY_NAME: Final = frozenset({CALL, "prompts/get"})
_NAMING: Final = {
    CALL: "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "resources/subscribe": "uri",
    "resources/unsubscribe": "uri",
    COMPLETE: "ref",
}
"""Which parameter of a request says what it is about."""

URI_MARK: Final = "+"
_ID_MARK: Final = ":"
_LISTS: Final = {"tools": "name", "prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate"}
"""Lists of results, and what in their entries is called otherwise."""


def outer_name(server: str, name: str) -> str:
    """The clients' name of a tool or prompt."""
    return f"{server}{SEPARATOR}{name}"


def inner_name(name: object) -> tuple[str, str] | None:
    """The server and what it calls a tool or prompt, None where the name has no server."""
    server, mark, inner = name.partition(SEPARATOR) if isinstance(name, str) else ("", "", "")
    return (server, inner) if mark and server else None


def uri_form(server: str) -> str:
    """The name of a server as the scheme of a URI may have it (RFC 3986, 3.1), in the letter case that readers make of
    it."""
    return server.lower().replace("_", ".")


def outer_uri(server: str, uri: str) -> str:
    """The clients' name of a resource, or a template of them."""
    return f"{uri_form(server)}{URI_MARK}{uri}"


def inner_uri(uri: object) -> tuple[str, str] | None:
    """The server, in the form of `uri_form`, and what it calls a resource; None where the URI has no server."""
    server, mark, inner = uri.partition(URI_MARK) if isinstance(uri, str) else ("", "", "")
    return (uri_form(server), inner) if mark and server else None


def outer_id(server: str, id: str) -> str:
    """The clients' id of a server's request. Both are JSON."""
    return written(f"{server}{_ID_MARK}{id}")


def inner_id(id: object) -> tuple[str, str] | None:
    """The server, and the id that it has made, as JSON. None where it is not from here."""
    server, mark, text = id.partition(_ID_MARK) if isinstance(id, str) else ("", "", "")
    try:
        value = value_at(decoded(text.encode()), 0).value if mark else None
    except (NotJson, UnicodeEncodeError):
        return None
    return (server, text.strip()) if isinstance(value, str | int) and not isinstance(value, bool) else None


def for_client(message: Message, server: Server) -> list[Change]:
    """The edits for clients in a message of this server: their names of things, and no tools that may not be called.

    Raises NotJson.
    """
    if message.method:
        return _request_or_notice(message, server.name)
    result = message.members.get("result")
    if result is None or not isinstance(result.value, dict):
        return []
    text = message.text
    found = members(text, result.start)
    lists = (key for key in _LISTS if key in found and isinstance(found[key].value, list))
    changes = [_in_list(text, found[key], key, server) for key in lists]
    for part in (found[key] for key in ("content", "contents", "messages") if key in found):
        changes += [_changed(uri, outer_uri(server.name, uri.value)) for uri in _uris(text, part)]
    return changes


def _in_list(text: str, part: Part, key: str, server: Server) -> Change:
    """The list with other names. Items without a name are left out: they could not be called."""
    named = _LISTS[key]
    outer = outer_name if named == "name" else outer_uri
    kept: list[str] = []
    for each in elements(text, part.start):
        name = members(text, each.start).get(named) if isinstance(each.value, dict) else None
        if name is not None and isinstance(name.value, str) and (key != "tools" or server.allowed.has(name.value)):
            new = written(outer(server.name, name.value))
            kept.append(text[each.start : name.start] + new + text[name.end : each.end])
    return part.start, part.end, joined(kept)


def _uris(text: str, part: Part, depth: int = 0) -> Iterator[Part]:
    """The URIs of resources in what is said: of links, and of what is embedded."""
    if isinstance(part.value, list):
        for each in elements(text, part.start):
            yield from _uris(text, each, depth)
    elif isinstance(part.value, dict) and depth < _DEEPEST:
        found = members(text, part.start)
        if "uri" in found and isinstance(found["uri"].value, str):
            yield found["uri"]
        for key in ("resource", "content"):
            if key in found:
                yield from _uris(text, found[key], depth + 1)


def _request_or_notice(message: Message, server: str) -> list[Change]:
    """A request of a server, or a notification."""
    changes: list[Change] = []
    if message.id:
        id = message.members["id"]
        changes.append((id.start, id.end, outer_id(server, message.id)))
    found = message.parameters()
    if "_meta" in found and isinstance(found["_meta"].value, dict) and message.id:
        token = members(message.text, found["_meta"].start).get("progressToken")
        if token is not None:
            changes.append((token.start, token.end, outer_id(server, message.text[token.start : token.end])))
    if message.method == CANCELLED and "requestId" in found:
        id = found["requestId"]
        changes.append((id.start, id.end, outer_id(server, message.text[id.start : id.end])))
    if message.method == _UPDATED and "uri" in found and isinstance(found["uri"].value, str):
        changes.append(_changed(found["uri"], outer_uri(server, found["uri"].value)))
    return changes


def for_server(message: Message) -> tuple[str, str, list[Change]] | None:
    """The server that a message of a client names, what it names there, and how the message is to be changed for it.

    None where it names none. Raises NotJson.
    """
    found = message.parameters()
    part = found.get(_NAMING.get(message.method, ""))
    by_name = message.method in _BY_NAME
    if message.method == COMPLETE and part is not None and isinstance(part.value, dict):
        reference = members(message.text, part.start)
        by_name = "name" in reference
        part = reference.get("name" if by_name else "uri")
    inner = None if part is None else inner_name(part.value) if by_name else inner_uri(part.value)
    return None if part is None or inner is None else (*inner, [_changed(part, inner[1])])


def answer_for_server(message: Message) -> tuple[str, list[Change]] | None:
    """The server that an answer of a client is for, or what it says of its progress, and how that is to be changed.

    None where it is for none. Raises NotJson.
    """
    part = message.parameters().get("progressToken") if message.method else message.members.get("id")
    inner = None if part is None else inner_id(part.value)
    return None if part is None or inner is None else (inner[0], [(part.start, part.end, inner[1])])


def _changed(part: Part, value: str) -> Change:
    return part.start, part.end, written(value)
