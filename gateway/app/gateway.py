"""From a request to an Exchange, and from what came of it to the client.

Gateway.serve      a probe, or an exchange: answered, sent, reported once
Gateway.refuse     the answer to what cannot be read as a request
Gateway.exchange   from the head of a request to an Exchange
handler_of         what answers it: that of its route
problem_of         the answer where that raised something

Our own server calls it (`server/channel.py`); on any other one, `asgi.py` does.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Final
from urllib.parse import unquote

from gateway.app.channel import Channel
from gateway.app.destination import MOVING, check_destination
from gateway.app.health import PROBES, health
from gateway.app.sending import send_stream
from gateway.custom_code import is_failure, place_of
from gateway.errors import ErrorKind, GatewayError, without_frames
from gateway.http import Exchange, Handler, Outcome, Report, Response, WebSocketSession
from gateway.http.fields import FRAMING_FIELDS
from gateway.http.messages import RequestHead
from gateway.http.methods import REGISTERED
from gateway.http.paths import NormalisedPath, PathError, is_plain, normalise
from gateway.http.problems import problem_for
from gateway.http.usual import BODYLESS
from gateway.limits.quota_report import PATH as QUOTA_PATH
from gateway.middleware.cors import Cors, announced_method
from gateway.middleware.request_id import RequestIds
from gateway.reload import Reloader
from gateway.routes.rule import Match, NoMatch, encoded_slash_refused
from gateway.routes.table import RouteTable
from gateway.snapshot import RouteHandler, Snapshot

logger = logging.getLogger("gateway")

_REQUEST_IDS: Final = RequestIds()  # before there is a configuration
_AS_COMPARED: Final[tuple[str, ...]] = ()
_CUT_OFF: Final = "its connection was cut off at drain.deadline"
_ENCODED_SLASH: Final = (
    "an encoded slash or backslash (%2F, %5C) is not allowed in this path (allow_encoded_slashes of its route)"
)


class Gateway:
    """Answers requests. `reloader` holds the Snapshot that new exchanges begin with.

    Each of `reports`, which may become others, is called with every exchange that is over.
    """

    def __init__(self, reloader: Reloader, reports: Sequence[Report]) -> None:
        self.reloader = reloader
        self.draining = False
        self.cuts_off = False  # the drain is over: what is still in flight ends with its connection
        self.active = 0  # exchanges that have begun and are not reported
        self._reports = reports
        self._ids = random.Random()
        self._sessions: set[WebSocketSession] = set()

    async def serve(self, channel: Channel) -> None:
        """Answer one request, and see its exchange to its end."""
        head = channel.head
        path = unquote(head.path) if "%" in head.path else head.path
        outcome = Outcome(time.time(), time.perf_counter())
        snapshot = self.reloader.current
        try:
            if path in PROBES and head.method in ("GET", "HEAD"):
                await self._probe(channel, path)
                return
            exchange = self.exchange(head, channel.peer, channel.scheme, snapshot)
            if exchange.scheme == "https":
                exchange.certificate = channel.certificate
            exchange.early_hints = channel.hint
            exchange.driver = channel.driver
            if channel.has_body:
                exchange.body = channel
                exchange.expectation = channel.expectation
            try:
                try:
                    response = await handler_of(exchange, snapshot)(exchange)
                except BaseException as error:  # a policy or an application may raise anything
                    if channel.given_up and not is_failure(error):
                        raise  # here, as whoever else raises it would hold it
                    response = problem_of(error, exchange, snapshot)
                    channel.refused = response.status < 500
                outcome.status = response.status
                body = response.body
                if isinstance(body, bytes) and response.session is None:
                    waiting = channel.respond(response.status, response.headers, body)
                    if waiting is not None:
                        await waiting
                    outcome.sent = 0 if head.method == "HEAD" or response.status in BODYLESS else len(body)
                else:
                    over = self._carry(channel, exchange, response, outcome)
                    del response, body  # a WebSocket may be open for days, and there may be many
                    await over
            except BaseException as error:
                if channel.given_up and not is_failure(error):
                    exchange.error = GatewayError(ErrorKind.CLIENT_GONE, "the client went away")
                    outcome.status = outcome.status or ErrorKind.CLIENT_GONE.status
                    raise
                _cannot_be_sent(exchange, error)
            finally:
                exchange.close()
                outcome.received = outcome.received or channel.received
                self.report(exchange, outcome)
        finally:
            channel.over()

    async def _probe(self, channel: Channel, path: str) -> None:
        status, headers, body = health(path, self.reloader, draining=self.draining)
        waiting = channel.respond(status, headers, body)
        if waiting is not None:
            await waiting

    def _carry(self, channel: Channel, exchange: Exchange, response: Response, outcome: Outcome) -> Awaitable[None]:
        """Responses that do not end with their head: a streaming body, or a WebSocket."""
        body, session = response.body, response.session
        if session is None:
            assert not isinstance(body, bytes)
            exchange.defer(body.close)  # which may be the body of a policy, around that of a backend
            return send_stream(channel, exchange, response, body, outcome)
        self.begin(session, exchange)
        exchange.early_hints = None
        response.headers = [line for line in response.headers if line[0] not in FRAMING_FIELDS]  # RFC 9110, 8.6
        return channel.accept(response, outcome)

    def refuse(self, head: RequestHead, peer: str, scheme: str, error: GatewayError) -> Response:
        """The answer to what cannot be read as a request: worded and reported as all others are."""
        outcome = Outcome(time.time(), time.perf_counter())
        snapshot = self.reloader.current
        exchange = self.exchange(head, peer, scheme, snapshot)
        exchange.error = error
        _trace(exchange, snapshot)
        response = problem_for(error, exchange, full=_shows_detail(snapshot))
        outcome.status = response.status
        if isinstance(response.body, bytes) and head.method != "HEAD":
            outcome.sent = len(response.body)
        self.report(exchange, outcome)
        return response

    def exchange(self, head: RequestHead, peer: str, scheme: str, snapshot: Snapshot | None) -> Exchange:
        """A request, and who sent it. `peer` is the address at the other end, `scheme` http or https."""
        self.active += 1
        headers, fields = head.headers, head.fields
        request_ids, address, trusted, outer_host, outer_port = _REQUEST_IDS, peer, False, "", ""
        if snapshot is not None:
            request_ids = snapshot.request_ids
            proxies = snapshot.proxies
            verdict = proxies.verdicts.get(peer)
            if proxies.trusts(peer) if verdict is None else verdict:
                address, scheme, trusted, outer_host, outer_port = snapshot.proxies.caller(
                    peer, scheme, headers, fields
                )
        given = request_ids.given(headers, fields, peer_trusted=trusted) if request_ids.header in fields else None
        exchange = Exchange(
            given or self._ids.getrandbits(96).to_bytes(12, "big").hex(),
            head.method,
            head.path,
            head.query,
            headers,
            fields,
            scheme,
            fields.get(b"host", b"").decode("latin-1"),
            peer,
            trusted,
            address,
            head.version,
        )
        exchange.bare_query = head.bare_query
        exchange.websocket = head.websocket
        if snapshot is not None:
            exchange.header_filter = snapshot.header_filters[trusted]
            exchange.outer_host, exchange.outer_port = outer_host, outer_port
        return exchange

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """How an exchange ended, reported once to all that registered for it."""
        self.active -= 1
        error = exchange.error
        if error is not None:
            without_frames(error)
            if self.cuts_off and isinstance(error, GatewayError) and error.kind is ErrorKind.CLIENT_GONE:
                exchange.error = GatewayError(ErrorKind.GATEWAY_ENDED, _CUT_OFF)
                if outcome.status == ErrorKind.CLIENT_GONE.status:
                    outcome.status = ErrorKind.GATEWAY_ENDED.status
        outcome.seconds = time.perf_counter() - outcome.started
        if exchange.span is not None:
            exchange.span.end(exchange, outcome)
        for report in self._reports:
            report(exchange, outcome)

    def begin(self, session: WebSocketSession, exchange: Exchange) -> None:
        """A WebSocket begins, which lasts as long as its exchange."""
        self._sessions.add(session)
        exchange.defer(partial(self._sessions.discard, session))

    def close_websockets(self, code: int) -> None:
        """End every WebSocket with this code."""
        for session in list(self._sessions):
            session.close(code)


def _cannot_be_sent(exchange: Exchange, error: BaseException) -> None:
    """It is too late for another status: the connection is cut off."""
    exchange.error = error
    # An OSError is what some servers raise when the client is no longer there.
    if not isinstance(error, GatewayError | OSError):
        logger.exception("request %s: the response cannot be sent", exchange.request_id, exc_info=error)


def problem_of(error: BaseException, exchange: Exchange, snapshot: Snapshot | None) -> Response:
    """The problem that a client sees in place of a response. A bare status where a policy has left nothing to make a
    problem of."""
    exchange.error = error
    _trace(exchange, snapshot)
    if not isinstance(error, GatewayError):
        request, place = f"{exchange.request_id}: {exchange.method} {exchange.path}", place_of(error)
        logger.error("request %s failed at %s", request, place, exc_info=error)
        error = GatewayError(ErrorKind.INTERNAL, "see the gateway's log under this id")
    try:
        return problem_for(error, exchange, full=_shows_detail(snapshot))
    except Exception:
        logger.exception("the problem document of a request cannot be made")
        return Response(500, [(b"content-length", b"0")])


def _trace(exchange: Exchange, snapshot: Snapshot | None) -> None:
    """Assign a trace also to a request that was refused before its route's policies."""
    if exchange.trace_id is None and snapshot is not None and snapshot.tracing is not None:
        snapshot.tracing.enter(exchange)


