"""A configuration that takes requests and sends none: every policy decides for real, with nothing outside to ask.

What Redis or SQLite would count is counted in memory, from zero; the keys of issuers that publish them, and services
that say who a caller is, cannot be asked. Custom policies are started and asked like all others.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.app.gateway import Gateway, handler_of, problem_of
from gateway.app.health import PROBES
from gateway.auth.replays import ReplayMemory
from gateway.build import build, table_of
from gateway.config.models import Configuration
from gateway.config.models.audit import AuditLog
from gateway.custom_code import is_failure
from gateway.deadlines import Deadlines
from gateway.errors import GatewayError
from gateway.http import Exchange, Handler, Response, WholeBody
from gateway.http.asked import split_url
from gateway.http.messages import RequestHead
from gateway.limits.memory import MemoryStore
from gateway.live import Owner
from gateway.llm.handler import Models
from gateway.mcp.configured import Endpoint
from gateway.middleware.fixed_responses import FixedResponse
from gateway.middleware.policy_loading import LivingPolicy
from gateway.middleware.redirects import Redirect
from gateway.reload import Reloader
from gateway.snapshot import RouteHandler, Snapshot
from gateway.testing.model import Request
from gateway.upstream.asgi import Hosted
from gateway.upstream.cluster import Cluster
from gateway.upstream.layers import layers
from gateway.upstream.request import request_headers
from gateway.upstream.transport import Connector, Resolver

HOST = "localhost"  # of requests that name none


class OfflineLoop(asyncio.SelectorEventLoop):
    """An event loop from which nothing outside can be reached."""

    async def create_connection(self, *_: Any, **__: Any) -> Any:
        """Refused."""
        raise OSError(errno.ENETUNREACH, "tests ask no other service")

    create_unix_connection = create_datagram_endpoint = getaddrinfo = create_connection


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a request."""

    route: str | None
    target: str | None
    path: str | None  # with its query, as it is sent
    consumer: str | None
    refused_by: str | None
    status: int | None  # of an answer of our own
    redirect: str | None
    headers: Mapping[str, str]  # as they are sent, by their names in lower case
    reason: str | None  # of a refusal


PROBED = Outcome(None, None, None, None, None, 200, None, {}, None)
"""The outcome of a health probe, which no route sees."""


@dataclass(frozen=True, slots=True)
class _Sent:
    target: str
    path: str
    headers: Mapping[str, str]


class _Wire:
    """Stands for all backends, and keeps what the last request would have sent."""

    def __init__(self) -> None:
        self.sent: _Sent | None = None

    def behind(self, handler: RouteHandler) -> RouteHandler:
        """The same route, with this at its end."""
        forward = handler.forward

        async def end(exchange: Exchange) -> Response:
            last = list(layers(forward, exchange))[-1]
            if isinstance(last, Redirect | FixedResponse):
                return await last(exchange)
            assert isinstance(last, Cluster | Hosted | Models | Endpoint)
            exchange.upstream = last.name
            headers: dict[str, str] = {}
            for name, value in request_headers(exchange):
                text, key = value.decode("latin-1"), name.decode("latin-1")
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
            headers["host"] = _host(exchange, last)
            while exchange.body is not None and await exchange.body.read():
                pass  # policies that read bodies get all of it
            path = exchange.target_path + exchange.query_part().decode("latin-1")
            self.sent = _Sent(last.name, path, headers)
            return Response(200, [(b"cache-control", b"no-store"), (b"content-length", b"0")])

        handle: Handler = end
        for middleware in reversed(handler.middlewares):
            handle = middleware.wrap(handle)
        return replace(handler, handle=handle)


