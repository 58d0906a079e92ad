import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.paths import PathError, compared, is_sendable, normalise, normalise_literal


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "/"),
        (b"/", "/"),
        (b"/v1/users/42", "/v1/users/42"),
        (b"/v1/users/", "/v1/users/"),
        (b"/file.name/v1.2", "/file.name/v1.2"),
        (b"/.well-known/x", "/.well-known/x"),
        (b"/a/...", "/a/..."),
        (b"/%7euser/%41", "/~user/A"),
        (b"/caf%c3%a9", "/caf%C3%A9"),
        (b"/a%20b%3fc%23d", "/a%20b%3Fc%23d"),
        (b"/a/./b/../c", "/a/c"),
        (b"/a/%2e/b/%2E%2e/c", "/a/c"),
        (b"/../../etc", "/etc"),
        (b"/a/..", "/"),
        (b"/a/b/..", "/a/"),
        (b"/a/b/.", "/a/b/"),
        (b"//a///b//", "/a/b/"),
        (b"/a//../b", "/b"),
        (b"/a/%252e%252e/b", "/a/%252e%252e/b"),
        (b'/a"<>[]^`{|}', "/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
        (b"/a;v=1/b", "/a;v=1/b"),
        (b"/x;/../y", "/y"),
        (b"/users%3Adelete", "/users:delete"),
        (b"/adm%40in/x", "/adm@in/x"),
        (b"/%21%24%26%27%28%29%2a%2B%2c%3B%3d%3A%40", "/!$&'()*+,;=:@"),
        (b"/%25%3f%23%20%c3", "/%25%3F%23%20%C3"),
        (b"/..a/%2e./b", "/b"),
    ],
)
def test_equal_paths_are_written_alike(raw: bytes, expected: str) -> None:
    """Spellings of a path that a backend takes for the same are the same for the gateway (RFC 3986, 6.2.2)."""
    assert normalise(raw)[:2] == (expected, False)


@pytest.mark.parametrize(
    ("raw", "sent"),
    [
        (b"", "/"),
        (b"//", "//"),
        (b"//host/x", "//host/x"),
        (b"/a//b///c//", "/a//b///c//"),
        (b"/a%3Ab/%7e%41/%c3%a9", "/a%3Ab/%7e%41/%c3%a9"),
        (b"/@scope%2fname", "/@scope%2fname"),
        (b'/a"{b}', "/a%22%7Bb%7D"),
        (b"/a/%2e/b/%2E%2e/c", "/a/c"),
        (b"/a//./b", "/a//b"),
        (b"/a/.//b", "/a//b"),
        (b"/a//../b", "/b"),
        (b"/a/b//..//c", "/a//c"),
        (b"/a//.", "/a//"),
        (b"/../..//", "//"),
        (b"/a/..", "/"),
    ],
)
def test_slashes_and_escapes_are_sent_as_they_came(raw: bytes, sent: str) -> None:
    """What is sent keeps what a backend may tell apart; only dot segments are resolved, and misplaced characters
    escaped."""
    assert normalise(raw).sent == sent
    assert is_sendable(sent)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"/%zz", "hexadecimal"),
        (b"/a%", "hexadecimal"),
        (b"/a%2", "hexadecimal"),
        (b"/caf\xc3\xa9", "non-ASCII byte 0xC3"),
        (b"/a\x00", "control character 0x00"),
        (b"/a\r\nb", "control character 0x0D"),
        (b"/a\x7f", "control character 0x7F"),
        (b"/a b", "a space"),
        (b"/a%00b", "control character 0x00"),
        (b"/a%0d%0ab", "control character 0x0D"),
        (b"/a%7F", "control character 0x7F"),
        (b"/a\\b", "a backslash"),
        (b"/a#b", '"#"'),
        (b"/a?b", '"?"'),
        (b"a/b", "does not begin"),
        (b"*", "does not begin"),
        (b"/a/..;x=1/b", "hides a dot segment"),
        (b"/a/..;/b", "hides a dot segment"),
        (b"/a/.;/b", "hides a dot segment"),
        (b"/a/%2e%2E;/b", "hides a dot segment"),
        (b"/a/..%3bx/b", "hides a dot segment"),
        (b"/a/..%2fb", "hides a dot segment"),
        (b"/a%2f..", "hides a dot segment"),
        (b"/a/..%5c..%5cb", "hides a dot segment"),
        (b"/%c0%ae%c0%ae/x", "overlong"),
        (b"/x%e0%80%af", "overlong"),
        (b"/x%f0%80%80%af", "overlong"),
    ],
)
def test_ambiguous_paths_are_refused(raw: bytes, message: str) -> None:
    """A path that different servers read differently is refused, and the message says what is wrong with it."""
    with pytest.raises(PathError, match=re.escape(message)):
        normalise(raw)


@pytest.mark.parametrize("raw", [b"/a%2fb", b"/a%5cb", b"/x/a%2F%2Fb/"])
def test_encoded_slashes_are_kept_and_reported(raw: bytes) -> None:
    """Encoded slashes and backslashes stay encoded and are reported, so that only routes which allow them get them."""
    path, has_encoded_slash, _ = normalise(raw)
    assert has_encoded_slash
    assert path == raw.decode().replace("%2f", "%2F").replace("%5c", "%5C")


_PIECES = [
    "/",
    "//",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    ";",
    "a",
    "B~",
    "%41",
    "%2f",
    "%5C",
    "%25",
    "%252e",
    "%c3%a9",
    "[",
    "-",
    "%3a",
    "%3B",
    ":",
]


@given(st.lists(st.sampled_from(_PIECES)).map("".join))
def test_normal_form_is_stable(text: str) -> None:
    """What is sent on means the same to a second gateway: normalising twice gives the same as once."""
    try:
        once = normalise(b"/" + text.encode())
    except PathError:
        return
    assert normalise(once.path.encode())[:2] == once[:2]
    assert normalise(once.sent.encode()) == once
    assert compared(once.sent) == once.path
    assert once.sent.count("/") >= once.path.count("/")
    assert not {"", ".", ".."} & set(once.path.split("/")[1:-1])
    assert once.path.rpartition("/")[2] not in (".", "..")


@given(st.binary())
def test_any_bytes_are_normalised_or_refused(raw: bytes) -> None:
    """Whatever a client sends as a path has either a normal form or a sentence that says why not."""
    try:
        path = normalise(b"/" + raw).path
    except PathError as error:
        path = str(error).removeprefix("the ")
    assert path.isprintable()
    assert path.startswith(("/", "path "))


def test_configured_text_is_written_like_requests() -> None:
    """A path in a configuration may be written as people write it, and fits what clients then send."""
    assert normalise_literal("/café/a b/%7ex%3A") == "/caf%C3%A9/a%20b/~x:"
    assert normalise(b"/caf%c3%a9/a%20b/~x%3a").path == "/caf%C3%A9/a%20b/~x:"
