"""The texts in a request, an answer, or an event of one, at their places, so that nothing but them is changed."""

from __future__ import annotations

import asyncio
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

import orjson

from gateway.llm import splice
from gateway.llm.asked_texts import is_encoded, is_known_name, is_protocol, is_read, is_said_before, unescaped
from gateway.llm.guardrails import Cut, Guard, Stage, Text, Watch, without
from gateway.llm.inner_texts import Inner, as_it_is, of_encrypted, of_file, of_url
from gateway.llm.usage import members

_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[][{}:,]|[^][{}",:\s]++')
_AT_ONCE: Final = 1000  # texts, before others get their turn

STRUCTURE: Final = frozenset(
    {
        "model",
        "role",
        "type",
        "id",
        "object",
        "status",
        "tool_call_id",
        "call_id",
        "tool_use_id",
        "response_id",
        "previous_response_id",
        "item_id",
        "index",
        "responseId",
        "modelVersion",
        "finish_reason",
        "stop_reason",
        "finishReason",
        "service_tier",
        "media_type",
        "mime_type",
        "mimeType",
        "format",
        "detail",
        "encoding_format",
        "signature",
        "thoughtSignature",
        "thought_signature",
        "file_id",
        "b64_json",
        "partial_image_b64",
        "prompt_cache_key",
        "system_fingerprint",
        "obfuscation",
        "audio",
        "fingerprint",
    }
)
"""Members that hold no written text, except in arguments of tool calls, and in requests where they hold anything else
than what belongs there."""

_PAYLOADS: Final = frozenset({"args", "functionResponse", "function_response"})
_FILES: Final = frozenset({"source", "inlineData", "inline_data", "input_audio", "audio"})
_URLS: Final = frozenset({"url", "image_url", "file_url"})
_TOKENS: Final = frozenset({"logprobs", "logprobsResult", "top_logprobs"})
_DIGITS: Final = (b"-", *(b"%d" % digit for digit in range(10)))
_TOOLS: Final = frozenset({"function", "function_call", "functionCall", "functionResponse", "custom"})

Path = tuple[str | int, ...]


class Leaf(NamedTuple):
    """A text, or a number, and where it stands. Also what repeats the text token by token: a whole object or array."""

    path: Path
    span: splice.Span
    is_name: bool = False  # of a member of what a tool is called with, or answers; in a request of any


def leaves(body: bytes, *, asked: bool = False) -> Iterator[Leaf]:
    """Those of a JSON document, in their order, with those in members that are there twice. `asked`: of a request."""
    names: list[str | int] = []
    objects: list[bool] = []
    key, at = False, 0
    payload = 0  # how deep the names of members begin that are within one; 0: they are not
    while (found := _TOKEN.search(body, at)) is not None:
        token, start, at = found.group(), found.start(), found.end()
        first = token[:1]
        if first == b'"' and key:
            names[-1], key = decoded(token), False
            if len(names) >= payload if payload else asked:
                yield Leaf(tuple(names), splice.Span(start, at), is_name=True)
        elif first == b'"' or first in b"-0123456789":
            yield Leaf(tuple(names), splice.Span(start, at))
        elif first in b"{[":
            if names and not payload and names[-1] in _TOKENS and (not asked or is_said_before(tuple(names))):
                at = splice.end_of_value(body, start)
                yield Leaf(tuple(names), splice.Span(start, at))
                continue
            if not payload and names:
                payload = _begins_payload(names[-1], len(names) - 1)
            key = first == b"{"
            objects.append(key)
            names.append("" if key else 0)
        elif first in b"}]":
            objects.pop()
            names.pop()
            if len(names) < payload - 1:
                payload = 0
            key = False
        elif first == b",":
            key = objects[-1]
            if not key:
                number = names[-1]
                names[-1] = number + 1 if isinstance(number, int) else 0


class _Looked(NamedTuple):
    """A text that the guardrails have seen, and what they take out of it."""

    leaf: Leaf
    inner: Inner
    cuts: list[Cut]


def is_by_token(leaf: Leaf, body: bytes) -> bool:
    """Whether it repeats the text token by token, which cannot be checked."""
    return body[leaf.span.start : leaf.span.start + 1] in (b"{", b"[")


def said(leaf: Leaf, body: bytes, document: object, *, asked: bool = False) -> Inner | None:
    """What is said there; None where it is a part of the protocol, or a file that holds no text. `asked`: in a
    request, where a client may write anything anywhere."""
    path, token = leaf.path, body[leaf.span.start : leaf.span.end]
    if _is_payload(path):
        return as_it_is(decoded(token))
    if leaf.is_name or token[:1] != b'"':
        is_text = not is_known_name(path) if leaf.is_name else asked and token[:1] in _DIGITS and is_read(path)
        return as_it_is(decoded(token)) if is_text else None
    name = next((each for each in reversed(path) if isinstance(each, str)), "")
    text = decoded(token)
    if name in STRUCTURE:
        return as_it_is(text) if asked and not is_protocol(path, name, text) else None
    if name == "encrypted_content":
        return of_encrypted(text) or (as_it_is(text) if asked and not is_encoded(text) else None)
    if name == "file_data" or (name == "data" and len(path) > 1 and path[-2] in _FILES):
        return of_file(text, members(_at(document, path[:-1])))
    return of_url(text) if name in _URLS else as_it_is(text)


def written(inner: Inner, cuts: Iterable[Cut]) -> bytes:
    """The value in whose place it stands, with its cuts made."""
    return encoded(inner.written(without(inner.text, cuts)))


def _begins_payload(name: str | int, at: int) -> int:
    """See `_is_payload`. How deep the names of members are that a tool has chosen, where this is one; else 0."""
    if name in _PAYLOADS:
        return at + 2 if name == "args" else at + 3  # a response of Gemini has members of the protocol around its own
    return at + 2 if at and name in ("input", "arguments") else 0


def _is_payload(path: Path) -> bool:
    """Whether this is within what a tool is called with, or answers: there every text is one."""
    return any(name in _PAYLOADS or (at and name in ("input", "arguments")) for at, name in enumerate(path[:-1]))


def _at(document: object, path: Path) -> object:
    """The value there; None where there is none."""
    for name in path:
        if isinstance(document, Mapping):
            document = document.get(str(name))
        elif isinstance(document, list) and isinstance(name, int) and name < len(document):
            document = document[name]
        else:
            return None
    return document


def decoded(token: bytes) -> str:
    """The text of a string, or of a number. Halves of characters, which SDKs write, are kept."""
    if token[:1] != b'"':
        return token.decode()
    try:
        text: str = orjson.loads(token)
    except orjson.JSONDecodeError:
        text = json.loads(token.decode("utf-8", "replace"), strict=False)
    return text


def encoded(text: str) -> bytes:
    """The opposite."""
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return json.dumps(text).encode()


def text_of(watch: Watch, stage: Stage, document: object, path: Path, text: str) -> Text:
    """A text with what is known of it."""
    role, tool = "" if stage == "input" else "assistant", ""
    inner: Any = document
    is_tool = _is_payload(path) or path[-1:] == ("arguments",)
    for name in path:
        if isinstance(inner, Mapping):
            role = _text(inner, "role") or role
            tool = _text(inner, "name") or tool
            is_tool = is_tool or (path[-1] == "name" and "arguments" in inner) or _is_call(inner.get("type"))
            inner = inner.get(str(name))
        elif isinstance(inner, list) and isinstance(name, int) and name < len(inner):
            inner = inner[name]
        else:
            break
    if not role and path[:1] in (("system",), ("instructions",), ("systemInstruction",), ("system_instruction",)):
        role = "system"
    is_tool = is_tool or (path[-1:] == ("name",) and len(path) > 1 and path[-2] in _TOOLS)
    return watch.text(text, stage, role, tool=tool if is_tool else None)


def _is_call(kind: object) -> bool:
    return isinstance(kind, str) and kind.endswith(("tool_use", "_call"))


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""


async def watched(watch: Watch, stage: Stage, body: bytes, document: object) -> bytes:
    """A body as the guardrails leave it: itself, or with some of its texts changed. Raises Refused."""
    guards = watch.on(stage)
    looked: list[_Looked] = []
    by_token: list[tuple[splice.Span, bytes]] = []
    asked = stage == "input"
    for number, leaf in enumerate(leaves(body, asked=asked)):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        if is_by_token(leaf, body):
            by_token.append((leaf.span, b"null"))
        elif (inner := said(leaf, body, document, asked=asked)) is not None:
            cuts = await watch.look(text_of(watch, stage, document, leaf.path, inner.text), guards)
            looked.append(_Looked(leaf, inner, cuts))
            parsed = unescaped(without(inner.text, cuts)) if leaf.path[-1:] == ("arguments",) else None
            if parsed is not None:
                cuts = await watch.look(text_of(watch, stage, document, leaf.path, parsed), guards)
                if cuts:
                    looked[-1] = _Looked(leaf, as_it_is(parsed), cuts)
    for number, parts in enumerate(_messages(looked, document)):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        joined = "".join([part.inner.text for part in parts])
        across = await watch.look(text_of(watch, stage, document, parts[0].leaf.path, joined), guards)
        _cut_across(parts, across)
    changes = [(each.leaf.span, written(each.inner, each.cuts)) for each in looked if each.cuts]
    return splice.replaced(body, changes + by_token) if changes else body


def _messages(looked: Sequence[_Looked], document: object) -> Iterator[list[_Looked]]:
    """The texts of each message that has its text in several parts: a list of objects with a `text`."""
    found: dict[Path, list[_Looked]] = {}
    for each in looked:
        path = each.leaf.path
        if path[-1:] == ("text",) and len(path) > 2 and isinstance(path[-2], int) and not each.leaf.is_name:
            found.setdefault(_message_at(path[:-2], document), []).append(each)
    return (parts for parts in found.values() if len(parts) > 1)


def _message_at(path: Path, document: object) -> Path:
    """Which message a list of parts is of. A stream of Gemini without events is an array, of which each document has
    a part of the same answers."""
    if len(path) < 3 or not isinstance(path[0], int) or path[1] != "candidates":
        return path
    number = members(_at(document, path[:3])).get("index", path[2])
    return ("candidates", number if isinstance(number, int) else path[2], *path[3:])


def _cut_across(parts: Sequence[_Looked], cuts: Iterable[Cut]) -> None:
    """Take these cuts, of all parts one behind the other, out of each: those that span several, which have not been
    seen in one of them. The first gets what stands in the place."""
    parts = [part for part in parts if part.inner.text]
    begins = [0, *accumulate(len(part.inner.text) for part in parts)]
    for start, end, replacement in cuts:
        first = bisect_right(begins, start) - 1
        if end <= begins[first + 1]:
            continue
        pieces = [
            (part, max(0, start - begun), min(len(part.inner.text), end - begun))
            for part, begun in zip(parts[first : bisect_left(begins, end)], begins[first:], strict=False)
        ]
        if not all(any(cut.start <= at and last <= cut.end for cut in part.cuts) for part, at, last in pieces):
            for number, (part, at, last) in enumerate(pieces):
                part.cuts.append(Cut(at, last, "" if number else replacement))


async def watched_text(watch: Watch, stage: Stage, data: bytes, guards: tuple[Guard, ...]) -> bytes:
    """An answer that is a text and nothing else. Raises Refused, and UnicodeDecodeError."""
    text = data.decode()
    cuts = await watch.look(watch.text(text, stage, "assistant"), guards)
    return without(text, cuts).encode("utf-8", "replace") if cuts else data
