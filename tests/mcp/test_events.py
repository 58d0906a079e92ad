"""Events, and JSON in them, wherever a stream is split and whatever it has."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mcp.events import EventReader, TooLarge
from gateway.mcp.json_text import NotJson, decoded, elements, members, value_at
from gateway.mcp.messages import BadMessage, folded, read, read_answers
from gateway.mcp.tools import Allowed, Patterns, hide_denied

LINE_END = st.sampled_from(["\n", "\r\n", "\r"])
FIELDS = st.sampled_from(
    ["data: x", "data:y", "data", "id: 1", "event: message", ": c", "retry: 5", "datax: 1", "data: \u00e9"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
).filter(lambda value: all(not 0xD800 <= ord(each) <= 0xDFFF for each in json.dumps(value, ensure_ascii=False)))


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A stream whose line ends are all of one kind, and the data of its events."""
    end = draw(LINE_END)
    events = draw(st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=5))
    text = "".join(end.join(lines) + 2 * end for lines in events)
    datas = [[line[5:].removeprefix(" ") for line in lines if line.split(":")[0] == "data"] for lines in events]
    return text, ["\n".join(data) for data in datas if data]


@given(streams(), st.lists(st.integers(0, 200), max_size=10), st.booleans())
def test_events_are_the_same_wherever_they_are_split(stream: Any, cuts: list[int], bom: bool) -> None:
    """The data of events does not depend on the pieces that they come in, and nothing is lost or added."""
    text, datas = stream
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    reader, found = EventReader(10_000), []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in pairwise(edges):
        found += reader.feed(data[begin:end])
    rest = reader.rest()
    assert b"".join(each.raw for each in found) + (rest.raw if rest else b"") == data
    assert [each.data for each in found if each.has_data] == datas


def test_comments_are_passed_at_once() -> None:
    """What a server sends to keep a connection alive does not wait for an event."""
    reader = EventReader(1000)
    assert [each.raw for each in reader.feed(b": ping\n")] == [b": ping\n"]
    assert [each.raw for each in reader.feed(b"data: 1\n: x\n")] == []
    assert [each.data for each in reader.feed(b"\n:\r\n")] == ["1", ""]


def test_event_without_an_end_is_given_up() -> None:
    """What is kept of an event is bounded."""
    reader = EventReader(1000)
    assert reader.feed(b"data: " + b"x" * 990) == []
    with pytest.raises(TooLarge):
        reader.feed(b"x" * 100)


@given(st.dictionaries(st.text(), JSON, max_size=5), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_parts_of_objects_are_where_they_stand(value: dict[str, Any], indent: Any, ascii_only: bool) -> None:
    """Members and elements are found with their places, however the JSON is written."""
    try:
        text = decoded(json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode())
    except (NotJson, UnicodeEncodeError):
        return
    found = members(text, 0)
    assert {key: part.value for key, part in found.items()} == value
    for part in found.values():
        assert json.loads(text[part.start : part.end]) == part.value == value_at(text, part.start).value
        if isinstance(part.value, list):
            assert [each.value for each in elements(text, part.start)] == part.value


CALL = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read", "arguments": {"a": [1]}}}'
PIECES = [
    b'"name":"x",',
    b'"method":"ping",',
    b"\\u0065",
    b"\\",
    b'"',
    b"{",
    b"}",
    b",",
    b" ",
    b"\0",
    b"\xff",
    b"1",
    b"[",
    b"]",
]


@given(st.lists(st.tuples(st.integers(0, len(CALL)), st.sampled_from(PIECES), st.integers(0, 3)), max_size=4))
def test_what_is_passed_reads_the_same_everywhere(changes: list[tuple[int, bytes, int]]) -> None:
    """However a message is mutilated: what is passed on, other readers of JSON read as it is read here."""
    body = CALL
    for at, piece, gone in changes:
        body = body[:at] + piece + body[at + gone :]
    try:
        (message,) = read(body).several
    except BadMessage:
        return
    for value in (json.loads(body), orjson.loads(body), json.loads(body, object_pairs_hook=_first)):
        assert (value.get("method", ""), value.get("params", {})) == (message.method, message.params)
    assert not [name for name in json.loads(body) if name.lower() in ("method", "params") and name != name.lower()]


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=10))
def test_patterns_mean_what_they_say(pattern: str, name: str) -> None:
    """A `*` is any text, and all else is itself."""
    pieces = [f"(?:{piece})" for piece in pattern.split("*")]
    expected = _matches(pattern, name)
    assert pieces
    assert (Patterns([pattern]).first(name) is not None) == expected


def _matches(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(_matches(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and name[0] == pattern[0] and _matches(pattern[1:], name[1:])


def test_patterns_take_no_longer_for_what_does_not_fit() -> None:
    """A pattern of many stars is decided at once."""
    assert Patterns(["*a" * 40 + "b"]).first("a" * 1000) is None


@given(st.lists(st.text(max_size=6), max_size=6))
def test_no_tool_is_listed_that_may_not_be_called(names: list[str]) -> None:
    """What a list has left may be called, all of it, and the others not."""
    allowed = Allowed(["*a*"], ["*b*"])
    try:
        text = decoded(json.dumps({"id": 1, "result": {"tools": [{"name": name} for name in names]}}).encode())
    except NotJson:
        return
    (message,) = read_answers(text)
    (change,) = hide_denied(message, allowed) or [(0, 0, json.dumps([{"name": name} for name in names]))]
    left = [each["name"] for each in json.loads(change[2])]
    assert left == [name for name in names if "a" in name and "b" not in folded(name)]
