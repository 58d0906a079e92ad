"""Why an exchange on a connection of HTTP/1.1 has failed, in words that operators read."""

from __future__ import annotations

from asyncio import BaseTransport
from ssl import SSLError

from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError
from gateway.upstream.http1.bodies import Line
from gateway.upstream.http1.codec import BODY, HEAD
from gateway.upstream.tls import cause_of, certificate_refused


def cut_short(line: Line, error: Exception | None, transport: BaseTransport | None) -> GatewayError:
    """The upstream closed in the middle of something; `error` is what the transport says of that."""
    started = line.reader.started
    if isinstance(error, SSLError) and not started and line.used <= 1 and certificate_refused(error, transport):
        return GatewayError(ErrorKind.UPSTREAM_TLS, f"{line.label}: {cause_of(error, line.named)}", retryable=True)
    what = "in the middle of its response" if started else "before it answered"
    detail = f"{line.label} closed the connection {what}"
    return GatewayError(ErrorKind.UPSTREAM_RESET, detail, retryable=not started)


def overdue(line: Line, now: float, *, reading: bool) -> GatewayError:
    """A deadline has passed; the phase shows which one. Not `reading`: the client is slow."""
    phase, kind, timeouts = line.reader.phase, ErrorKind.UPSTREAM_TIMEOUT, line.timeouts
    if now >= line.exchange_ends:
        detail = f"the exchange with {line.label} took longer than the route's total time-out"
        if phase is HEAD and not line.request_sent and not line.writer.unsent:
            kind = ErrorKind.REQUEST_TIMEOUT  # it has all that there was: the client is slow
        elif not reading:
            kind = ErrorKind.CLIENT_GONE  # who does not read
        elif timeouts.total != NEVER:
            detail = f"the exchange with {line.label} took longer than {timeouts.said_of_total}"
    elif phase is BODY:
        detail = f"{line.label} sent nothing more of its response for {line.idle_seconds:g} s ({timeouts.idle_key})"
    elif line.request_sent:
        detail = f"{line.label} sent no response within {timeouts.said_of_header}"
    else:
        detail = f"{line.label} took no more of the request for {line.idle_seconds:g} s ({timeouts.idle_key})"
    retryable = kind is ErrorKind.UPSTREAM_TIMEOUT and not line.reader.started
    return GatewayError(kind, detail, retryable=retryable)
