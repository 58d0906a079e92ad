"""Why a request goes where it goes: the same table and handlers that would serve it, asked for their reasons."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import SplitResult

from gateway.auth.credentials import without_parameters
from gateway.auth.token_locations import secret_parameters
from gateway.context import Explaining
from gateway.deadlines import NEVER
from gateway.errors import GatewayError
from gateway.http import Exchange, Handler, Headers, WholeBody
from gateway.http.asked import check_address, split_url
from gateway.http.fields import announces_body
from gateway.http.methods import NEVER_FORWARDED, REGISTERED
from gateway.http.paths import NormalisedPath, PathError, normalise
from gateway.limits.quota_report import PATH as QUOTA_PATH
from gateway.middleware.cors import Cors, announced_method
from gateway.middleware.fixed_responses import FixedResponse
from gateway.middleware.python_policy import PythonPolicy
from gateway.middleware.redirects import Redirect
from gateway.plurals import counted
from gateway.routes.explain import Explanation, path_taken
from gateway.routes.rule import Form, Match, NoMatch, encoded_slash_refused
from gateway.snapshot import RouteHandler, Snapshot
from gateway.upstream.asgi import Hosted
from gateway.upstream.cluster import Cluster
from gateway.upstream.considered import considered, has_choice, not_asked
from gateway.upstream.fallback import Fallback
from gateway.upstream.layers import Layer, OfServers, Refusing, layers
from gateway.upstream.request import Timeouts
from gateway.upstream.service import Upstream

if TYPE_CHECKING:
    from gateway.llm.handler import Models

LOOPBACK = "127.0.0.1"
Outcome = Literal["forwarded", "redirected", "answered", "refused", "no route", "undecided"]
_TO_WHOEVER = (
    "undecided: it would go to whoever made what it refers to, if that is the caller's, which the running gateway may "
    "know: ask it with --running"
)
PROBES = frozenset({"/health", "/health/live", "/health/ready"})


async def explain(
    snapshot: Snapshot,
    method: str,
    url: str,
    headers: Sequence[tuple[str, str]],
    client: str = LOOPBACK,
    body: bytes | None = None,
    why_none: Callable[[Upstream], str] = not_asked,
) -> dict[str, Any]:
    """The handling of this request, as plain data. Nothing is sent, counted or changed.

    `url` is a path, or a URL whose host goes behind a Host among `headers`, which are (name, value); `client` is the
    address that it comes from, and `why_none` says why a service has no endpoint. Raises ValueError where `url` is
    neither, or `client` no address. `outcome` says in one word what becomes of it.
    """
    check_address(client)
    parts = split_url(url)
    lines = [(name.lower().encode("latin-1", "replace"), value.encode()) for name, value in headers]
    exchange = _exchange(snapshot, method, parts, lines, client, body)
    host = exchange.host
    explained: dict[str, Any] = {"request": f"{method} {_shown(url, snapshot)}", "host": host or "-"}
    if (early := _before_routes(snapshot, method, parts)) is not None:
        return explained | early
    try:
        path = normalise((parts.path or "/").encode())
    except PathError as error:
        return explained | _refused(400, str(error))
    if path.path in snapshot.quota_paths and snapshot.quota is not None:
        return explained | _answered("the gateway answers this itself: the rest of the caller's quotas")
    exchange.path = path.path
    try:
        explanation = _explanation(snapshot, exchange, path)
        if isinstance(explanation.result, Match):
            exchange.path = explanation.result.own_path
            if explanation.result.value.reads is not None:
                explanation.result.value.reads.check(exchange)
    except GatewayError as error:
        return explained | {"path": path.path} | _refused(error.kind.status, error.detail)
    explained |= {"path": exchange.path}
    if exchange.original_path != exchange.path:
        explained |= {"original_path": exchange.original_path}
    explained |= _outcome(method, path, explanation)
    if isinstance(explanation.result, Match):
        group = snapshot.configuration.group_of(explanation.result.rule.id)
        explained |= {"group": group} if group is not None else {}
    if isinstance(explanation.result, Match) and "sent" in explained:
        explained |= await _policies(exchange, explanation.result, why_none, snapshot)
    return explained | _lost(explanation)


def _before_routes(snapshot: Snapshot, method: str, parts: SplitResult) -> dict[str, Any] | None:
    """What becomes of a request that is handled before any route is looked for; None of others."""
    if method in NEVER_FORWARDED:
        return _refused(501, f"{method} is never forwarded, and no route may name it", "no route")
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path
    if len(target.encode()) > (longest := snapshot.configuration.middleware.limits.url):
        return _refused(414, f"the URL is over {longest} bytes; limits.url is the limit")
    if method == "OPTIONS" and parts.path == "*":
        return _answered("the gateway answers this itself: it asks the server as a whole (RFC 9110, 9.3.7)")
    if parts.path in PROBES and method in ("GET", "HEAD"):
        return _answered("the gateway answers this probe itself, whatever the routes say")
    return None


def _explanation(snapshot: Snapshot, exchange: Exchange, path: NormalisedPath) -> Explanation[RouteHandler]:
    """Which route takes it: a preflight that of the request which it announces, where that has an answer to it."""
    asked = exchange.host, path.path, exchange.query, exchange.headers, exchange.fields, path.pieces
    if (announced := announced_method(exchange)) is not None:
        of_announced = snapshot.table.explain(announced, *asked)
        match = of_announced.result
        if isinstance(match, Match) and any(isinstance(each, Cors) for each in match.value.middlewares):
            return of_announced
    return snapshot.table.explain(exchange.method, *asked)


def _answered(result: str) -> dict[str, Any]:
    return {"result": result, "outcome": "answered"}


def _refused(status: int, reason: str, outcome: Outcome = "refused") -> dict[str, Any]:
    return {"result": f"{status}: {reason}", "outcome": outcome}


def why_taken(snapshot: Snapshot, route: str, method: str, host: str, path: str) -> str:
    """Why a route took a request of which no more than this is known: `path` as the client sent it."""
    try:
        normal = normalise(path.encode("latin-1"))
    except PathError as error:
        return str(error)
    match = snapshot.table.match(method, host, normal.path, b"", [], {}, normal.pieces)
    if isinstance(match, Match) and match.rule.id == route:
        return _why(match.form, path_taken(snapshot.table, match, method, host, normal.path))
    if route == QUOTA_PATH:
        return "the gateway itself answers this path, where there are quotas"
    rule = next((handler.route for handler in snapshot.handlers if handler.route.id == route), None)
    if rule is None:
        return "the configuration has changed since, and this route was removed"
    paths = " or ".join(rule.all_paths)
    return f"its path is {paths}; its other conditions decided (method, headers, query), or it has changed since"


def _exchange(
    snapshot: Snapshot, method: str, parts: SplitResult, headers: Headers, client: str, body: bytes | None
) -> Exchange:
    """The exchange that such a request would become."""
    if body is not None and not announces_body(dict(headers)):
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    if parts.netloc and not any(name == b"host" for name, _ in headers):
        headers = [(b"host", parts.netloc.encode()), *headers]  # conditions and keys read it, too
    fields = dict(headers)
    scheme = "https" if parts.scheme in ("https", "wss") else "http"
    caller = snapshot.proxies.caller(client, scheme, headers, fields)
    exchange = Exchange(
        request_id="explain",
        method=method,
        path=parts.path or "/",
        query=parts.query.encode(),
        headers=headers,
        fields=fields,
        scheme=caller.scheme,
        host=fields.get(b"host", b"").decode("latin-1"),
        peer=client,
        peer_trusted=caller.peer_trusted,
        client=caller.client,
    )
    # The rest of a handshake (RFC 6455, 4.1) is the same from every client, so that it need not be given here.
    exchange.websocket = method == "GET" and fields.get(b"upgrade", b"").lower() == b"websocket"
    if announces_body(fields):
        exchange.body = _Unsent() if body is None else WholeBody(body, [])
    return exchange


def _shown(url: str, snapshot: Snapshot) -> str:
    """The URL without the credentials that the configuration expects in it."""
    before, mark, query = url.partition("?")
    names = secret_parameters(snapshot.configuration.auth) | snapshot.credentials.parameters
    query = without_parameters(query.encode(), names).decode()
    return before + mark + query if query else before


class _Unsent:
    """The body of a request that is not made: policies may see that there is one."""

    ready = True

    @property
    def trailers(self) -> Headers:
        return []

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


async def _policies(
    exchange: Exchange, match: Match[RouteHandler], why_none: Callable[[Upstream], str], snapshot: Snapshot
) -> dict[str, Any]:
    """The decision of each policy of the route, up to the first refusal."""
    exchange.route, exchange.target_path, exchange.parameters = match.rule.id, match.path, match.parameters
    rules = []
    models = _models(match.value, snapshot)
    verdict, outcome = "allowed: no rule refuses it", _end(match.value)
    silent: list[PythonPolicy] = []  # which say nothing without a real request
    for middleware in match.value.middlewares:
        if isinstance(middleware, PythonPolicy) and not middleware.explains:
            silent.append(middleware)
        decision = await middleware.explain(exchange) if isinstance(middleware, Explaining) else None
        if decision is None:
            continue
        rules.append(f"{decision.verdict} {decision.rule}: {decision.reason}")
        if decision.verdict == "deny":
            verdict, outcome = f"refused by {decision.rule}: {decision.reason}", "refused"
            break
        if decision.verdict == "answer":  # and the rest is not asked
            verdict, outcome = f"answered by {decision.rule}: {decision.reason}", "answered"
            break
        if decision.verdict == "unknown":  # and what the rest would say hangs on it
            verdict, outcome = f"undecided: {decision.rule}: {decision.reason}", "undecided"
            break
    else:
        refusal = None if models is not None else await _refusal_of_body(exchange)
        if refusal is not None:
            verdict, outcome = f"refused while its body is read: {refusal}", "refused"
    way = list(layers(match.value.forward, exchange))
    of_model: dict[str, Any] = {}
    if outcome == "forwarded" and models is not None:
        running = why_none is not not_asked
        of_model, outcome, verdict = await _model(exchange, models, snapshot, verdict, running=running)
    if outcome == "forwarded" and (refusal := _refusal_on_the_way(way, exchange, why_none)) is not None:
        instead = next((layer.describe(exchange) for layer in way if isinstance(layer, Fallback)), None)
        verdict = f"refused: {refusal}" if instead is None else f"{verdict}; but {refusal}; {instead}"
        outcome = "refused" if instead is None else outcome
    if silent and outcome != "refused":
        verdict, outcome = _beside_silent(silent, verdict, outcome)
    return (
        _onward(match.value, way[-1], why_none)
        | of_model
        | {
            "verdict": verdict,
            "outcome": outcome,
            "rules": rules,
            "resilience": list(_described(way, exchange)),
        }
    )


def _beside_silent(silent: Sequence[PythonPolicy], verdict: str, outcome: Outcome) -> tuple[str, Outcome]:
    """What is known where these were not asked: one that is enforced may refuse it, whatever the others say."""
    unasked = f"not asked, as they have no `explain`: {', '.join(each.name for each in silent)}"
    if outcome == "undecided" or all(each.mode == "shadow" for each in silent):
        return f"{verdict}; {unasked}", outcome
    return f"undecided: {unasked}; without them it would be {verdict}", "undecided"


def _models(handler: RouteHandler, snapshot: Snapshot) -> Models | None:
    """What answers the requests of a route to models. It is imported with a models.yaml only."""
    if snapshot.configuration.models is None:
        return None
    from gateway.llm.handler import Models  # noqa: PLC0415

    return handler.target if isinstance(handler.target, Models) else None


async def _model(
    exchange: Exchange, models: Models, snapshot: Snapshot, verdict: str, *, running: bool
) -> tuple[dict[str, Any], Outcome, str]:
    """Which provider of a model would be asked first, or why none."""
    from gateway.llm.explaining import described, left_out, refused  # noqa: PLC0415  as above
    from gateway.llm.speaking import NotKnown  # noqa: PLC0415

    if isinstance(exchange.body, _Unsent) or (exchange.body is None and exchange.method == "POST"):
        return {}, "undecided", "undecided: the body names the model; give it with --body @FILE"
    try:
        decided = await models.explain(exchange)
    except GatewayError as error:
        undecided = isinstance(error, NotKnown) and not running
        verdict = _TO_WHOEVER if undecided else f"refused: {refused(error)}"
        return left_out(exchange), "undecided" if undecided else "refused", verdict
    if decided is None:
        return {}, "answered", verdict
    config = snapshot.configuration.models
    assert config is not None
    said = described(decided, models.failover, config.model_routing, exchange, running=running)
    if (refusal := decided.refusal) is not None:
        return said, "refused", f"refused by {refusal}"
    return said, "forwarded", verdict


def _refusal_on_the_way(way: Sequence[Handler], exchange: Exchange, why_none: Callable[[Upstream], str]) -> str | None:
    """Why it would not even be sent, as things stand."""
    now = time.perf_counter()
    for layer in way:
        if isinstance(layer, Refusing) and (refusal := layer.refusal(exchange, now)) is not None:
            return refusal
        # By the files alone, nothing is known yet of what a source finds.
        if isinstance(layer, Cluster) and why_none is not not_asked and not has_choice(layer.upstream, now):
            return considered(layer.upstream, now, why_none)[0]
    return None


def _end(handler: RouteHandler) -> Outcome:
    if isinstance(handler.target, Redirect):
        return "redirected"
    return "answered" if isinstance(handler.target, FixedResponse) else "forwarded"


async def _refusal_of_body(exchange: Exchange) -> str | None:
    """Why a policy that looks at the body, such as the check of a digest, refuses it."""
    try:
        while exchange.body is not None and await exchange.body.read():
            pass
    except GatewayError as error:
        return error.detail
    return None


def _described(way: Sequence[Handler], exchange: Exchange) -> Iterator[str]:
    for handler in way:
        if isinstance(handler, Layer | Cluster):
            yield handler.describe(exchange)


def _outcome(method: str, path: NormalisedPath, explanation: Explanation[RouteHandler]) -> dict[str, Any]:
    """Which route takes it and why, and what is sent; or with what it is refused."""
    match = explanation.result
    if isinstance(match, NoMatch):
        if match.allow:
            return _refused(405, f"the path takes {', '.join(match.allow)}, not {method}", "no route")
        if method not in REGISTERED:
            return _refused(501, f"{method} is not registered, and no route names it in methods", "no route")
        return _refused(404, "no route takes it", "no route")
    if match.rule.methods is None and method not in REGISTERED:
        reason = f'{method} is not registered; route "{match.rule.id}" takes it if methods names it'
        return _refused(501, reason, "no route")
    if path.has_encoded_slash and not match.rule.allow_encoded_slashes:
        return _refused(400, encoded_slash_refused(match.rule))
    taken = {"result": f'route "{match.rule.id}"', "why": _why(match.form, explanation.path), "sent": match.path}
    return taken | {"parameters": dict(match.parameters)}


def _why(form: Form, pattern: str) -> str:
    if form == "rewritten":
        return f"the path is already in the form that {pattern} is rewritten to"
    if form == "base_path":
        return f"the path, behind the base path, fits {pattern}, the most specific that does"
    return f"the path fits {pattern}, the most specific that does"


def _onward(handler: RouteHandler, last: Handler, why_none: Callable[[Upstream], str]) -> dict[str, Any]:
    """Through which handlers, and where to: `last` is where this request would go, of several services of a split."""
    target = last if isinstance(last, Cluster | Hosted | Redirect | FixedResponse) else handler.target
    handlers = [f"{place}: {each!r}" for place, each in zip(handler.places, handler.middlewares, strict=True)]
    if isinstance(target, Cluster):
        return {
            "handlers": [*handlers, f"Cluster({target.name})"],
            "timeouts": _timeouts(target.timeouts),
            "endpoints": [endpoint.label for endpoint in target.upstream.endpoints],
            "considered": considered(target.upstream, time.perf_counter(), why_none),
        }
    onward: dict[str, Any] = {"handlers": [*handlers, target.name], "endpoints": [target.name]}
    if isinstance(target, OfServers):
        onward |= {"endpoints": target.describe_servers()}
    if isinstance(target, FixedResponse):
        onward |= {"sent": f"nothing: the gateway itself answers {target.status}"}
    return onward


def _timeouts(timeouts: Timeouts) -> str:
    idle, header = f"{timeouts.idle:g} s ({timeouts.idle_key})", timeouts.said_of_header
    if timeouts.event_stream_idle == NEVER:
        idle += ", none for event streams"
    return f"connect {timeouts.connect:g} s, response header {header}, idle {idle}, total {timeouts.said_of_total}"


def _lost(explanation: Explanation[RouteHandler]) -> dict[str, Any]:
    """The routes that do not take it, and why."""
    losers = [
        {
            "route": loser.rule.id,
            "path": loser.path,
            "pattern": loser.pattern,
            "form": loser.form,
            "why": loser.reason,
        }
        for loser in explanation.losers
    ]
    more = f"{counted(explanation.more, 'other route')}, whose path or host is further off"
    return {"lost": losers, "more": more} if explanation.more else {"lost": losers}