class Offline:
    """One configuration on the loop that runs. Raises ConfigError where it cannot be compiled."""

    def __init__(self, configuration: Configuration) -> None:
        # The same configuration, which counts in memory, and writes no audit log.
        middleware = configuration.middleware
        limits = {name: limit.model_copy(update={"store": "memory"}) for name, limit in middleware.rate_limits.items()}
        quotas = {name: quota.model_copy(update={"on_failure": "local"}) for name, quota in middleware.quotas.items()}
        cache = middleware.cache and middleware.cache.model_copy(update={"store": "memory"})
        changed = {"rate_limits": limits, "quotas": quotas, "cache": cache, "audit_log": AuditLog()}
        self._configuration = replace(configuration, middleware=middleware.model_copy(update=changed))
        self._wire = _Wire()
        self._used = True
        self._remembers = False  # requests that came before
        self._counting: list[MemoryStore] = []
        self._snapshot: Snapshot
        self._gateway: Gateway

    async def outcome(self, request: Request) -> Outcome:
        """What becomes of a request that comes first, when nothing has been counted. Raises ValueError for a URL that
        is none."""
        if self._used:
            await self._compile()
        self._wire.sent = None
        if split_url(request.path).path in PROBES and request.method in ("GET", "HEAD"):
            return PROBED
        exchange = self._exchange(request)
        try:
            response = await handler_of(exchange, self._snapshot)(exchange)
        except BaseException as error:  # a policy may raise anything
            if not is_failure(error):
                raise
            response = problem_of(error, exchange, self._snapshot)
        finally:
            exchange.close()
        # Have the next request come first, too. Compiling all anew is for what cannot simply be emptied.
        for store in self._counting:
            store.table = MemoryStore().table
        quotas = any(rule.startswith("quota:") for rule, _, _ in exchange.counted)
        self._used = quotas or self._remembers
        return _outcome(exchange, response, self._wire.sent)

    async def _compile(self) -> None:
        loop = asyncio.get_running_loop()
        owner, connector = Owner(), Connector(Deadlines(loop), Resolver({}))
        plan = owner.plan()
        snapshot = build(self._configuration, plan, connector)
        handlers = tuple(self._wire.behind(handler) for handler in snapshot.handlers)
        self._snapshot = replace(snapshot, handlers=handlers, table=table_of(self._configuration, handlers))
        things = [life.thing for life in plan.lives.values()]
        for thing in things:
            if isinstance(thing, LivingPolicy):
                await thing.start()
        self._counting = [thing for thing in things if isinstance(thing, MemoryStore)]
        self._remembers = any(isinstance(thing, LivingPolicy | ReplayMemory) for thing in things)
        self._gateway = Gateway(Reloader(self._configuration.base, {}, owner, connector), ())

    def _exchange(self, request: Request) -> Exchange:
        parts = split_url(request.path)
        headers = [(name.encode(), value.strip().encode()) for name, value in request.headers.items()]
        if b"host" not in dict(headers):
            headers.insert(0, (b"host", (parts.netloc or HOST).encode()))
        if request.body is not None and not {b"content-length", b"transfer-encoding"} & dict(headers).keys():
            headers.append((b"content-length", b"%d" % len(request.body.encode())))
        path = (parts.path or "/").encode().decode("latin-1")  # octets as characters
        bare = request.path.endswith("?")
        query = parts.query.encode()
        head = RequestHead(request.method, "1.1", path, query, headers, dict(headers), bare, websocket=False)
        scheme = "https" if parts.scheme == "https" else "http"
        exchange = self._gateway.exchange(head, request.client, scheme, self._snapshot)
        if request.body is not None:
            exchange.body = WholeBody(request.body.encode(), [])
        return exchange


def _host(exchange: Exchange, last: Cluster | Hosted | Models | Endpoint) -> str:
    if not isinstance(last, Cluster) or last.preserve_host or not last.upstream.endpoints:
        return exchange.host
    return last.upstream.endpoints[0].authority.decode("latin-1")


def _outcome(exchange: Exchange, response: Response, sent: _Sent | None) -> Outcome:
    location = dict(response.headers).get(b"location") if 300 <= response.status < 400 else None
    refusal = next((said for said in reversed(exchange.decisions) if said.refuses), None)
    error = exchange.error if isinstance(exchange.error, GatewayError) else None
    refused_by = refusal.rule if refusal is not None else error.kind.slug if error is not None else None
    reason = error.detail if error is not None else refusal.reason if refusal is not None else None
    forwarded = sent is not None and refused_by is None
    return Outcome(
        route=exchange.route,
        target=sent.target if sent is not None and forwarded else None,
        path=sent.path if sent is not None and forwarded else None,
        consumer=exchange.identity.consumer if exchange.identity is not None else None,
        refused_by=refused_by,
        status=None if forwarded else response.status,
        redirect=location.decode("latin-1") if location is not None and not forwarded else None,
        headers=sent.headers if sent is not None and forwarded else {},
        reason=reason,
    )
