"""Request paths in the two forms that a gateway needs (RFC 3986, section 6.2.2).

*Compared*: two spellings of a path that a backend may take for the same are one here, or a rule on one of them is
walked around with the other. Every octet that may stand raw in a segment is decoded, every other one is an escape in
upper case, slashes are merged, dot segments resolved. What cannot be brought into this form without guessing is
refused.

*Sent*: with slashes and escapes as they came, because a backend may distinguish them: object stores have keys with two
slashes, and `%3B` is no path parameter. Only the dot segments are resolved there, and what has no place in a path is
escaped.
"""

import re
from typing import Final, NamedTuple

# What may stand raw in a segment (pchar; RFC 3986, 3.3).
_RAW: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@")

# No escapes, no empty segments, and no segment that begins with a dot: both forms are the path itself. Nearly every
# request is of this kind, so one possessive (never backtracking) pattern decides it.
is_plain: Final = re.compile(
    r"(?:/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*+)++/?|/",
).fullmatch

_BAD_ESCAPE: Final = re.compile(r"%(?:(?P<control>[01][0-9A-Fa-f]|7[Ff])|(?![0-9A-Fa-f]{2}))")
_FORBIDDEN: Final = re.compile(rb"[\x00-\x20\x7f-\xff\\#?]")
# Clients do send the characters of the second half as they are, though RFC 3986 has no place for them in a path.
_ESCAPE: Final = re.compile(r"%(?P<hex>[0-9A-Fa-f]{2})|[\"<>\[\]^`{|}]")
_MISPLACED: Final = re.compile(r"[\"<>\[\]^`{|}]")
_ENCODED_SLASH: Final = re.compile(r"%2F|%5C")
# A dot segment that only appears once the server behind us drops path parameters or decodes slashes.
_HIDDEN_DOTS: Final = re.compile(r"(?:/|%2F|%5C)\.\.?(?:;|%2F|%5C|/|$)")
# "/" and "." in more bytes than UTF-8 needs: only careless decoders accept it, and then as a slash or a dot.
_OVERLONG: Final = re.compile(r"%C[01]%[89AB]|%E0%[89]|%F0%8")
_ESCAPED_DOT: Final = re.compile(r"%2[Ee]")
_SLASHES: Final = re.compile(r"//+")

_LITERAL_ESCAPE: Final = re.compile(r"%(?P<hex>[0-9A-Fa-f]{2})|[\"<>\[\]^`{|} ]|[^\x00-\x7f]+")


class PathError(ValueError):
    """A path that is refused; the message says what is wrong with it."""


class NormalisedPath(NamedTuple):
    """A path in its two forms, both ASCII, beginning with "/", without dot segments."""

    path: str
    """As it is compared."""
    has_encoded_slash: bool
    """Whether "%2F" or "%5C" is in it, which only routes that say so accept."""
    pieces: tuple[str, ...] = ()
    """As it is sent, where that differs: for each segment of `path`, all slashes before it, and how it was spelled."""

    @property
    def sent(self) -> str:
        """As it is sent."""
        return "".join(self.pieces) or self.path


def normalise(raw: bytes) -> NormalisedPath:
    """Bring the path of a request target (without its query) into normal form.

    Slashes are merged before dot segments are resolved, as nginx does it; these never climb above the root. A trailing
    slash stays, an empty path is "/". Of a path that was normalised before, both forms are what they are of the
    original. Raises `PathError` for what has no safe normal form.
    """
    text = raw.decode("latin-1")
    if is_plain(text):
        return NormalisedPath(text, False)
    if not raw:
        return NormalisedPath("/", False)
    if not raw.startswith(b"/"):
        raise PathError('the path does not begin with "/"')
    if forbidden := _FORBIDDEN.search(raw):
        raise PathError(f"the path contains {_name(forbidden[0][0])}, which must be percent-encoded there or left out")
    text = raw.decode("ascii")
    if bad := _BAD_ESCAPE.search(text):
        raise PathError(_about_escape(bad["control"]))
    pieces = _resolve(text)
    sent = "".join(pieces)
    path = merge_slashes(_ESCAPE.sub(_canonical, sent))
    if "%" not in path and ";" not in path:
        return NormalisedPath(path, False, () if path == sent else pieces)
    if _HIDDEN_DOTS.search(path):
        raise PathError('the path hides a dot segment ("." or "..") behind a path parameter or an encoded slash')
    if _OVERLONG.search(path):
        raise PathError("the path contains an overlong UTF-8 encoding")
    return NormalisedPath(path, _ENCODED_SLASH.search(path) is not None, () if path == sent else pieces)


def is_sendable(path: str) -> bool:
    """Whether `path` is as a path may be sent."""
    try:
        return normalise(path.encode()).sent == path
    except PathError:
        return False


def compared(path: str) -> str:
    """Bring a path as it is sent into the form in which paths are compared."""
    return normalise(path.encode()).path


def normalise_literal(text: str) -> str:
    """Write a piece of a configured path as it is compared, and leave alone what `normalise` would refuse.

    Dot segments and repeated slashes stay too: `check` reports that such a route can never match.
    """
    return _LITERAL_ESCAPE.sub(_canonical, text)


def sendable_literal(text: str) -> str:
    """Write a piece of a configured path as it is sent: its escapes stay, what has no place in a path becomes one."""
    return _LITERAL_ESCAPE.sub(_sendable, text)


def merge_slashes(path: str) -> str:
    """Make one slash of several."""
    return _SLASHES.sub("/", path)


def _resolve(path: str) -> tuple[str, ...]:
    """Remove dot segments (RFC 3986, section 5.2.4), as if slashes were merged; each kept segment keeps its slashes."""
    kept: list[str] = []
    slashes = ""
    plain = ""
    for segment in path.split("/")[1:]:
        plain = _ESCAPED_DOT.sub(".", segment) if "%" in segment else segment
        if plain == "..":
            del kept[-1:]
            slashes = ""
        elif not segment:
            slashes += "/"
        elif plain != ".":
            kept.append(f"{slashes}/{_MISPLACED.sub(_encoded, segment)}")
            slashes = ""
    if plain in (".", ".."):
        slashes += "/"
    if slashes:
        kept.append(slashes)
    return tuple(kept)


def _canonical(match: re.Match[str]) -> str:
    if match["hex"] is None:
        return _encoded(match)
    character = chr(int(match["hex"], 16))
    return character if character in _RAW else match[0].upper()


def _sendable(match: re.Match[str]) -> str:
    return _encoded(match) if match["hex"] is None else match[0]


def _encoded(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def _about_escape(control: str | None) -> str:
    if control is None:
        return 'the path contains a "%" that two hexadecimal digits do not follow'
    return f"the path contains {_name(int(control, 16))}, percent-encoded"


def _name(code: int) -> str:
    if code < 0x20 or code == 0x7F:
        return f"the control character 0x{code:02X}"
    if code > 0x7F:
        return f"the non-ASCII byte 0x{code:02X}"
    return {0x20: "a space", 0x5C: "a backslash"}.get(code, f'"{chr(code)}"')
