"""Policies that change a request in every way, and then refuse it or hand it on; and an application behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from copy import copy
from typing import Any, Final

import orjson

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Exchange, Handler, Response, WholeBody, WrappedBody

Change = Callable[[Exchange], object]


def _added(*line: Any) -> Change:
    return lambda exchange: setattr(exchange, "extra_headers", (*exchange.extra_headers, line))


def _hidden(name: bytes) -> Change:
    return lambda exchange: setattr(exchange, "hidden_headers", exchange.hidden_headers | {name})


def _set(name: str, value: object) -> Change:
    return lambda exchange: setattr(exchange, name, value)


def _replaced(change: Callable[[bytes], bytes]) -> Change:
    async def replace(exchange: Exchange) -> None:
        if exchange.body is not None:
            exchange.body = WholeBody(change(await _whole(exchange.body)), [])

    return replace


async def _whole(body: Body) -> bytes:
    data = b""
    while piece := await body.read():
        data += piece
    return data


def _wrapped(exchange: Exchange) -> None:
    body = exchange.body
    if body is not None:

        async def read() -> bytes:
            return (await body.read()).upper()

        exchange.body = WrappedBody(body, read)


def _closed(exchange: Exchange) -> None:
    if exchange.body is not None:
        exchange.body.close()


def _cleared(exchange: Exchange) -> None:
    exchange.headers.clear()
    exchange.fields.clear()


CAN_BE_SENT: Final[Mapping[str, Change]] = {
    "line": _added(b"x-added", b"1"),
    "hidden": _hidden(b"x-secret"),
    "hidden in capitals": _hidden(b"X-Secret"),
    "target": _set("target_path", "/elsewhere"),
    "path": _set("path", "/elsewhere"),
    "query": _set("query", b"d=e"),
    "method": _set("method", "DELETE"),
    "host": _set("host", "other.test"),
    "scheme": _set("scheme", "https"),
    "client": _set("client", "192.0.2.1"),
    "request id": _set("request_id", "other"),
    "deadline": _set("deadline", 0.0),
    "WebSocket": _set("websocket", True),
    "headers added": lambda exchange: exchange.headers.append((b"x-added", b"1")),
    "headers replaced": _set("headers", []),
    "headers cleared": _cleared,
    "fields": lambda exchange: exchange.fields.update({b"content-length": b"3", b"transfer-encoding": b"chunked"}),
    "fields replaced": _set("fields", {}),
    "no body": _set("body", None),
    "other body": _set("body", WholeBody(b"xyz", [(b"x-sum", b"1")])),
    "longer body": _replaced(lambda data: data + b"GET /smuggled HTTP/1.1\r\n"),
    "shorter body": _replaced(lambda data: data[:2]),
    "body in capitals": _wrapped,
    "body closed": _closed,
}
CANNOT_BE_SENT: Final[Mapping[str, Change]] = {
    "line content-length": _added(b"content-length", b"0"),
    "line transfer-encoding": _added(b"transfer-encoding", b"chunked"),
    "line host": _added(b"host", b"evil.test"),
    "line with an end in its value": _added(b"x-a", b"1\r\nx-evil: 1"),
    "line with an end in its name": _added(b"x-a: 1\r\nx-evil", b"1"),
    "line of str": _added("x-a", "1"),
    "lines of str": _set("extra_headers", "x-a: 1"),
    "hidden str": lambda exchange: setattr(exchange, "hidden_headers", frozenset({"x-secret"})),
    "target with a space": _set("target_path", "/a b"),
    "target with a line end": _set("target_path", "/a HTTP/1.1\r\nx-evil: 1\r\nx-y: "),
    "query with a line end": _set("query", b"a HTTP/1.1\r\nx-evil: 1"),
    "method with a space": _set("method", "GE T"),
    "host with a space": _set("host", "evil test"),
    "client with a line end": _set("client", "192.0.2.1\r\nx-evil: 1"),
    "request id with a line end": _set("request_id", "1\r\nx-evil: 1"),
    "deadline that is no time": _set("deadline", float("nan")),
    "headers of None": _set("headers", None),
    "body of bytes": _set("body", b"abc"),
}
CHANGES: Final = {**CAN_BE_SENT, **CANNOT_BE_SENT}
ABOUT: Final = ("x-do", "x-how", "x-request-id", "traceparent")
"""Headers that say what is to be done with a request, and which one it is."""


async def _changed(exchange: Exchange) -> str:
    """Change the exchange as its header `x-do` says. Returns what to do with it then."""
    how = exchange.fields.get(b"x-how", b"").decode()
    if change := CHANGES.get(exchange.fields.get(b"x-do", b"").decode()):
        changing = change(exchange)
        if isinstance(changing, Awaitable):
            await changing
    return how


class Refusing:
    """Changes a request, and does with it what its header `x-how` says."""

    def wrap(self, handler: Handler) -> Handler:
        async def answered(exchange: Exchange) -> Response:
            how = await _changed(exchange)
            if how == "hands on":
                return await handler(exchange)
            if how == "answers":
                return Response(200, [], b"mine")
            if how == "breaks":
                raise ValueError("no")
            if how == "hands on in a task":
                exchange.defer(asyncio.ensure_future(handler(exchange)).cancel)
            if how == "asks again":
                response = await handler(exchange)
                response.status, response.headers, response.body = 99, [(b"a b", b"\r\n")], b"mine"
                exchange.defer(asyncio.ensure_future(handler(exchange)).cancel)
                await asyncio.sleep(0)  # the task begins
            raise GatewayError(ErrorKind.FORBIDDEN, "no")

        return answered


class Late:
    """Changes a request once it is on its way, in a task of its own."""

    def wrap(self, handler: Handler) -> Handler:
        async def answered(exchange: Exchange) -> Response:
            task = asyncio.ensure_future(handler(exchange))
            await asyncio.sleep(0)  # the task begins
            with suppress(TypeError):  # what is compiled takes nothing of another type
                await _changed(exchange)
            return await task

        return answered


class Copying:
    """Changes a copy of a request, and hands it on."""

    def wrap(self, handler: Handler) -> Handler:
        async def answered(exchange: Exchange) -> Response:
            made = copy(exchange)
            await _changed(made)
            return await handler(made)

        return answered


class Marking:
    """Tells the backend what it has seen of a request, and keeps a header from it."""

    def wrap(self, handler: Handler) -> Handler:
        async def answered(exchange: Exchange) -> Response:
            seen = b" ".join((exchange.target_path.encode(), exchange.fields[b"x-secret"]))
            exchange.extra_headers += ((b"x-marked", seen),)
            exchange.hidden_headers |= {b"X-Secret"}
            return await handler(exchange)

        return answered


async def app(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """An ASGI application that answers what it was asked."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    lines = [[name.decode(), value.decode()] for name, value in scope["headers"] if name.decode() not in ABOUT]
    seen = [scope["method"], scope["path"], scope["query_string"].decode(), lines, body.decode()]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": orjson.dumps(seen)})
