"""The admin port: health, the routes, the configuration in force, why a request goes where it goes, reload."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.access import AccessControl
from gateway.admin.agents_api import agents_operations
from gateway.admin.alerts_api import alerts_operations
from gateway.admin.answers import Refused, json_answer, loaded
from gateway.admin.blocklist_api import blocklist_operations
from gateway.admin.cache_api import cache_operations
from gateway.admin.failing_backends import failing_now
from gateway.admin.history import history_operations
from gateway.admin.listening import Listening
from gateway.admin.live import Live
from gateway.admin.metrics_page import metrics_page
from gateway.admin.models_api import models_operations
from gateway.admin.monitor_api import monitor_operations
from gateway.admin.operations import Operation, Parameter, document_of, routes_of
from gateway.admin.overview import Overview
from gateway.admin.page_files import file_route, page_operations
from gateway.admin.pages import PAGE, Shown, find, page_of, without_secrets
from gateway.admin.quota_api import quota_operations
from gateway.admin.recent_api import recent_operations
from gateway.admin.registry_api import registry_operations
from gateway.admin.resilience_api import resilience_operations
from gateway.admin.service_states import ServiceStates
from gateway.admin.services_api import services_operations
from gateway.admin.sessions import Sessions, session_operations
from gateway.admin.tokens import Credentials, Holder
from gateway.admin.traffic_map import map_operations
from gateway.auth.scheme import Locations
from gateway.explain import LOOPBACK, explain
from gateway.http.asked import split_url
from gateway.http.parameters import query_values
from gateway.monitor.audit_log import AdminChange
from gateway.monitor.exposition.page import Exposition
from gateway.monitor.recent_requests import RecentRequests
from gateway.registry.discovery import Discovery
from gateway.reload import Reloader
from gateway.snapshot import Snapshot
from gateway.upstream.service import Upstream

logger = logging.getLogger("gateway.admin")

RELOAD_SECONDS = 3.0  # for a reload to begin, before the caller gets an answer that it will
_CREDENTIALS = frozenset({b"authorization", b"cookie", b"proxy-authorization"})  # also where no scheme reads them
_HEALTH = (
    "The configuration in force, `errors` of files that were refused, and what is `failing`. `status` is `ok`, or why "
    "the gateway is not ready, such as `draining`, of which `ending` says how long; `former`: the process that was "
    "taken over from, until it has ended. 200 in any case: the probes are on the port of the routes. The states of "
    "services are in `/services`, and breakers in `/breakers`: `gateway status` shows all three."
)
_EXPLAIN = (
    "As `gateway explain`, by the running gateway: it knows endpoints and their health, breakers, the keys of token "
    "issuers, and the rest of limits."
)
_METRICS = (
    "As text; as OpenMetrics with exemplars, or as protocol buffers with native histograms, where `Accept` asks for "
    "that as Prometheus does."
)
CONFIG_ITEMS = 100  # of each list in /config, unless more or fewer are asked for


def admin_app(
    reloader: Reloader,
    metrics: Exposition,
    recent: RecentRequests,
    listening: Listening,
    credentials: Callable[[], Credentials],
    report: Callable[[AdminChange], None],
) -> AccessControl:
    """The admin API of one gateway, and its page. `credentials` are asked for at every request; `report` learns of
    every change. To be made on the loop that serves it."""
    sessions, states = Sessions(listening.port), ServiceStates(reloader.owner, recent)
    live = Live(recent, Overview(reloader, recent, states), reloader.hide)
    reloader.owner.tasks.supervise("the events of the admin port", live.run)
    operations = [
        *page_operations(),
        *session_operations(sessions, credentials, open_=listening.loopback),
        *live.operations(),
        *map_operations(reloader, states),
        *_operations(_Admin(reloader, metrics, recent)),
        *recent_operations(reloader, recent),
        *services_operations(reloader, states),
        *resilience_operations(reloader.owner),
        *monitor_operations(reloader.owner),
        *alerts_operations(reloader),
        *history_operations(reloader),
        *registry_operations(reloader),
        *agents_operations(reloader),
        *blocklist_operations(reloader),
        *quota_operations(reloader),
        *models_operations(reloader),
        *cache_operations(reloader),
    ]
    document = document_of(operations, version("flowmaster-gateway"))

    async def openapi(request: Request) -> Response:
        return json_answer(document)

    routes = [*routes_of(operations), Route("/openapi.json", openapi), file_route()]
    application = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    return AccessControl(application, listening, credentials, sessions, report, live.end)


def _operations(admin: _Admin) -> list[Operation]:
    none = {503: "no configuration is loaded"}
    writing = {
        409: "one of the files is being written; they are read once it is closed",
        422: "the errors in the files",
    }
    asked = (
        Parameter("url", "The request's path or URL.", required=True),
        Parameter("method", "GET, unless another is given."),
        Parameter("header", "`Name: value`; any number of them.", repeated=True),
        Parameter("client", "The address that the request comes from."),
        Parameter("body", "Its body, as text."),
    )
    at = Parameter("at", "The part to show: `/auth.yaml/consumers`.")
    needs_token = {400: "the request cannot be read", 401: "it has a credential, so it needs a token", **none}
    return [
        Operation(
            "GET", "/health", admin.health, "The loaded configuration, and current problems.", description=_HEALTH
        ),
        Operation(
            "GET",
            "/metrics",
            admin.metrics,
            "Metrics for Prometheus.",
            media_type="text/plain",
            refusals={503: "too many pages of metrics are being read slowly"},
            description=_METRICS,
        ),
        Operation("GET", "/routes", admin.routes, "The routes in force.", PAGE, refusals=none),
        Operation(
            "GET",
            "/config",
            admin.config,
            "The files in force, without secrets.",
            (at, *PAGE),
            refusals=none,
            description="`offset` and `limit` are for the rest of a long list.",
        ),
        Operation(
            "GET",
            "/explain",
            admin.explain,
            "Why a request goes where it goes.",
            asked,
            refusals=needs_token,
            description=_EXPLAIN,
        ),
        Operation("POST", "/reload", admin.reload, "Read the files again, now.", refusals=writing),
    ]


class _Admin:
    def __init__(self, reloader: Reloader, metrics: Exposition, recent: RecentRequests) -> None:
        self._reloader = reloader
        self._metrics = metrics
        self._recent = recent
        self._making = asyncio.Lock()
        self._beginning = asyncio.Lock()

    async def health(self, request: Request) -> Response:
        report = self._reloader.report()
        report["failing"] += failing_now(self._reloader, self._recent, report["loaded_at"])
        return json_answer(report)

    async def metrics(self, request: Request) -> Response:
        return await metrics_page(self._metrics, request)

    async def routes(self, request: Request) -> Response:
        snapshot = loaded(self._reloader)
        page = page_of(request.query_params)
        handlers = page.of(snapshot.handlers)
        hide = self._reloader.hide

        def answer() -> Response:
            dumped = (handler.route.model_dump(mode="json", exclude_defaults=True) for handler in handlers)
            shown = [without_secrets(route, hide) for route in dumped]
            return json_answer(shown, headers=page.next("/routes", len(snapshot.handlers)))

        return await self._made(answer)

    async def config(self, request: Request) -> Response:
        snapshot = loaded(self._reloader)
        configuration = snapshot.configuration
        files = {
            "routes.yaml": configuration.routes,
            "middleware.yaml": configuration.middleware,
            **({} if configuration.models is None else {"models.yaml": configuration.models}),
            "auth.yaml": configuration.auth,
        }
        at = request.query_params.get("at", "")
        page = page_of(request.query_params, CONFIG_ITEMS)
        found = find(files, at)
        hide = self._reloader.hide

        def answer() -> Response:
            shown = Shown(page, hide).top(found, at, page)
            return json_answer(shown if at else {"digest": configuration.digest, **shown})

        return await self._made(answer)

    async def _made(self, answer: Callable[[], Response]) -> Response:
        """A large answer, made on a thread: one at a time, since the event loop waits its turn behind all of them."""
        async with self._making:
            return await asyncio.to_thread(answer)

    async def explain(self, request: Request) -> Response:
        snapshot = loaded(self._reloader)
        url = request.query_params.get("url")
        if not url:
            raise Refused(400, "name the request: /explain?method=GET&url=/v1/users&header=Name: value")
        method = request.query_params.get("method", "GET").upper()
        headers = [header.partition(":")[::2] for header in request.query_params.getlist("header")]
        pairs = [(name.strip(), value.strip()) for name, value in headers]
        holder: Holder | None = request.state.holder
        try:
            shows_credential = _shows_credential(snapshot, url, pairs)
        except ValueError as error:
            raise Refused(400, str(error)) from None
        if shows_credential and holder is None:
            refused: Response = request.state.no_token(
                "to explain a request with a credential needs a token, since the answer shows whether it is valid; "
                "send Authorization: Bearer TOKEN"
            )
            return refused
        try:
            client, body = request.query_params.get("client", LOOPBACK), request.query_params.get("body")
            sent = None if body is None else body.encode()
            async with self._beginning:  # of many at once, each has a turn of the event loop of its own
                await asyncio.sleep(0)
            answer = await explain(snapshot, method, url, pairs, client, sent, self._why_none)
            answer |= self._source(answer)
        except ValueError as error:
            raise Refused(400, str(error)) from None
        if shows_credential and holder is not None:
            path = answer.get("path", "?")
            logger.info("explained to %s, with a credential: %s %s: %s", holder.name, method, path, answer["result"])
        return json_answer(without_secrets(answer, self._reloader.hide))

    def _why_none(self, upstream: Upstream) -> str:
        found = (each for each in self._reloader.owner.all(Discovery) if each.upstream is upstream)
        return next((each.why_none() for each in found), f"{upstream.file} lists none")

    def _source(self, answer: Mapping[str, Any]) -> Mapping[str, str]:
        """Where the endpoints of an explained request come from, if they are discovered."""
        last = (answer.get("handlers") or ("",))[-1]
        for discovery in self._reloader.owner.all(Discovery):
            if last == f"Cluster({discovery.upstream.name})":
                stale = f"; stale: {discovery.lost}" if discovery.lost else ""
                return {"source": f"{discovery.source.place}{stale}"}
        return {}

    async def reload(self, request: Request) -> Response:
        caller = self._reloader.reload()
        while not (await asyncio.wait({caller}, timeout=RELOAD_SECONDS))[0]:
            if self._reloader.written and not self._reloader.compiling:  # which has limits of its own
                message = "a program is still writing one of the files; they are loaded as soon as it has closed it"
                raise Refused(409, message)
        error = caller.result()
        if error is not None:
            return json_answer({"errors": self._reloader.shown(error)}, 422)
        return json_answer(self._reloader.report())


async def _refused(request: Request, error: Exception) -> Response:
    """No operation has this path, or this method: in the form of all refusals."""
    assert isinstance(error, HTTPException)
    what = "no such path" if error.status_code == 404 else f"{request.method} is not among its methods"
    return json_answer({"error": f"{what}; GET /openapi.json lists all"}, error.status_code, error.headers)


def _shows_credential(snapshot: Snapshot, url: str, headers: list[tuple[str, str]]) -> bool:
    """Whether a request has something where any route looks for a credential. Raises ValueError where `url` is none."""
    locations = snapshot.credentials | Locations(headers=_CREDENTIALS)
    names = {name.lower().replace("_", "-").encode("latin-1", "replace") for name, _ in headers}
    query = split_url(url).query.encode("utf-8", "replace")
    parameters = (name.decode() for name in locations.parameters)
    protocols = tuple(beginning.decode("latin-1") for beginning in locations.protocols)
    offered = (value.split(",") for name, value in headers if name.lower() == "sec-websocket-protocol")
    return (
        not names.isdisjoint(locations.headers)
        or any(query_values(query, name) for name in parameters)
        or any(entry.strip().startswith(protocols) for entries in offered for entry in entries)
    )
