"""Whether a request or a response that code other than the gateway's has had in its hands can be sent as it is."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.http.fields import FRAMING_FIELDS, folded
from gateway.http.messages import Exchange, Headers, Response

_LINES: Final = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9a-z-]+\0[\t\x20-\x7e\x80-\xff]*\n)*")  # name, NUL, value, LF
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_TARGET: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+ (?:/[^\x00-\x20\x7f]*|\*)")  # method, space, path
_QUERY: Final = re.compile(rb"[^\x00-\x20\x7f]*")
_WORDS: Final = re.compile(r"[^\x00-\x20\x7f]*")
_NOT_TO_ADD: Final = FRAMING_FIELDS | {b"host"}
_BODYLESS: Final = frozenset({204, 304})


def check_response(answer: object, exchange: Exchange) -> Response:
    """The response, its header names in lower case. Raises TypeError or ValueError where it is none."""
    if not isinstance(answer, Response):
        raise TypeError(f"its handler returned {type(answer).__name__}, not a Response")
    status: Any = answer.status
    if type(status) is not int or not (200 <= status <= 999 or (status == 101 and answer.session is not None)):
        raise ValueError(f"the status of its response is {status!r}, which is no final one")
    body: Any = answer.body
    if not isinstance(body, bytes) and not all(hasattr(body, name) for name in ("read", "close", "ready")):
        raise TypeError(f"the body of its response is {type(body).__name__}, neither bytes nor a stream")
    if not isinstance(answer.headers, (list, tuple)):
        raise TypeError(f"the headers of its response are {type(answer.headers).__name__}, not a list")
    if not _well_formed(answer.headers):
        answer.headers = [(name.lower(), value) for name, value in answer.headers]
        _refuse_malformed(answer.headers)
    lengths = {value for name, value in answer.headers if name == b"content-length"}
    if lengths:
        length = lengths.pop()
        if lengths or not _LENGTH.fullmatch(length):
            raise ValueError("the Content-Length of its response is no number, or there are two of them")
        bodyless = exchange.method == "HEAD" or status in _BODYLESS
        if isinstance(body, bytes) and int(length) != len(body) and not bodyless:
            raise ValueError(f"the Content-Length of its response is {int(length)}, and its body has {len(body)} bytes")
    return answer


def check_request(exchange: Exchange) -> None:
    """Raises TypeError or ValueError where the backend cannot be sent this, or would read something else in it."""
    if not _TARGET.fullmatch(f"{exchange.method} {exchange.target_path}") or not _QUERY.fullmatch(exchange.query):
        raise ValueError(
            f"the request line {exchange.method} {exchange.target_path!r} {exchange.query!r} cannot be sent"
        )
    if not _WORDS.fullmatch("".join((exchange.scheme, exchange.host, exchange.client, exchange.request_id))):
        raise ValueError("scheme, host, client or request_id of the exchange hold a space or a control character")
    if not isinstance(exchange.deadline, (int, float)) or exchange.deadline != exchange.deadline:
        raise TypeError(f"the deadline of the exchange is {exchange.deadline!r}, which is no time")
    if not isinstance(exchange.attempts, tuple):
        exchange.attempts = ()  # which the access log reads
        raise TypeError("the attempts of the exchange are the gateway's to count")
    if exchange.extra_headers:
        added = [(name.lower(), value) for name, value in exchange.extra_headers]
        if not _well_formed(added):
            _refuse_malformed(added)
        if framing := [name for name, _ in added if folded(name) in _NOT_TO_ADD]:
            raise ValueError(f"it adds the header {framing[0].decode()}, which is for the gateway to say")


def _well_formed(headers: Headers) -> bool:
    return _LINES.fullmatch(b"\n".join([*map(b"\0".join, headers), b""])) is not None


def _refuse_malformed(headers: Headers) -> None:
    for line in headers:
        if not _well_formed([line]):
            raise ValueError(f"the header {line[0]!r} has a name or a value that cannot be sent (RFC 9110, 5.5)")
