"""The names that spans have, and their attributes: those of OpenTelemetry's semantic conventions for HTTP, and a few of
the gateway's own. docs/tracing.md has the same tables, which a test compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from gateway.http.messages import Attempt
from gateway.http.redaction import shown_query
from gateway.http.span import Tried
from gateway.monitor.telemetry.span_record import SpanRecord
from gateway.routes.pattern import fits, parse

Value = str | int | bool
KNOWN_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
OTHER_METHOD: Final = "_OTHER"


def method_of(method: str) -> str:
    """One of the known methods, or that it is another."""
    return method if method in KNOWN_METHODS else OTHER_METHOD


def _unknown(method: str) -> str | None:
    return None if method in KNOWN_METHODS else method


def address_of(authority: str) -> tuple[str, int | None]:
    """Name and port of what `Host` and endpoints are written like."""
    host, colon, port = authority.rpartition(":")
    if not colon or not (port.isdigit() and port.isascii()) or (":" in host and not host.startswith("[")):
        host, port = authority, ""
    return host.strip("[]"), int(port) if port and len(port) <= 5 else None


def server_error(record: SpanRecord) -> str | None:
    """Why the exchange failed, in few words: the kind of failure, or the status."""
    if record.error and (record.status >= 500 or record.gone or 0 < record.status < 400 or not record.status):
        return record.error
    return str(record.status) if record.status >= 500 else None


def template_of(record: SpanRecord) -> str | None:
    """The path of the route, as it is declared: of several that which fits. None where no route took it."""
    paths = record.span.paths
    if len(paths) <= 1:
        return paths[0] if paths else None
    segments = record.own_path.split("/")[1:]
    return next((path for path in paths if fits(_parsed(path), segments)), paths[0])


_parsed: Final = lru_cache(1024)(parse)

SERVER: Final[Mapping[str, Callable[[SpanRecord], Value | None]]] = {
    "http.request.method": lambda record: method_of(record.method),
    "http.request.method_original": lambda record: _unknown(record.method),
    "url.scheme": lambda record: record.scheme,
    "url.path": lambda record: record.path,
    "url.query": lambda record: shown_query(record.query) or None,
    "http.route": template_of,
    "http.response.status_code": lambda record: record.status or None,
    "error.type": server_error,
    "server.address": lambda record: address_of(record.host)[0] or None,
    "server.port": lambda record: (
        (address_of(record.host)[1] or (443 if record.scheme == "https" else 80)) if record.host else None
    ),
    "client.address": lambda record: record.client,
    "network.peer.address": lambda record: record.peer,
    "network.protocol.name": lambda record: "http",
    "network.protocol.version": lambda record: record.version,
    "user_agent.original": lambda record: record.agent.decode("latin-1") or None,
    "http.request.body.size": lambda record: record.received,
    "http.response.body.size": lambda record: record.sent,
    "gateway.request_id": lambda record: record.request_id,
    "gateway.route_id": lambda record: record.route,
    "gateway.consumer": lambda record: record.consumer,
    "gateway.tenant": lambda record: record.tenant,
    "gateway.cache": lambda record: record.cache,
    "gateway.refused_by": lambda record: record.refused_by,
}
"""Attributes of the server span. None: it has no such attribute."""


def is_cancelled(attempt: Attempt) -> bool:
    """Whether its answer was not awaited any more."""
    return not attempt.status and attempt.failure is None


def client_error(attempt: Attempt) -> str | None:
    """The same of an attempt."""
    if attempt.failure is not None:
        return attempt.failure.slug
    return str(attempt.status) if attempt.status >= 400 else None


def _url(record: SpanRecord, tried: Tried) -> str | None:
    if not tried.scheme:
        return None
    query = shown_query(record.query)
    return f"{tried.scheme}://{tried.attempt.endpoint}{record.target_path}{query and '?'}{query}"


CLIENT: Final[Mapping[str, Callable[[SpanRecord, Tried, int], Value | None]]] = {
    "http.request.method": lambda record, tried, number: method_of(record.method),
    "http.request.method_original": lambda record, tried, number: _unknown(record.method),
    "server.address": lambda record, tried, number: address_of(tried.attempt.endpoint)[0],
    "server.port": lambda record, tried, number: address_of(tried.attempt.endpoint)[1],
    "url.full": lambda record, tried, number: _url(record, tried),
    "http.request.resend_count": lambda record, tried, number: number or None,
    "http.response.status_code": lambda record, tried, number: tried.attempt.status or None,
    "error.type": lambda record, tried, number: client_error(tried.attempt),
    "network.protocol.name": lambda record, tried, number: "http",
    "network.protocol.version": lambda record, tried, number: "1.1",
    "http.request.body.size": lambda record, tried, number: tried.attempt.sent or None,
    "http.response.body.size": lambda record, tried, number: tried.attempt.received or None,
    "gateway.upstream": lambda record, tried, number: tried.upstream,
    "gateway.connection.reused": lambda record, tried, number: tried.attempt.reused,
    "gateway.why_next": lambda record, tried, number: tried.attempt.retry or None,
    "gateway.cancelled": lambda record, tried, number: is_cancelled(tried.attempt) or None,
}
"""Attributes of a client span; the number of its resend."""