def _shows_detail(snapshot: Snapshot | None) -> bool:
    return snapshot is not None and snapshot.configuration.middleware.errors.detail == "full"


def handler_of(exchange: Exchange, snapshot: Snapshot | None) -> Handler:
    """The handler of this exchange. Raises GatewayError if there is none."""
    if snapshot is None:
        detail = "the configuration has errors, which the log and /health of the admin port name; correct the files"
        raise GatewayError(ErrorKind.NO_CONFIGURATION, detail)
    if exchange.path == "*":
        return _answer_for_all
    path, has_encoded_slash, pieces = exchange.path, False, _AS_COMPARED
    if not is_plain(path):
        path, has_encoded_slash, pieces = _normalised(path)
        exchange.path = path
    if path in snapshot.quota_paths and snapshot.quota is not None:
        exchange.route = QUOTA_PATH
        return snapshot.quota
    table, method = snapshot.table, exchange.method
    match = (_of_announced(table, exchange, path, pieces) if method == "OPTIONS" else None) or table.match(
        method, exchange.host, path, exchange.query, exchange.headers, exchange.fields, pieces
    )
    if isinstance(match, NoMatch):
        return _worded(exchange, snapshot, match, pieces)
    rule, value, exchange.target_path, exchange.parameters, _, exchange.path = match
    exchange.route = rule.id
    if rule.methods is None and method not in REGISTERED:
        raise _unknown_method(exchange)
    if has_encoded_slash and not rule.allow_encoded_slashes:
        raise GatewayError(ErrorKind.AMBIGUOUS_PATH, encoded_slash_refused(rule), public_detail=_ENCODED_SLASH)
    if value.reads is not None:
        value.reads.check(exchange)
    if method in MOVING:
        check_destination(exchange, table, rule)
    return value.handle


