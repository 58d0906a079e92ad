"""Errors as the client sees them: RFC 9457 problem details, or plain text for clients that ask for it."""

from __future__ import annotations

from typing import Final

import orjson

from gateway.errors import ErrorKind, GatewayError, OwnKind
from gateway.http.fields import values
from gateway.http.messages import Exchange, Response


def wants_text(accept: bytes) -> bool:
    """Whether the client prefers plain text to JSON: by weight (RFC 9110, 12.5.1), then by order."""
    if b"text/plain" not in accept:
        return False
    weights: dict[bool, float] = {}  # of text, and of JSON; the first of equal ones is the first key
    for item in accept.split(b","):
        kind, _, parameters = item.strip().partition(b";")
        is_text = kind.strip().lower() == b"text/plain"
        if is_text or kind.strip().lower().endswith(b"json"):
            weights.setdefault(is_text, _weight(parameters))
    preferred = max(weights, key=weights.__getitem__, default=False)
    return preferred and weights[True] > 0


def _weight(parameters: bytes) -> float:
    for parameter in parameters.split(b";"):
        name, _, value = parameter.strip().partition(b"=")
        if name.strip().lower() == b"q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


class AnsweredError(GatewayError):
    """An error that is a response already, such as that of the service of `forward_auth`."""

    def __init__(self, kind: ErrorKind, detail: str, response: Response) -> None:
        super().__init__(kind, detail)
        self.response = response


def _common(kind: ErrorKind | OwnKind) -> dict[str, object]:
    """What the documents of a kind have in common."""
    return {"type": kind.type, "title": kind.title, "status": kind.status}


_BEGINNINGS: Final = {kind.slug: orjson.dumps(_common(kind))[:-1] + b"," for kind in ErrorKind}
"""The same as text, up to what differs."""


def problem_for(error: GatewayError, exchange: Exchange, *, full: bool = False) -> Response:
    """The response that reports an error to the client, with the request id to ask about.

    `full`: also what names hosts, files, services and settings.
    """
    if isinstance(error, AnsweredError):
        error.response.headers += error.headers  # what policies added on its way
        return error.response
    kind, request_id, accepted = error.kind, exchange.request_id, b"accept" in exchange.fields
    detail = error.detail if full or error.public_detail is None else error.public_detail
    if accepted and wants_text(b", ".join(values(exchange.headers, b"accept"))):
        body = f"{kind.status} {kind.title}\n{detail}\nrequest {request_id}\n".encode()
        media_type = b"text/plain; charset=utf-8"
    else:
        members: dict[str, object] = {
            "detail": detail,
            "origin": kind.origin,
            "route": exchange.route,
            "request_id": request_id,
        }
        if exchange.trace_id is not None:
            members["trace_id"] = exchange.trace_id
        if isinstance(kind, ErrorKind) and not error.members:
            body = _BEGINNINGS[kind.slug] + orjson.dumps(members)[1:]
        else:
            body = orjson.dumps({**_common(kind), **members, **error.members})
        media_type = b"application/problem+json"
    headers = [
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
        *error.headers,
    ]
    return Response(kind.status, headers, body)
