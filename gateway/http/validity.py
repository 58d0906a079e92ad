"""Whether a request or a response that code other than the gateway's has had in its hands can be sent as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, Final, cast

from gateway.http.bodies import Expectation, Headers
from gateway.http.fields import folded
from gateway.http.header_filter import HeaderFilter
from gateway.http.messages import Attempt, Decision, Exchange, Identity, Response
from gateway.http.model_record import ModelRecord
from gateway.http.span import Span
from gateway.http.usual import (
    BODYLESS,
    NOT_TO_ADD,
    QUERY,
    TARGET,
    WORDS,
    is_usual_exchange,
    is_usual_request,
    is_usual_response,
)

_LINES: Final = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9a-z-]+\0[\t\x20-\x7e\x80-\xff]*\n)*")  # name, NUL, value, LF
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    **dict.fromkeys(("request_id", "method", "path", "original_path", "scheme", "host", "peer", "client"), str),
    **dict.fromkeys(("outer_host", "outer_port", "http_version", "target_path"), str),
    **dict.fromkeys(("route", "upstream", "cache", "trace_id", "claimed_consumer"), (str, NoneType)),
    **dict.fromkeys(("attempts", "counted", "decisions", "extra_headers"), tuple),
    **dict.fromkeys(("query_concealed", "bare_query", "peer_trusted", "websocket"), bool),
    "query": bytes,
    "certificate": (bytes, NoneType),
    "headers": list,
    "fields": dict,
    "parameters": Mapping,
    "hidden_headers": frozenset,
    "identity": (Identity, NoneType),
    "span": (Span, NoneType),
    "model": (ModelRecord, NoneType),
    "expectation": (Expectation, NoneType),
    "header_filter": (HeaderFilter, NoneType),
    "error": (BaseException, NoneType),
    "deadline": (int, float),
}
"""The types of an exchange's attributes, which reports and outer handlers rely on."""
_PUT_BACK: Final = (*(name for name in _KINDS if name != "decisions"), "early_hints")


def check_response(answer: object, exchange: Exchange) -> Response:
    """The response, its header names in lower case. Raises TypeError or ValueError where it is none."""
    if is_usual_response(answer, exchange):
        return cast(Response, answer)
    if not isinstance(answer, Response):
        raise TypeError(f"its handler returned {type(answer).__name__}, not a Response")
    status: Any = answer.status
    if type(status) is not int or not (200 <= status <= 999 or (status == 101 and answer.session is not None)):
        raise ValueError(f"the status of its response is {status!r}, which is no final one")
    if answer.session is not None and status != 101:
        raise ValueError("its response has a session, which only a WebSocket has")
    body: Any = answer.body
    if not isinstance(body, bytes) and (lacking := _lacks(body)):
        kind = type(body).__name__
        raise TypeError(f"the body of its response is {kind}, neither bytes nor a stream: it has no {lacking[0]}")
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
        bodyless = exchange.method == "HEAD" or status in BODYLESS
        if isinstance(body, bytes) and int(length) != len(body) and not bodyless:
            raise ValueError(f"the Content-Length of its response is {int(length)}, and its body has {len(body)} bytes")
    return answer


def check_request(exchange: Exchange) -> None:
    """Have what a policy names in lower case, as all names are that it is compared with. Raises TypeError or ValueError
    where the backend cannot be sent this, or would read something else in it."""
    if is_usual_request(exchange):
        return
    check_exchange(exchange)
    if not TARGET.fullmatch(f"{exchange.method} {exchange.target_path}") or not QUERY.fullmatch(exchange.query):
        raise ValueError(
            f"the request line {exchange.method} {exchange.target_path!r} {exchange.query!r} cannot be sent"
        )
    if not WORDS.fullmatch("".join((exchange.scheme, exchange.host, exchange.client, exchange.request_id))):
        raise ValueError("scheme, host, client or request_id of the exchange hold a space or a control character")
    if exchange.deadline != exchange.deadline:
        raise ValueError("the deadline of the exchange is no time")
    if exchange.extra_headers:
        added = [(name.lower(), value) for name, value in exchange.extra_headers]
        if not _well_formed(added):
            _refuse_malformed(added)
        if framing := [name for name, _ in added if folded(name) in NOT_TO_ADD]:
            raise ValueError(f"it adds the header {framing[0].decode()}, which is for the gateway to say")
        exchange.extra_headers = tuple(added)
    for name in exchange.hidden_headers:
        if not isinstance(name, bytes):
            raise TypeError(f"the name {name!r:.100} in hidden_headers must be bytes, as in b'x-a'")
    # Names with an underscore are compared as what CGI makes of them.
    exchange.hidden_headers = frozenset(
        form for name in exchange.hidden_headers for form in (name.lower(), folded(name.lower()))
    )


def check_exchange(exchange: Exchange) -> None:
    """Raises TypeError where an attribute is not of its kind."""
    if is_usual_exchange(exchange):
        return
    for name in _misfits(exchange):
        raise TypeError(f"{name} of the exchange is {getattr(exchange, name)!r:.100}, which it cannot be")


def repair(exchange: Exchange, former: Exchange) -> None:
    """Give back what is not of its kind the value that it had."""
    if is_usual_exchange(exchange):
        return
    for name in _misfits(exchange):
        setattr(exchange, name, getattr(former, name))


def put_back(exchange: Exchange, former: Exchange) -> None:
    """Make it again what it was, but for the decisions, of which there may be more, and what it owns: its body, and
    what is to be closed with it."""
    for name in _PUT_BACK:
        setattr(exchange, name, getattr(former, name))


def _misfits(exchange: Exchange) -> Iterator[str]:
    for name, kind in _KINDS.items():
        if not isinstance(getattr(exchange, name), kind):
            yield name
    if exchange.body is not None and _lacks(exchange.body):
        yield "body"
    if exchange.early_hints is not None and not callable(exchange.early_hints):
        yield "early_hints"
    for name, part in (("attempts", Attempt), ("decisions", Decision)):
        parts = getattr(exchange, name)
        if isinstance(parts, tuple) and not all(isinstance(each, part) for each in parts):
            yield name
    if isinstance(exchange.counted, tuple) and not all(map(_is_count, exchange.counted)):
        yield "counted"


def _is_count(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and isinstance(value[0], str) and hasattr(value[1], "left")


def _lacks(body: object) -> list[str]:
    """The members that a stream has, and this has not."""
    return [name for name in ("read", "close", "ready") if not hasattr(body, name)]


def _well_formed(headers: Headers) -> bool:
    try:
        lines = b"\n".join([*map(b"\0".join, headers), b""])
    except TypeError:
        return False
    return lines.count(b"\n") == len(headers) and _LINES.fullmatch(lines) is not None  # a value could look like lines


def _refuse_malformed(headers: Headers) -> None:
    for line in headers:
        if any(isinstance(part, str) for part in line):
            raise TypeError(f"the header {line!r:.100} is of str: names and values are bytes, as in (b'x-a', b'1')")
        if not _well_formed([line]):
            raise ValueError(f"the header {line[0]!r} has a name or a value that cannot be sent (RFC 9110, 5.5)")
