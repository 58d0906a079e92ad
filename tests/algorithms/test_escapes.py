"""Secrets in texts in which they may be written with escapes."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.escapes import LONGEST, without

KEY = 'sk-A/b+"c\\d&e=f é%'

Way = Callable[[str], str]


def all_units(text: str) -> str:
    """Every character of it as JSON may write it."""
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


WAYS: dict[str, Way] = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with slashes escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON of numbers": all_units,
    "JSON of numbers in capitals": lambda text: all_units(text).upper().replace("\\U", "\\u"),
    "percent signs": lambda text: quote(text, safe=""),
    "percent signs in small letters": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "percent signs in part": lambda text: quote(text, safe="/+="),
    "HTML": html.escape,
    "HTML of numbers": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "HTML of hexadecimal numbers": lambda text: "".join(f"&#x{ord(each):04X};" for each in text),
    "a literal of Python": lambda text: repr(text.encode())[2:-1],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_found_however_it_is_written(way: str) -> None:
    """What stands around it stays as it is."""
    text = f"before {WAYS[way](KEY)} between {WAYS[way](KEY)}\\n%41 after &amp; \\u0041"
    expected = "before [key] between [key]\\n%41 after &amp; \\u0041"
    assert without(text.encode(), [KEY.encode()], b"[key]").decode() == expected


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_a_secret_is_found_that_is_escaped_twice(first: str, second: str) -> None:
    """Such as in an error in JSON that quotes another one."""
    text = f"before {WAYS[second](WAYS[first](KEY))} after"
    assert without(text.encode(), [KEY.encode()], b"[key]").decode() == "before [key] after"


@pytest.mark.parametrize("secret", ["a" * 8 + "é", "a" * 8 + "\U0001f511"])
def test_a_document_stays_one(secret: str) -> None:
    """JSON of which a secret is taken out can still be read."""
    inner = json.dumps({"error": {"message": f'no such key: "{secret}"'}})
    text = json.dumps({"error": {"message": inner, "code": secret}})
    for written in (text, text.replace("a", "\\u0061")):
        document = json.loads(without(written.encode(), [secret.encode()], b"[key]"))
        assert json.loads(document["error"]["message"])["error"]["message"] == 'no such key: "[key]"'
        assert document["error"]["code"] == "[key]"


def test_secrets_that_overlap_are_all_taken_out() -> None:
    """One may be a part of another one."""
    assert without(b"x one-two-three %6fne-two y", [b"one-two", b"two-three"], b"*") == b"x * * y"


@pytest.mark.parametrize("text", [b"", b"plain", b"100% & \\ \\u00 %4 &#; \\ud83d", b"%41%42 \\u0041 &#65;"])
def test_a_text_without_secrets_is_left_alone(text: bytes) -> None:
    """Whatever escapes it has, and half ones."""
    assert without(text, [b"secret-one"], b"*") is text


def test_of_a_very_long_text_the_escapes_of_the_beginning_are_undone() -> None:
    """A provider's text costs no more time than that; what is written as it is goes from all of it."""
    text = b"\\u0073ecret" + b"\\u0041" * LONGEST + b"secret"
    assert without(text, [b"secret"], b"*") == b"*" + b"\\u0041" * LONGEST + b"*"


@given(
    st.lists(st.sampled_from(sorted(WAYS)), max_size=2),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=4, max_size=12),
    st.text(st.sampled_from('ab%&;\\"#x2541u0/'), max_size=12),
    st.text(st.sampled_from('ab%&;\\"#x2541u0/'), max_size=12),
)
def test_no_secret_can_be_read_out_of_what_is_left(ways: list[str], secret: str, before: str, after: str) -> None:
    """Neither as it is, nor by any decoder of a standard library."""
    written = secret
    for way in ways:
        written = WAYS[way](written)
    left = without(f"{before}|{written}|{after}".encode(), [secret.encode()], b"\x00")
    assert b"\x00" in left
    if secret not in f"{before}|\x00|{after}":
        assert secret.encode() not in left
        assert secret.encode() not in unquote_to_bytes(left)
        assert secret not in html.unescape(left.decode())
