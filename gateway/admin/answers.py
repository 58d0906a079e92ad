"""Answers of the admin API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.reload import Reloader
from gateway.snapshot import Snapshot


class Refused(Exception):
    """Why something is not done, and what to do: what an operation that raises it answers with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def loaded(reloader: Reloader) -> Snapshot:
    """The configuration in force. Raises Refused where there is none."""
    if reloader.current is None:
        raise Refused(503, "no configuration is loaded: /health says why")
    return reloader.current


async def json_body(request: Request, most: int, what: str, example: str) -> dict[str, Any]:
    """The object in a request's body, of at most so many bytes. Raises Refused.

    Only as application/json, which no page of another site can make a browser send without asking.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, f"send {what} as application/json")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > most:
                raise Refused(413, f"{what} has at most {most} bytes")
    except ClientDisconnect:  # or it was too slow, and has its answer
        raise Refused(408, f"{what} did not come whole") from None
    try:
        fields = orjson.loads(bytes(body))
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise Refused(400, f"expected a JSON object such as {example}")
    return fields


def json_answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON that a person may read."""
    return Response(encoded(content, orjson.OPT_INDENT_2), status, headers, media_type="application/json")


def encoded(content: Any, option: int = 0) -> bytes:
    """A value as JSON, also if a text of a token is invalid Unicode, such as half a surrogate pair."""
    try:
        return orjson.dumps(content, option=option)
    except TypeError:
        return json.dumps(content).encode()
