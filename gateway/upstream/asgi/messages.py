"""Messages that an application may send."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from gateway.http import Headers
from gateway.http.bodies import Message, Receive, Send
from gateway.http.fields import CONNECTION_FIELDS

AsgiCallable = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")


class BadMessage(Exception):
    """A message that no client may see anything of."""


def status_of(message: Message) -> int:
    """The status of a response (RFC 9110, 15). Raises BadMessage."""
    status = message.get("status")
    if type(status) is not int or not 200 <= status <= 599:
        raise BadMessage(f"a status of {status!r}; it is a number from 200 to 599")
    return status


def headers_of(message: Message) -> Headers:
    """The header lines of a response, names in lower case, less those for the connection. Raises BadMessage."""
    given: Iterable[Any] = message.get("headers") or ()
    headers = [_line(*line) for line in given if _is_pair(line)]
    lengths = {value for name, value in headers if name == b"content-length"}
    if len(lengths) > 1 or any(not _LENGTH.fullmatch(length) for length in lengths):
        raise BadMessage("a Content-Length that is no number, or two of them")
    if any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in headers):
        raise BadMessage("a Transfer-Encoding, which is for the gateway to choose")
    return [line for line in headers if line[0] not in CONNECTION_FIELDS]


def _is_pair(line: Any) -> bool:
    if not isinstance(line, (tuple, list)) or len(line) != 2:
        raise BadMessage("a header that is no pair of a name and a value")
    return True


def _line(name: Any, value: Any) -> tuple[bytes, bytes]:
    if not isinstance(name, (bytes, bytearray)) or not isinstance(value, (bytes, bytearray)):
        raise BadMessage(f"the header {name!r}, whose name and value must be bytes")
    name, value = bytes(name).lower(), bytes(value).strip(b" \t")
    if not _NAME.fullmatch(name):
        raise BadMessage(f"the header name {name!r}, which is none (RFC 9110, 5.1)")
    if not _VALUE.fullmatch(value):
        raise BadMessage(f"a control character in the header {name.decode()}")
    return name, value


def data_of(message: Message) -> bytes:
    """A piece of a response body. Raises BadMessage."""
    data = message.get("body", b"")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise BadMessage(f"a body of {type(data).__name__}, which must be bytes")
    return bytes(data)
