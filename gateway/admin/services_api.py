"""The services in the admin API: `GET /services`, `GET /services/{name}`, `GET /endpoints`."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer
from gateway.admin.figures import last_minute
from gateway.admin.operations import Operation, Parameter
from gateway.admin.pages import PAGE, page_of
from gateway.admin.service_states import STATES, ServiceState, ServiceStates, why_failing
from gateway.config.values.addresses import AddressTarget, ServiceTarget, parse_target
from gateway.config.values.instants import format_instant
from gateway.monitor.traffic import upstream_name
from gateway.registry.discovery import Discovery
from gateway.reload import Reloader
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.member import Address
from gateway.upstream.service import Upstream

AT_ONCE = 20  # endpoints that are described before requests get a turn


def services_operations(reloader: Reloader, states: ServiceStates) -> list[Operation]:
    """The API of the services that live."""
    api = _Api(reloader, states)
    unknown = {404: "unknown service; /services lists them"}
    service = Parameter("service", "Only those of this service.")
    listed = (
        Parameter("search", "Only those with this in their name."),
        Parameter("sort", "`state`: the worst first. Unset: by name."),
        *PAGE,
    )
    one = "One service, and all of each endpoint."
    each = (
        "Of each endpoint: weight, zone, source and its age, in or out, why and since when, the last probe, counters."
    )
    return [
        Operation("GET", "/services", api.services, "The services: source, and how many endpoints are in.", listed),
        Operation("GET", "/services/{name}", api.service, one, PAGE, refusals=unknown, description=each),
        Operation("GET", "/endpoints", api.endpoints, "The endpoints of all services.", (service, *PAGE)),
    ]


@dataclass(frozen=True, slots=True)
class Users:
    """Who uses services beside routes, by the names of the services."""

    providers: Mapping[str, Sequence[str]]
    mcp: Mapping[str, Sequence[str]]


class _Api:
    def __init__(self, reloader: Reloader, states: ServiceStates) -> None:
        self._reloader = reloader
        self._owner = reloader.owner
        self._states = states

    async def services(self, request: Request) -> Response:
        page, search = page_of(request.query_params), request.query_params.get("search", "").lower()
        states, discoveries, now = await self._states.now(), self._discoveries(), time.perf_counter()
        upstreams = [each for each in self._upstreams() if search in each.name.lower() and each in states]
        if request.query_params.get("sort") == "state":
            upstreams.sort(key=lambda each: -STATES.index(states[each].state))
        users = Users(self._providers(), self._mcp())
        shown = [_service(each, states[each], discoveries.get(each), now, users) for each in page.of(upstreams)]
        return json_answer(shown, headers=page.next("/services", len(upstreams)))

    async def service(self, request: Request) -> Response:
        name = request.path_params["name"]
        upstream = next((each for each in self._upstreams() if each.name == name), None)
        if upstream is None:
            raise Refused(404, f"no service {name[:80]!r} lives here; GET /services lists those that do")
        page, failing = page_of(request.query_params), self._states.failing()
        state, now = await self._states.one(upstream, failing), time.perf_counter()
        discovery, users = self._discoveries().get(upstream), Users(self._providers(), self._mcp())
        monitor, endpoints = self._states.monitor, []
        minute = last_minute(monitor, "upstream", name)
        for endpoint in page.of(upstream.endpoints):
            own = last_minute(monitor, "endpoint", f"{name}/{endpoint.label}")
            failure = why_failing(upstream, endpoint, failing)
            more = {"failing": None if failure is None else failure.said, "minute": own}
            endpoints.append(_endpoint(upstream, discovery, endpoint, now) | more)
            if len(endpoints) % AT_ONCE == 0:
                await asyncio.sleep(0)
        headers = page.next(f"/services/{quote(name, safe='')}", state.of)
        shown = _service(upstream, state, discovery, now, users) | {"minute": minute, "endpoints": endpoints}
        return json_answer(shown, headers=headers)

    async def endpoints(self, request: Request) -> Response:
        page = page_of(request.query_params)
        wanted = request.query_params.get("service")
        every = [
            (upstream, endpoint)
            for upstream in self._upstreams()
            if wanted is None or upstream.name == wanted
            for endpoint in upstream.endpoints
        ]
        discoveries, now = self._discoveries(), time.perf_counter()
        shown = []
        for upstream, endpoint in page.of(every):
            shown.append(_endpoint(upstream, discoveries.get(upstream), endpoint, now))
            if len(shown) % AT_ONCE == 0:
                await asyncio.sleep(0)
        return json_answer(shown, headers=page.next("/endpoints", len(every)))

    def _upstreams(self) -> list[Upstream]:
        return sorted(self._owner.all(Upstream), key=lambda upstream: upstream.name)

    def _providers(self) -> Mapping[str, Sequence[str]]:
        """The providers of models, by the names of their services: those that are no services of routes.yaml are known
        by their addresses."""
        current, found = self._reloader.current, defaultdict[str, list[str]](list)
        models = current.configuration.models if current is not None else None
        for name, provider in models.in_force.items() if models is not None else ():
            target = parse_target(provider.service or provider.origin)
            if isinstance(target, AddressTarget):
                found[str(Address(target.host, target.port))].append(name)
            elif isinstance(target, ServiceTarget):
                found[target.name].append(name)
        return found

    def _mcp(self) -> Mapping[str, Sequence[str]]:
        """The MCP servers, as `endpoint.server`, by the names of their services in the same way."""
        current, found = self._reloader.current, defaultdict[str, list[str]](list)
        models = current.configuration.models if current is not None else None
        for name, endpoint in models.mcp.items() if models is not None else ():
            for server in endpoint.servers:
                found[upstream_name(server.target)].append(f"{name}.{server.name}")
        return found

    def _discoveries(self) -> dict[Upstream, Discovery]:
        return {discovery.upstream: discovery for discovery in self._owner.all(Discovery)}


def _service(
    upstream: Upstream,
    state: ServiceState,
    discovery: Discovery | None,
    now: float,
    users: Users,
) -> dict[str, Any]:
    providers, mcp = users.providers.get(upstream.name), users.mcp.get(upstream.name)
    return {
        "service": upstream.name,
        **({"providers": providers} if providers else {}),
        **({"mcp": mcp} if mcp else {}),
        "state": state.state,
        "in": state.usable,
        "failing": state.failing,
        "of": state.of,
        "reason": state.reason,
        **dict(source_shown(discovery, now, upstream.file)),
    }


def source_shown(discovery: Discovery | None, now: float, file: str = "routes.yaml") -> Iterator[tuple[str, Any]]:
    """Where its endpoints come from, and how fresh that is. `file`: that names it."""
    if discovery is None:
        yield "source", file
        return
    age = discovery.age(now)
    yield "source", discovery.source.place
    yield "revision", discovery.revision
    yield "source_age_s", None if age is None else round(age, 1)
    yield "stale", discovery.lost or None


def _endpoint(upstream: Upstream, discovery: Discovery | None, endpoint: Endpoint, now: float) -> dict[str, Any]:
    """All of one endpoint, as one line of a table."""
    counts, member, checked = endpoint.counts(), endpoint.member, endpoint.health.checked
    return {
        "service": upstream.name,
        "endpoint": endpoint.label,
        "weight": member.weight,
        "zone": member.zone or None,
        "priority": member.priority,
        **dict(source_shown(discovery, now, upstream.file)),
        **_state(endpoint, now),
        "last_probe": checked
        and {
            "at": format_instant(checked.at),
            "ms": round(checked.seconds * 1000, 1),
            "passed": checked.passed,
            "result": checked.result,
        },
        "in_flight": counts.in_flight,
        "ewma_ms": None if endpoint.ewma is None else round(endpoint.ewma.cost(now) * 1000, 1),
        "requests": counts.requests,
        "failures": counts.failures,
        "ejections": endpoint.health.record.ejections,
        "connections": {"open": counts.open, "idle": counts.idle},
    }


def _state(endpoint: Endpoint, now: float) -> dict[str, Any]:
    """In or out, why, and since when."""
    out = endpoint.health.out(now)
    if out is not None:
        signal, verdict = out
        since = format_instant(time.time() - (now - verdict.since))
        return {"state": "out", "reason": f"{signal.value}: {verdict.reason}", "since": since}
    since = format_instant(time.time() - (now - endpoint.started))
    if endpoint.member.weight == 0:
        return {"state": "draining", "reason": "weight 0: no new requests", "since": since}
    return {"state": "in", "reason": None, "since": since}
