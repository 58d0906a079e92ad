"""Policies and an application that fail in the way that the query says, and a policy that answers what they leave."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from copy import copy
from typing import Any

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Response
from gateway.http.bodies import Receive, Send

LARGE = 50_000  # bytes


class Leftovers:
    """Has garbage be collected when it is asked only, and answers which exchanges and large texts were in it."""

    def wrap(self, handler: Handler) -> Handler:
        async def answered(exchange: Exchange) -> Response:
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            gc.set_debug(0)
            found = {each.original_path for each in gc.garbage if isinstance(each, Exchange)}
            for each in gc.garbage:
                for held in gc.get_referents(each):
                    if isinstance(held, bytes | bytearray | str) and len(held) > LARGE:
                        found.add(f"{len(held)} bytes of {type(each).__name__}")
            gc.garbage.clear()
            gc.collect()
            return Response(200, [], json.dumps(sorted(found)).encode())

        return answered


class Raises:
    """Reads the body, and raises something."""

    def wrap(self, handler: Handler) -> Handler:
        async def answered(exchange: Exchange) -> Response:
            body = await _whole(exchange)
            match exchange.query:
                case b"own":
                    raise ValueError(len(body))
                case b"refusal":
                    raise GatewayError(ErrorKind.FORBIDDEN, "no")
                case b"behind":
                    try:
                        raise KeyError(len(body))
                    except KeyError as error:
                        raise GatewayError(ErrorKind.FORBIDDEN, "no") from error
                case b"group":
                    async with asyncio.TaskGroup() as group:
                        group.create_task(_fail())
                case b"cancelled":
                    raise asyncio.CancelledError
            return await handler(exchange)

        return answered


class Around:
    """Does something else with the failures behind it."""

    def wrap(self, handler: Handler) -> Handler:
        async def answered(exchange: Exchange) -> Response:
            how = exchange.query.decode()
            if how == "task":
                return await asyncio.create_task(_awaited(handler, exchange))
            if how == "read":
                with contextlib.suppress(GatewayError):
                    await _whole(exchange)
            try:
                response = await handler(copy(exchange) if how == "copy" else exchange)
            except GatewayError as error:
                if how == "other":
                    raise RuntimeError from error
                if how != "instead":
                    raise
                response = Response(204, [])
            if how == "half":
                with contextlib.suppress(GatewayError):
                    while not isinstance(response.body, bytes) and await response.body.read():
                        pass
                response.body = b"half of it"
            return response

        return answered


async def _whole(exchange: Exchange) -> bytes:
    pieces = []
    while exchange.body is not None and (piece := await exchange.body.read()):
        pieces.append(piece)
    return b"".join(pieces)


async def _fail() -> None:
    raise ValueError


async def _awaited(handler: Handler, exchange: Exchange) -> Response:
    return await handler(exchange)


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Reads the body, if there is one, and fails before or after its answer has begun."""
    if scope["type"] == "lifespan":
        return
    body, message = b"", await receive()
    while message["type"] == "http.request" and message.get("more_body"):
        body += message["body"]
        message = await receive()
    if scope["query_string"] == b"before":
        raise ValueError(len(body))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    if scope["query_string"] == b"after":
        raise ValueError(len(body))
    await asyncio.Event().wait()
