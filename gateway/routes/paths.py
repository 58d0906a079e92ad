"""Request paths in the one form in which they are matched and sent on (RFC 3986, section 6.2.2).

Two spellings of a path that a backend would take for the same must be the same here too, or a rule on one of them
is walked around with the other. What cannot be brought into one form without guessing is refused.
"""

import re
from typing import Final, NamedTuple

_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

# No escapes, no empty segments, and no segment that begins with a dot: nothing to do. Nearly every request is of this
# kind, so one possessive (never backtracking) pattern decides it.
is_plain: Final = re.compile(
    r"(?:/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*+)++/?|/",
).fullmatch

_FORBIDDEN: Final = re.compile(rb"[\x00-\x20\x7f-\xff\\#?]")
# Clients do send the characters of the second half as they are, though RFC 3986 has no place for them in a path.
_ESCAPE: Final = re.compile(r"%(?P<hex>[0-9A-Fa-f]{2})?|[\"<>\[\]^`{|}]")
_ENCODED_SLASH: Final = re.compile(r"%2F|%5C")
# A dot segment that only appears once the server behind us drops path parameters or decodes slashes.
_HIDDEN_DOTS: Final = re.compile(r"(?:/|%2F|%5C)\.\.?(?:;|%3B|%2F|%5C|/|$)")
# "/" and "." in more bytes than UTF-8 needs: only careless decoders accept it, and then as a slash or a dot.
_OVERLONG: Final = re.compile(r"%C[01]%[89AB]|%E0%[89]|%F0%8")

_LITERAL_ESCAPE: Final = re.compile(r"%(?P<hex>[0-9A-Fa-f]{2})|[\"<>\[\]^`{|} ]|[^\x00-\x7f]+")


class PathError(ValueError):
    """A path that is refused; the message says what is wrong with it."""


class NormalisedPath(NamedTuple):
    """A path in normal form: ASCII, beginning with "/", without dot segments and empty segments."""

    path: str
    has_encoded_slash: bool
    """Whether "%2F" or "%5C" is in it, which only routes that say so accept."""


def normalise(raw: bytes) -> NormalisedPath:
    """Bring the path of a request target (without its query) into normal form.

    Unreserved characters are decoded, other escapes written in upper case, characters that must be escaped are,
    repeated slashes are merged, dot segments resolved and never climb above the root. A trailing slash stays, an empty
    path is "/". Applying it twice gives the same as once. Raises `PathError` for what has no safe normal form.
    """
    text = raw.decode("latin-1")
    return NormalisedPath(text, False) if is_plain(text) else _normalise_unusual(raw)


def is_normalised(path: str) -> bool:
    """Whether `normalise` would leave `path` as it is."""
    try:
        return normalise(path.encode()).path == path
    except PathError:
        return False


def normalise_literal(text: str) -> str:
    """Write a piece of a configured path the way `normalise` writes it, and leave alone what it would refuse.

    Dot segments and repeated slashes stay too: `check` tells the user that such a route can never match.
    """
    return _LITERAL_ESCAPE.sub(_canonical_literal, text)


def _normalise_unusual(raw: bytes) -> NormalisedPath:
    if not raw:
        return NormalisedPath("/", False)
    if not raw.startswith(b"/"):
        raise PathError('the path does not begin with "/"')
    if forbidden := _FORBIDDEN.search(raw):
        raise PathError(f"the path contains {_name(forbidden[0][0])}, which must be percent-encoded there or left out")
    path = _resolve(_ESCAPE.sub(_canonical, raw.decode("ascii")))
    if "%" not in path and ";" not in path:
        return NormalisedPath(path, False)
    if _HIDDEN_DOTS.search(path):
        raise PathError('the path hides a dot segment ("." or "..") behind a path parameter or an encoded slash')
    if _OVERLONG.search(path):
        raise PathError("the path contains an overlong UTF-8 encoding")
    return NormalisedPath(path, _ENCODED_SLASH.search(path) is not None)


def _resolve(path: str) -> str:
    """Merge slashes and remove dot segments (RFC 3986, section 5.2.4), in that order, as nginx does."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    if kept and path.endswith(("/", "/.", "/..")):
        kept.append("")
    return "/" + "/".join(kept)


def _canonical(match: re.Match[str]) -> str:
    if match[0] == "%":
        raise PathError('the path contains a "%" that two hexadecimal digits do not follow')
    if match["hex"] is None:
        return f"%{ord(match[0]):02X}"
    code = int(match["hex"], 16)
    if code < 0x20 or code == 0x7F:
        raise PathError(f"the path contains {_name(code)}, percent-encoded")
    return _escape(code)


def _canonical_literal(match: re.Match[str]) -> str:
    if match["hex"] is not None:
        return _escape(int(match["hex"], 16))
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def _escape(code: int) -> str:
    character = chr(code)
    return character if character in _UNRESERVED else f"%{code:02X}"


def _name(code: int) -> str:
    if code < 0x20 or code == 0x7F:
        return f"the control character 0x{code:02X}"
    if code > 0x7F:
        return f"the non-ASCII byte 0x{code:02X}"
    return {0x20: "a space", 0x5C: "a backslash"}.get(code, f'"{chr(code)}"')
