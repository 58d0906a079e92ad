"""Values with variables: what `{client}`, `{claims.org}` or `{id}` are for one exchange, as a header or in a query."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from gateway.config.models.header_rules import PIECES
from gateway.http import Exchange
from gateway.http.fields import lines_of
from gateway.http.parameters import parameters

Value = Callable[[Exchange], bytes]
"""The value for an exchange; empty where there is none."""

Parameter = Callable[[Exchange], str | None]
"""The value of a query parameter, percent-encoded; None where there is none."""

Getter = Callable[[Exchange], Sequence[str] | None]
"""The values of a variable: mostly one text, several if a claim is a list; None if there is none."""

_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))

_VARIABLES: Final[dict[str, Callable[[Exchange], str | None]]] = {
    "request_id": lambda exchange: exchange.request_id,
    "client": lambda exchange: exchange.client,
    "consumer": lambda exchange: exchange.identity.consumer if exchange.identity else None,
    "tenant": lambda exchange: exchange.identity.tenant if exchange.identity else None,
    "route": lambda exchange: exchange.route,
    "host": lambda exchange: exchange.host,
    "scheme": lambda exchange: exchange.scheme,
    "method": lambda exchange: exchange.method,
    "path": lambda exchange: exchange.path,
    "original_path": lambda exchange: exchange.original_path,
}


_FREE_TEXT: Final = frozenset({"consumer", "tenant"})  # what a token may have made up
_MARKS: Final = "%;,=\"'\\ "  # what stands between the parts of a value, or around them


def compile_value(text: str) -> bytes | Value:
    """The value of a header, or what makes it of an exchange.

    Whatever a variable holds, what comes out is one line of printable ASCII: everything else is percent-encoded. Where
    a variable is only a part of the value, so is what could pass for the end of its part.
    """
    pieces: list[str | Callable[[Exchange], str | None]] = []
    position = 0
    matches = list(PIECES.finditer(text))
    alone = len(matches) == 1 and matches[0][0] == text
    literal = "".join(char for char in PIECES.sub("", text) if not char.isalnum())
    for match in matches:
        pieces += [text[position : match.start()], match[1] or _written(match[2], literal, alone=alone)]
        position = match.end()
    pieces.append(text[position:])
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(map(str, pieces)).encode("ascii")

    def render(exchange: Exchange) -> bytes:
        made = ""
        for piece in pieces:
            part = piece if isinstance(piece, str) else piece(exchange)
            if part is None:
                return b""
            made += part
        return made.strip().encode("ascii")

    return render


def _written(name: str, literal: str, *, alone: bool) -> Callable[[Exchange], str | None]:
    """The encoded value of a variable. `literal` has the marks around it, such as `&`."""
    simple = _VARIABLES.get(name)
    free = name in _FREE_TEXT or "." in name
    get = _simple(simple) if simple is not None else _getter(name)
    marks = "%" if free else ""
    if not alone:  # hosts, addresses and paths keep what belongs to them
        marks = _MARKS + (literal if free else "".join(mark for mark in literal if mark not in "/:.-_"))
    if simple is None and not free:  # what a capture has of "%" are escapes already
        marks = marks.replace("%", "")

    def written(exchange: Exchange) -> str | None:
        found = get(exchange)
        if found is None:
            return None
        if len(found) == 1:
            return _encoded(found[0], marks)
        return ",".join([_encoded(each, marks + ",%") for each in found])

    return written


def _encoded(value: str, marks: str) -> str:
    if value.isascii() and value.isprintable() and value == value.strip():
        return value.translate({ord(mark): f"%{ord(mark):02X}" for mark in marks})
    safe = "".join(char for char in _PRINTABLE if char not in marks)
    return quote(value, safe=safe.replace(" ", ""), errors="replace")


def compile_parameter(text: str) -> Parameter:
    """Makes the value of a query parameter of an exchange. None if a variable has no value."""
    pieces: list[bytes | Callable[[Exchange], bytes | None]] = []
    position = 0
    for match in PIECES.finditer(text):
        pieces += [text[position : match.start()].encode(), match[1].encode() if match[1] else _raw(match[2])]
        position = match.end()
    pieces.append(text[position:].encode())

    def render(exchange: Exchange) -> str | None:
        made = b""
        for piece in pieces:
            part = piece if isinstance(piece, bytes) else piece(exchange)
            if part is None:
                return None
            made += part
        return quote(made, safe="") or None

    return render


def _raw(name: str) -> Callable[[Exchange], bytes | None]:
    """The decoded value of a variable: captures of the path without their escapes."""
    simple = _VARIABLES.get(name)
    get = _simple(simple) if simple is not None else _getter(name)
    of_path = simple is None and "." not in name

    def raw(exchange: Exchange) -> bytes | None:
        found = get(exchange)
        if found is None:
            return None
        text = ",".join(found)
        return unquote_to_bytes(text) if of_path else text.encode("utf-8", "replace")

    return raw


def _simple(get: Callable[[Exchange], str | None]) -> Getter:
    return lambda exchange: (get(exchange) or "",)


def _getter(name: str) -> Getter:
    family, _, rest = name.partition(".")
    if not rest:
        return lambda exchange: _one(exchange.parameters.get(name))
    if family == "claims":
        steps = rest.split(".")
        return lambda exchange: _claim(exchange, rest, steps)
    if family == "headers":
        header = rest.lower().encode()
        return lambda exchange: _header(exchange, header)
    return lambda exchange: _parameter(exchange, rest)


def _one(text: str | None) -> Sequence[str] | None:
    return None if text is None else (text,)


def _claim(exchange: Exchange, name: str, steps: Sequence[str]) -> Sequence[str] | None:
    """A claim of the caller's token: of this name as a whole, or claims inside of claims."""
    if exchange.identity is None:
        return None
    claims: Any = exchange.identity.claims
    if name in claims:
        return _texts(claims[name])
    for step in steps:
        claims = claims.get(step) if isinstance(claims, Mapping) else None
    return _texts(claims)


def _texts(value: Any) -> Sequence[str] | None:
    """Texts, numbers and truths, alone or in a list, as texts; None for anything else."""
    if isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping):
        texts = [_text(each) for each in value]
        found = [text for text in texts if text is not None]
        return found if found and len(found) == len(texts) else None
    return _one(_text(value))


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def _header(exchange: Exchange, name: bytes) -> Sequence[str] | None:
    found = lines_of(exchange.headers, exchange.fields, name)
    return (found[0].decode("utf-8", "replace"),) if len(found) == 1 else None


def _parameter(exchange: Exchange, name: str) -> Sequence[str] | None:
    found = [value for key, value in parameters(exchange.query) if key == name]
    return found if len(found) == 1 else None
