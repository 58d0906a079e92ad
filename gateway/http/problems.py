"""Errors as the client sees them: RFC 9457 problem details, or plain text for whoever asks for that."""

from __future__ import annotations

import orjson

from gateway.errors import GatewayError
from gateway.http.messages import Exchange, Response


def wants_text(accept: bytes) -> bool:
    """Whether the client prefers plain text to JSON, by the order in which it names them."""
    if b"text/plain" not in accept:
        return False
    return not any(b"json" in kind.split(b"/")[-1] for kind in accept.partition(b"text/plain")[0].split(b","))


def problem(error: GatewayError, request_id: str, route: str | None, accept: bytes) -> Response:
    """The response that tells the client what went wrong, where, and under which id to ask about it."""
    kind = error.kind
    if wants_text(accept):
        body = f"{kind.status} {kind.title}\n{error.detail}\nrequest {request_id}\n".encode()
        media_type = b"text/plain; charset=utf-8"
    else:
        body = orjson.dumps(
            {
                "type": kind.type,
                "title": kind.title,
                "status": kind.status,
                "detail": error.detail,
                "origin": kind.origin,
                "route": route,
                "request_id": request_id,
            }
        )
        media_type = b"application/problem+json"
    headers = [
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
        *error.headers,
    ]
    return Response(kind.status, headers, body)


def problem_for(error: GatewayError, exchange: Exchange) -> Response:
    """The same, for an exchange under way."""
    return problem(error, exchange.request_id, exchange.route, exchange.fields.get(b"accept", b""))