def _normalised(path: str) -> NormalisedPath:
    try:
        return normalise(path.encode("latin-1"))
    except PathError as error:
        raise GatewayError(ErrorKind.AMBIGUOUS_PATH, str(error)) from None


async def _answer_for_all(exchange: Exchange) -> Response:
    """OPTIONS * asks the server as a whole (RFC 9110, 9.3.7)."""
    return Response(204, [(b"content-length", b"0")])


def _of_announced(
    table: RouteTable[RouteHandler], exchange: Exchange, path: str, pieces: tuple[str, ...]
) -> Match[RouteHandler] | None:
    """The route of the request that a preflight announces, if that answers it."""
    announced = announced_method(exchange)
    if announced is not None:
        match = table.match(announced, exchange.host, path, exchange.query, exchange.headers, exchange.fields, pieces)
        if not isinstance(match, NoMatch) and any(isinstance(each, Cors) for each in match.value.middlewares):
            return match
    return None


def _worded(exchange: Exchange, snapshot: Snapshot, match: NoMatch, pieces: tuple[str, ...]) -> Handler:
    """What answers a request that no route takes: where one takes its path, or the one that its client should have
    asked for, in the words of that one's clients. Raises GatewayError where it has none of its own."""
    error, table = _no_match(exchange, match), snapshot.table

    async def refusing(exchange: Exchange) -> Response:
        raise error

    ways = [(method, exchange.path, pieces) for method in match.allow]
    if (meant := _of_other_base_url(exchange.path)) is not None:
        ways.append((exchange.method, meant, _AS_COMPARED))
    for method, path, sent in ways:
        taken = table.match(method, exchange.host, path, exchange.query, exchange.headers, exchange.fields, sent)
        if not isinstance(taken, NoMatch) and taken.value.worded is not None:
            if path == meant:
                detail = f"no route takes {method} {exchange.path}, but {meant}: correct the base URL of the client"
                error = GatewayError(ErrorKind.NO_ROUTE, detail)
            _trace(exchange, snapshot)
            exchange.target_path = taken.path
            return taken.value.worded(refusing)
    raise error


_OF_MODELS = ("/chat/completions", "/responses", "/messages", "/embeddings", "/models")


def _of_other_base_url(path: str) -> str | None:
    """The path that a client of models meant whose base URL lacks its `/v1`, or has it twice; None of other paths."""
    for ending in _OF_MODELS:
        if path.endswith(ending):
            before = path.removesuffix(ending)
            return (before.removesuffix("/v1") if before.endswith("/v1/v1") else f"{before}/v1") + ending
    return None


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
