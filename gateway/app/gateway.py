"""From an ASGI scope to an Exchange, and from what came of it to the client.

Gateway.__call__      which kind of scope
  _http               health; otherwise an exchange: answered, sent, reported once
  _websocket          the same for a WebSocket
  _lifespan           configuration is loaded, and watched
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from gateway.app.counting import Counts
from gateway.app.health import PROBES, health
from gateway.app.receiving import request_body, until_disconnect
from gateway.app.sending import deny_websocket, early_hints, send_response
from gateway.app.tls import client_certificate
from gateway.build import RouteHandler, Snapshot
from gateway.custom_code import is_failure
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Headers, Outcome, Report, Response, WebSocketSession
from gateway.http.handshake import make_key
from gateway.http.messages import Receive, Send
from gateway.http.methods import REGISTERED
from gateway.http.paths import NormalisedPath, PathError, is_plain, normalise
from gateway.http.problems import problem_for
from gateway.limits.quota_report import PATH as QUOTA_PATH
from gateway.middleware.cors import Cors, announced_method
from gateway.middleware.request_id import RequestIds
from gateway.reload import Reloader
from gateway.routes.rule import Match, NoMatch, encoded_slash_refused
from gateway.routes.table import RouteTable

logger = logging.getLogger("gateway")

Scope = dict[str, Any]

_REQUEST_IDS: Final = RequestIds()  # before there is a configuration
_AS_COMPARED: Final[tuple[str, ...]] = ()


class Gateway:
    """The gateway as an ASGI application. `reloader` holds the Snapshot that new exchanges begin with."""

    def __init__(self, reloader: Reloader, reports: Sequence[Report]) -> None:
        self.reloader = reloader
        self.draining = False
        self._reports = tuple(reports)
        self._ids = random.Random()
        self._sessions: set[WebSocketSession] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        kind = scope["type"]
        if kind == "http":
            extensions = scope.get("extensions") or {}
            if scope["path"] in PROBES and scope["method"] in ("GET", "HEAD"):
                await self._probe(scope["path"], send)
            elif "gateway.cancel" in extensions:
                await self._http(scope, receive, send, extensions)
            else:
                await until_disconnect(self._http, scope, receive, send, extensions)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._lifespan(receive, send)

    # HTTP.

    async def _probe(self, path: str, send: Send) -> None:
        answer = health(path, self.reloader, draining=self.draining)
        await send_response(None, answer, send, Outcome(0, 0))

    async def _http(self, scope: Scope, receive: Receive, send: Send, extensions: dict[str, Any]) -> None:
        outcome = Outcome(time.time(), time.perf_counter())
        snapshot = self.reloader.current
        exchange = self._exchange(scope, snapshot)
        exchange.bare_query = "gateway.bare_query" in extensions
        exchange.websocket = "gateway.websocket" in extensions
        exchange.body = body = request_body(exchange, receive, extensions)
        if "http.response.early_hint" in extensions:
            exchange.early_hints = early_hints(send)
        try:
            response = await self._answer(exchange, snapshot)
            outcome.status = response.status
            if not isinstance(response.body, bytes):
                exchange.defer(response.body.close)  # which may be the body of a policy, around that of a backend
            if response.session is not None:
                self._begin(response.session, exchange)
                over = extensions["gateway.websocket"]["accept"](response, outcome)
                del response  # a WebSocket may be open for days, and there may be many
                exchange.early_hints = None
                await over
                return
            can_send_trailers = "http.response.trailers" in extensions
            await send_response(exchange if can_send_trailers else None, response, send, outcome)
        except GatewayError as error:
            exchange.error = error  # too late for another status: the server cuts the connection off
        except BaseException as error:
            if not is_failure(error):
                exchange.error = GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
                outcome.status = outcome.status or ErrorKind.CLIENT_GONE.status
                raise
            exchange.error = error
            if not isinstance(error, OSError):  # which some servers raise when the client is no longer there
                logger.exception("request %s: the response cannot be sent", exchange.request_id)
        finally:
            exchange.close()
            if body is not None:
                outcome.received = body.received
            self._report(exchange, outcome)

    def refuse(self, scope: Scope, error: GatewayError) -> Response:
        """The answer to what cannot be read as a request: worded and reported as all others are."""
        outcome = Outcome(time.time(), time.perf_counter())
        exchange = self._exchange(scope, self.reloader.current)
        exchange.error = error
        response = problem_for(error, exchange)
        outcome.status = response.status
        if isinstance(response.body, bytes):
            outcome.sent = len(response.body)
        self._report(exchange, outcome)
        return response

    async def _answer(self, exchange: Exchange, snapshot: Snapshot | None) -> Response:
        """The response of the route, or the problem that says why there is none."""
        try:
            if snapshot is None:
                detail = (
                    "the configuration has errors, which the log and /health of the admin port name; correct the files"
                )
                raise GatewayError(ErrorKind.NO_CONFIGURATION, detail)
            return await _handler(exchange, snapshot)(exchange)
        except GatewayError as error:
            exchange.error = error
            return _problem(error, exchange)
        except BaseException as error:  # a policy or an application may raise anything
            if not is_failure(error):
                raise
            logger.exception("request %s: %s %s failed", exchange.request_id, exchange.method, exchange.path)
            exchange.error = error
            return _problem(GatewayError(ErrorKind.INTERNAL, "see the gateway's log under this id"), exchange)

    def _exchange(self, scope: Scope, snapshot: Snapshot | None) -> Exchange:
        headers: Headers = scope["headers"]
        fields = dict(headers)
        client = scope.get("client")
        peer = client[0] if client else "unknown"
        scheme = scope["scheme"].replace("ws", "http")
        request_ids, address, trusted, outer_host, outer_port = _REQUEST_IDS, peer, False, "", ""
        if snapshot is not None:
            request_ids = snapshot.request_ids
            if snapshot.proxies.trusts(peer):
                address, scheme, trusted, outer_host, outer_port = snapshot.proxies.caller(
                    peer, scheme, headers, fields
                )
        given = request_ids.given(headers, fields, peer_trusted=trusted) if request_ids.header in fields else None
        exchange = Exchange(
            given or self._ids.getrandbits(96).to_bytes(12, "big").hex(),
            scope.get("method", "GET"),
            (scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
            scope["query_string"],
            headers,
            fields,
            scheme,
            fields.get(b"host", b"").decode("latin-1"),
            peer,
            trusted,
            address,
            scope["http_version"],
        )
        if snapshot is not None:
            exchange.header_filter = snapshot.header_filters[trusted]
            exchange.outer_host, exchange.outer_port = outer_host, outer_port
        if scheme == "https":
            exchange.certificate = client_certificate(scope)
        return exchange

    def _report(self, exchange: Exchange, outcome: Outcome) -> None:
        """How an exchange ended, reported once to all that registered for it."""
        outcome.seconds = time.perf_counter() - outcome.started
        for report in self._reports:
            report(exchange, outcome)

    # WebSockets.

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        snapshot = self.reloader.current
        exchange = self._exchange(scope, snapshot)
        exchange.websocket = True
        _without_extensions(exchange)
        outcome = Outcome(time.time(), time.perf_counter())
        counts = Counts()
        try:
            response = await self._answer(exchange, snapshot)
            outcome.status = response.status
            if response.session is None:
                await receive()
                await deny_websocket(response, scope, counts.sending(send))
            else:
                self._begin(response.session, exchange)
                await response.session.run(counts.receiving(receive), counts.sending(send), response.headers)
        except GatewayError as error:
            exchange.error = error
        except OSError:  # what ASGI servers raise when the client is no longer there
            exchange.error = GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
        except BaseException as error:
            if not is_failure(error):
                raise
            logger.exception("WebSocket %s on %s failed", exchange.request_id, exchange.path)
            exchange.error = error
        finally:
            exchange.close()
            outcome.sent, outcome.received = counts.sent, counts.received
            self._report(exchange, outcome)

    def _begin(self, session: WebSocketSession, exchange: Exchange) -> None:
        self._sessions.add(session)
        exchange.defer(partial(self._sessions.discard, session))

    def close_websockets(self, code: int) -> None:
        """End every WebSocket with this code."""
        for session in list(self._sessions):
            session.close(code)

    # Lifespan.

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.reloader.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.reloader.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _problem(error: GatewayError, exchange: Exchange) -> Response:
    """The problem that a client sees; a bare status where a policy has left nothing to make one of."""
    try:
        return problem_for(error, exchange)
    except Exception:
        logger.exception("the problem document of a request cannot be made")
        return Response(500, [(b"content-length", b"0")])


def _without_extensions(exchange: Exchange) -> None:
    """Make the handshake one of our own, where another server speaks with the client, in messages."""
    ours = {b"sec-websocket-key": make_key(), b"sec-websocket-version": b"13"}
    dropped = {*ours, b"sec-websocket-extensions"}
    exchange.headers = [line for line in exchange.headers if line[0] not in dropped] + list(ours.items())
    exchange.fields = dict(exchange.headers)


def _handler(exchange: Exchange, snapshot: Snapshot) -> Handler:
    """The handler of this exchange. Raises GatewayError where there is none."""
    if exchange.path == "*":
        return _answer_for_all
    path, has_encoded_slash, pieces = exchange.path, False, _AS_COMPARED
    if not is_plain(path):
        path, has_encoded_slash, pieces = _normalised(path)
        exchange.path = path
    if path == QUOTA_PATH and snapshot.quota is not None:
        exchange.route = QUOTA_PATH
        return snapshot.quota
    match = _match(snapshot.table, exchange, path, pieces)
    if isinstance(match, NoMatch):
        raise _no_match(exchange, match)
    rule, value, exchange.target_path, exchange.parameters, _, exchange.path = match
    exchange.route = rule.id
    if rule.methods is None and exchange.method not in REGISTERED:
        raise _unknown_method(exchange)
    if has_encoded_slash and not rule.allow_encoded_slashes:
        raise GatewayError(ErrorKind.AMBIGUOUS_PATH, encoded_slash_refused(rule))
    if value.reads is not None:
        value.reads.check(exchange)
    return value.handle


def _normalised(path: str) -> NormalisedPath:
    try:
        return normalise(path.encode("latin-1"))
    except PathError as error:
        raise GatewayError(ErrorKind.AMBIGUOUS_PATH, str(error)) from None


async def _answer_for_all(exchange: Exchange) -> Response:
    """OPTIONS * asks the server as a whole (RFC 9110, 9.3.7)."""
    return Response(204, [(b"content-length", b"0")])


def _match(
    table: RouteTable[RouteHandler], exchange: Exchange, path: str, pieces: tuple[str, ...]
) -> Match[RouteHandler] | NoMatch:
    """The route of an exchange. A preflight is for the route of the request that it announces, if that answers it."""
    if exchange.method == "OPTIONS" and (announced := announced_method(exchange)) is not None:
        match = table.match(announced, exchange.host, path, exchange.query, exchange.headers, exchange.fields, pieces)
        if not isinstance(match, NoMatch) and any(isinstance(each, Cors) for each in match.value.middlewares):
            return match
    return table.match(exchange.method, exchange.host, path, exchange.query, exchange.headers, exchange.fields, pieces)


def _no_match(exchange: Exchange, match: NoMatch) -> GatewayError:
    if match.allow:
        allow = ", ".join(match.allow)
        detail = f"{exchange.path} takes {allow}, not {exchange.method}"
        return GatewayError(ErrorKind.METHOD_NOT_ALLOWED, detail, headers=((b"allow", allow.encode()),))
    if exchange.method not in REGISTERED:
        return _unknown_method(exchange)
    return GatewayError(ErrorKind.NO_ROUTE, f"no route takes {exchange.method} {exchange.path}")


def _unknown_method(exchange: Exchange) -> GatewayError:
    """The connection ends, as for all that is no request here: what speaks like this may not be meant for a gateway."""
    detail = f"the method {exchange.method} is not registered, and no route for the path names it in methods"
    return GatewayError(ErrorKind.NOT_IMPLEMENTED, detail, headers=((b"connection", b"close"),))
