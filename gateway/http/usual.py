"""Whether what a custom policy has had in its hands is as it nearly always is, decided in little time.

What holds here holds by `validity`, too, which judges all else, and says what is wrong with it. Types are compared, not
asked, but for the identity, of which an API key has a subclass: others may say anything of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Final

from gateway.http.bodies import Expectation
from gateway.http.fields import FRAMING_FIELDS, folded
from gateway.http.header_filter import HeaderFilter
from gateway.http.messages import Attempt, Decision, Exchange, Identity, Response
from gateway.http.model_record import ModelRecord
from gateway.http.span import Span

_IN_NAMES: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_IN_VALUES: Final = bytes(code for code in range(256) if code == 0x09 or (code >= 0x20 and code != 0x7F))
TARGET: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+ (?:/[^\x00-\x20\x7f]*|\*)")  # method, space, path
QUERY: Final = re.compile(rb"[^\x00-\x20\x7f]*")
WORDS: Final = re.compile(r"[^\x00-\x20\x7f]*")
NOT_TO_ADD: Final = FRAMING_FIELDS | {b"host"}
BODYLESS: Final = frozenset({204, 304})
_LONGEST_LENGTH: Final = 18  # digits


def is_usual_response(answer: object, exchange: object) -> bool:
    """Whether it can be sent as it is."""
    if type(answer) is not Response or type(exchange) is not Exchange or type(exchange.method) is not str:
        return False
    status: Any = answer.status
    if type(status) is not int or not 200 <= status <= 999 or answer.session is not None:
        return False
    body: Any = answer.body
    size = len(body) if type(body) is bytes else -1
    if size < 0 and not _is_stream(body):
        return False
    lines: Any = answer.headers
    if type(lines) is not list or not _are_usual_lines(lines):
        return False
    length = b""
    for name, value in lines:
        if name == b"content-length":
            if length or not value.isdigit() or len(value) > _LONGEST_LENGTH:
                return False
            length = value
    return not length or size < 0 or int(length) == size or exchange.method == "HEAD" or status in BODYLESS


def is_usual_request(exchange: object) -> bool:
    """Whether the backend can be sent this, and would read nothing else in it."""
    return (
        type(exchange) is Exchange
        and is_usual_exchange(exchange)
        and TARGET.fullmatch(f"{exchange.method} {exchange.target_path}") is not None
        and QUERY.fullmatch(exchange.query) is not None
        and WORDS.fullmatch(exchange.scheme + exchange.host + exchange.client + exchange.request_id) is not None
        and exchange.deadline == exchange.deadline
        and (not exchange.extra_headers or _may_be_added(exchange.extra_headers))
        and (not exchange.hidden_headers or _may_be_hidden(exchange.hidden_headers))
    )


def is_usual_exchange(exchange: object) -> bool:
    """Whether every attribute is of its kind."""
    if type(exchange) is not Exchange:
        return False
    parameters: Any = exchange.parameters
    return (
        type(exchange.request_id) is str
        and type(exchange.method) is str
        and type(exchange.path) is str
        and type(exchange.original_path) is str
        and type(exchange.scheme) is str
        and type(exchange.host) is str
        and type(exchange.peer) is str
        and type(exchange.client) is str
        and type(exchange.outer_host) is str
        and type(exchange.outer_port) is str
        and type(exchange.http_version) is str
        and type(exchange.target_path) is str
        and (exchange.route is None or type(exchange.route) is str)
        and (exchange.upstream is None or type(exchange.upstream) is str)
        and (exchange.cache is None or type(exchange.cache) is str)
        and (exchange.trace_id is None or type(exchange.trace_id) is str)
        and (exchange.claimed_consumer is None or type(exchange.claimed_consumer) is str)
        and type(exchange.extra_headers) is tuple
        and (exchange.query_concealed is True or exchange.query_concealed is False)
        and (exchange.bare_query is True or exchange.bare_query is False)
        and (exchange.peer_trusted is True or exchange.peer_trusted is False)
        and (exchange.websocket is True or exchange.websocket is False)
        and type(exchange.query) is bytes
        and (exchange.certificate is None or type(exchange.certificate) is bytes)
        and type(exchange.headers) is list
        and type(exchange.fields) is dict
        and (type(parameters) is dict or type(parameters) is MappingProxyType)
        and type(exchange.hidden_headers) is frozenset
        and (exchange.identity is None or isinstance(exchange.identity, Identity))
        and (exchange.span is None or type(exchange.span) is Span)
        and (exchange.model is None or type(exchange.model) is ModelRecord)
        and (exchange.expectation is None or type(exchange.expectation) is Expectation)
        and (exchange.header_filter is None or type(exchange.header_filter) is HeaderFilter)
        and exchange.error is None
        and type(exchange.deadline) is float
        and (exchange.body is None or _is_stream(exchange.body))
        and (exchange.early_hints is None or callable(exchange.early_hints))
        and _are_all(exchange.attempts, Attempt)
        and _are_all(exchange.decisions, Decision)
        and _are_counts(exchange.counted)
    )


def _are_all(parts: Any, kind: type[object]) -> bool:
    if type(parts) is not tuple:
        return False
    for each in parts:  # noqa: SIM110  most have none or one
        if type(each) is not kind:
            return False
    return True


def _are_counts(parts: Any) -> bool:
    if type(parts) is not tuple:
        return False
    for each in parts:
        if type(each) is not tuple or len(each) != 3 or type(each[0]) is not str or not hasattr(each[1], "left"):
            return False
    return True


def _is_stream(body: Any) -> bool:
    return hasattr(body, "read") and hasattr(body, "close") and hasattr(body, "ready")


def _may_be_added(lines: Any) -> bool:
    if not _are_usual_lines(lines):
        return False
    for name, _ in lines:  # noqa: SIM110  most have one or two
        if folded(name) in NOT_TO_ADD:
            return False
    return True


def _may_be_hidden(names: frozenset[Any]) -> bool:
    """Whether these are names in lower case, and none has an underscore, as that is not how they are compared."""
    for name in names:
        if type(name) is not bytes:
            return False
    together = b"".join(names)
    return not together.translate(None, _IN_NAMES) and b"_" not in together


def _are_usual_lines(lines: Iterable[Any]) -> bool:
    """Whether these are pairs of a name in lower case and a value that can be sent."""
    names: list[bytes] = []
    values: list[bytes] = []
    for line in lines:
        if type(line) is not tuple or len(line) != 2:
            return False
        name, value = line
        if type(name) is not bytes or type(value) is not bytes or not name:
            return False
        names.append(name)
        values.append(value)
    return not b"".join(names).translate(None, _IN_NAMES) and not b"".join(values).translate(None, _IN_VALUES)
