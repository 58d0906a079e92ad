"""Which text of an event continues which other one, in the streams of each API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from gateway.llm.said_texts import STRUCTURE, Path
from gateway.llm.usage import members

_ENDS: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"}
)
_OF_MESSAGES: Final = frozenset({"message_delta", "message_stop", "error"})


class Place(NamedTuple):
    """Where a text belongs that comes in parts: those of one group follow each other."""

    group: object
    name: str
    tool: object = None  # of what a tool is called with: what its name is known by


def place_of(api: str, document: Mapping[str, Any], path: Path) -> Place | None:
    """That of a text; None where it is whole by itself, or none that is said."""
    if api == "anthropic.messages":
        return _of_messages(document, path)
    if api == "gemini.generate":
        return _of_gemini(document, path)
    return _of_chat(document, path) if "choices" in document else _of_responses(document, path)


def _of_chat(document: Mapping[str, Any], path: Path) -> Place | None:
    if len(path) < 3 or path[0] != "choices" or not isinstance(path[1], int):
        return None
    choice = members(_at(document["choices"], path[1]))
    group = ("choice", _number(choice.get("index"), path[1]))
    if path[2] == "text" and len(path) == 3:
        return Place(group, "text")
    if path[2] != "delta" or len(path) < 4:
        return None
    if path[3] == "tool_calls":
        tool = tool_of(document, path)
        return Place(group, f"{tool}", tool) if path[-1] in ("arguments", "input") else None
    if path[3] == "function_call":
        return Place(group, "function_call", tool_of(document, path)) if path[-1] == "arguments" else None
    return None if path[-1] in STRUCTURE else Place(group, ".".join(map(str, path[3:])))


def _of_messages(document: Mapping[str, Any], path: Path) -> Place | None:
    index = document.get("index")
    group = ("block", index if isinstance(index, int) else 0)
    if path in (("delta", "text"), ("content_block", "text")):
        return Place(group, "text")
    if path in (("delta", "thinking"), ("content_block", "thinking")):
        return Place(group, "thinking")
    return Place(group, "input", group) if path == ("delta", "partial_json") else None


def _of_responses(document: Mapping[str, Any], path: Path) -> Place | None:
    kind = document.get("type")
    if path != ("delta",) or not isinstance(kind, str) or "audio.delta" in kind:
        return None
    group = ("output", _number(document.get("output_index"), 0))
    inner = _number(document.get("content_index", document.get("summary_index")), 0)
    is_tool = "arguments" in kind or "input" in kind
    return Place(group, f"{kind} {inner}", group if is_tool else None)


def _of_gemini(document: Mapping[str, Any], path: Path) -> Place | None:
    if len(path) != 6 or path[0] != "candidates" or path[2:4] != ("content", "parts") or path[5] != "text":
        return None
    number, part = path[1], path[4]
    if not (isinstance(number, int) and isinstance(part, int)):
        return None
    candidate = members(_at(document["candidates"], number))
    parts = members(candidate.get("content")).get("parts")
    thought = members(_at(parts, part)).get("thought") is True
    return Place(("candidate", _number(candidate.get("index"), number)), "thought" if thought else "text")


def tool_of(document: Mapping[str, Any], path: Path) -> object:
    """The identity of a tool call in its stream, if this is within one."""
    if path[:1] == ("choices",) and len(path) > 3 and isinstance(path[1], int):
        choice = members(_at(document.get("choices"), path[1]))
        group = ("choice", _number(choice.get("index"), path[1]))
        if path[3] != "tool_calls" or len(path) < 5 or not isinstance(path[4], int):
            return (*group, "function_call")
        call = members(_at(members(choice.get("delta")).get("tool_calls"), path[4]))
        return (*group, _number(call.get("index"), path[4]))
    if "output_index" in document:
        return ("output", _number(document["output_index"], 0))
    return ("block", _number(document.get("index"), 0))


def ended_by(api: str, document: Mapping[str, Any]) -> Iterator[object]:
    """The groups whose texts end with an event; None: all."""
    kind = document.get("type")
    if api == "anthropic.messages":
        if kind == "content_block_stop":
            yield ("block", _number(document.get("index"), 0))
        elif kind in _OF_MESSAGES:
            yield None
        return
    if "error" in document:
        yield None
    for name, ending in (("choices", "finish_reason"), ("candidates", "finishReason")):
        entries = document.get(name)
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            if members(entry).get(ending):
                yield (name[:-1], _number(members(entry).get("index"), number))
    if isinstance(kind, str) and (kind in _ENDS or kind.endswith(".done")):
        yield (
            None
            if kind in _ENDS or "output_index" not in document
            else ("output", _number(document["output_index"], 0))
        )


def _at(entries: object, number: int) -> object:
    return entries[number] if isinstance(entries, list) and number < len(entries) else None


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise
