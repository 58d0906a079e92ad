"""Forms that are too large to be held (`multipart/form-data`, RFC 7578): the texts in them are read as they pass."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final, NoReturn

from gateway.llm.apis import Call
from gateway.llm.naming import names_model
from gateway.llm.request import BadBody, ModelRequest
from gateway.llm.splice import Span

_LONGEST_HEAD: Final = 8 * 1024
_LONGEST_TEXT: Final = 1024
_BOUNDARY: Final = re.compile(
    rb'^multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.I | re.S
)
_PARAMETER: Final = rb';[ \t]*([\w*-]+)=("(?:[^"\\\r\n]|\\.)*"|[^\s;"]+)[ \t]*'
_PARAMETERS: Final = re.compile(_PARAMETER)
_DISPOSITION: Final = re.compile(rb"form-data[ \t]*((?:%b)*)" % _PARAMETER, re.I)


def boundary_of(content_type: bytes) -> bytes | None:
    """The boundary of the parts; None if a content type is not a form, or repeats it."""
    found = _BOUNDARY.match(content_type)
    return None if found is None or content_type.lower().count(b"boundary") > 1 else found[1] or found[2]


class FormReader:
    """Takes a form in pieces, and notes the texts with these names. It holds a few kilobytes at most."""

    __slots__ = ("_at", "_delimiter", "_held", "_name", "_names", "_state", "fields")

    def __init__(self, boundary: bytes, names: Sequence[bytes] = (b"model", b"stream")) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._names = frozenset(names)
        self._held = bytearray(b"\r\n")  # the first delimiter has no line before it
        self._at = -2  # where in the form the held bytes begin
        self._state = "content"
        self._name = b""
        self.fields: list[tuple[str, str, Span]] = []  # name, text, and where it stands in the form

    def feed(self, piece: bytes) -> None:
        """The next bytes. Raises BadBody for what is no form, or has a text of these names twice."""
        self._held += piece
        while self._state != "end" and self._step():
            pass
        if self._state == "end":
            self._drop(len(self._held))

    @property
    def pending(self) -> int:
        """The bytes that are held, because their part has not ended."""
        return len(self._held)

    def text(self, name: str) -> str | None:
        """The text with this name, as far as it came."""
        return next((text for known, text, _ in self.fields if known == name), None)

    def request(self, call: Call) -> ModelRequest:
        """The request as received so far, without its body."""
        return ModelRequest(call, b"", {"model": self.text("model"), "stream": self.text("stream") == "true"})

    def _step(self) -> bool:
        """Take one head or one content out of what is held; False where more must come."""
        return self._head() if self._state == "head" else self._content()

    def _content(self) -> bool:
        found = self._held.find(self._delimiter)
        if found < 0:
            wanted = self._name in self._names
            if wanted and len(self._held) > _LONGEST_TEXT + len(self._delimiter):
                self._refuse("is too long")
            if not wanted:
                self._drop(max(0, len(self._held) - len(self._delimiter) + 1))
            return False
        after = found + len(self._delimiter)
        if len(self._held) < after + 2:
            return False
        if self._name in self._names:
            self._note(found)
        follows = bytes(self._held[after : after + 2])
        if follows not in (b"--", b"\r\n"):
            raise BadBody("the form has what could be the end of a part")
        self._state = "end" if follows == b"--" else "head"
        self._drop(after)
        return True

    def _head(self) -> bool:
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            if len(self._held) > _LONGEST_HEAD:
                raise BadBody("a part of the form has too long a head")
            return False
        self._name = _text_name(bytes(self._held[:end]), self._names)
        self._state = "content"
        self._drop(end + 2)  # what follows may be the delimiter at once, with this end of a line
        return True

    def _note(self, end: int) -> None:
        name = self._name.decode()
        if self.text(name) is not None:
            self._refuse("is duplicated")
        text = bytes(self._held[2 : max(2, end)])
        if len(text) > _LONGEST_TEXT:
            self._refuse("is too long")
        self.fields.append((name, text.decode("utf-8", "replace"), Span(self._at + 2, self._at + 2 + len(text))))

    def _refuse(self, why: str) -> NoReturn:
        name = self._name.decode()
        raise BadBody(f"`{name}` of the form {why}", name)

    def _drop(self, count: int) -> None:
        del self._held[:count]
        self._at += count


def _text_name(head: bytes, read: Collection[bytes]) -> bytes:
    """The name of a part that is a text; empty for a file. What can be read in two ways is refused, and so is what some
    servers take for one of the names that are read, or for a model."""
    lines = [
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")
        if line.partition(b":")[0].strip().lower() == b"content-disposition"
    ]
    said = _DISPOSITION.fullmatch(lines[0]) if len(lines) == 1 else None
    if said is None:
        raise BadBody("a part of the form has no Content-Disposition that can be read")
    parameters = [(name.lower(), value.strip(b'"')) for name, value in _PARAMETERS.findall(said[1])]
    values = dict(parameters)
    if len(values) < len(parameters) or b"name*" in values:
        raise BadBody("a part of the form has a Content-Disposition that could be read in more than one way")
    if b"file_id" in values.get(b"name", b"").lower():
        raise BadBody("a form must not refer to files by their ids; send the file in it, or the request as JSON")
    is_file = b"filename" in values or b"filename*" in values
    name = values.get(b"name", b"")
    if (name not in read or is_file) and (name in read or names_model(name.decode("utf-8", "replace"))):
        raise BadBody(
            f"`{name.decode('utf-8', 'replace')[:100]}` must not be in a form; name the model as `model`, once"
        )
    return b"" if is_file else name
