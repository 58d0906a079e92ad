"""Bodies that are changed in one place."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.llm import splice

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["model", "a", 'x"y', "\\"]), inner),
    max_leaves=20,
)
INDENTS = st.sampled_from([None, 0, 2, "\t"])


def written(document: Mapping[str, Any], indent: int | str | None, *, ascii: bool) -> bytes:
    """A document as one client or another writes it."""
    return json.dumps(document, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")


def with_model(body: bytes) -> bytes:
    """The body with another model."""
    spans = splice.places(body, "model", orjson.loads(body)["model"])
    return splice.replaced(body, [(span, b'"new"') for span in spans])


@given(
    st.dictionaries(st.sampled_from(["messages", "tools", "a b", "é"]), VALUES),
    st.dictionaries(st.sampled_from(["stream", "n", "z"]), VALUES),
    st.text(),
    INDENTS,
    st.booleans(),
)
def test_nothing_changes_but_the_value(
    before: dict[str, Any], after: dict[str, Any], model: str, indent: int | str | None, ascii: bool
) -> None:
    """Whatever stands around it, and however it is written: the same bytes before the value, and after it."""
    marker = "\N{SNOWMAN}a place that nothing else has\N{SNOWMAN}"
    text = json.dumps({**before, "model": marker, **after}, indent=indent, ensure_ascii=ascii)
    head, tail = text.split(json.dumps(marker, ensure_ascii=ascii))
    body = (head + json.dumps(model, ensure_ascii=ascii) + tail).encode("utf-8", "surrogatepass")
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return  # halves of characters, of which a test of requests takes care
    assert with_model(body) == (head + '"new"' + tail).encode("utf-8", "surrogatepass")


@given(st.dictionaries(st.text(), VALUES), INDENTS)
def test_members_are_where_their_values_stand(document: dict[str, Any], indent: int | str | None) -> None:
    """Every member is found, in order, and the bytes of its place are its value."""
    body = written(document, indent, ascii=True)
    found = splice.members(body)
    assert [json.loads(body[span.start : span.end]) for _, span in found] == list(document.values())


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES), INDENTS)
def test_a_member_is_added_at_the_end(document: dict[str, Any], indent: int | str | None) -> None:
    """All that was there stays as it was, up to the last value, and after it."""
    body = written(document, indent, ascii=True)
    made = splice.replaced(body, (), {"added": b"[1]"})
    assert json.loads(made) == {**document, "added": [1]}
    assert body.replace(b" ", b"") == made.replace(b',"added":[1]', b"").replace(b'"added":[1]', b"").replace(b" ", b"")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":{"model":"x"},"model":"m"}', b'{"a":{"model":"x"},"model":"new"}'),
        (b'{"a":["model","model"],"model" : "m"}', b'{"a":["model","model"],"model" : "new"}'),
        (b'{"a":"{\\"model\\":\\"x\\"}","model":"m"}', b'{"a":"{\\"model\\":\\"x\\"}","model":"new"}'),
        (b'{"\\u006dodel":"m","a":{"model":"x"}}', b'{"\\u006dodel":"new","a":{"model":"x"}}'),
        (b'{"model":"x","model":"m"}', b'{"model":"new","model":"new"}'),
        (b'{"model":"x","mod\\u0065l":"m"}', b'{"model":"new","mod\\u0065l":"new"}'),
        (b'{"model":null,"model":"m"}', b'{"model":"new","model":"new"}'),
        (b'{"tools":[{"properties":{"model":{"type":"string"}}}],"model":"m"}',
         b'{"tools":[{"properties":{"model":{"type":"string"}}}],"model":"new"}'),
        (b' \r\n{\t"model"\n:\r"m" , "a":[]} \n', b' \r\n{\t"model"\n:\r"new" , "a":[]} \n'),
        (b'{"a":"\\\\","model":"m\\"}"}', b'{"a":"\\\\","model":"new"}'),
    ],
)  # fmt: skip
def test_the_outermost_member_is_meant(body: bytes, expected: bytes) -> None:
    """Not one within another, nor in a text; one that is written with escapes, and all of one that is there twice."""
    assert with_model(body) == expected


def test_an_empty_object_gets_its_first_member() -> None:
    """No comma comes before it."""
    assert splice.replaced(b" { } ", (), {"a": b"1"}) == b' {"a":1 } '
