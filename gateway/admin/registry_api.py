"""Registration of instances and feedback of monitors in the admin API: `/registry` and `/health-feedback`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer, json_body, loaded
from gateway.admin.operations import Operation
from gateway.admin.pages import PAGE, page_of
from gateway.admin.services_api import source_shown
from gateway.bus.redis import RedisBus
from gateway.config.models import ServiceConfig
from gateway.config.problems import format_path, suggest
from gateway.config.values.addresses import parse_address
from gateway.config.values.instants import format_instant
from gateway.events import HealthFeedback, Message, ServiceRegistry
from gateway.registry.allowed import OUTSIDE, AllowedNetworks
from gateway.registry.discovery import Discovery
from gateway.registry.feedback import FEEDBACK_SECONDS, NoSuchInstance, endpoint_of, heed
from gateway.registry.instances import parse_instance, written
from gateway.registry.registered import Change, Registered
from gateway.reload import Reloader
from gateway.upstream.member import Address, Member
from gateway.upstream.service import Upstream

MAX_BODY: Final = 4 * 1024**2
MOST: Final = 10_000  # instances of a service
INLINE: Final = 500  # instances that are read at once; more of them on a thread

_INSTANCE = '{"weight": 2, "zone": "a"}'
_REGISTRY = '{"service": "user-api", "instances": [{"host": "10.0.1.5", "port": 8080, "health": "passing"}]}'
_FEEDBACK = '{"service": "user-api", "instance": "10.0.1.6:8080", "status": "failing", "error_rate": 0.42}'
_LISTED = "Of each service: where its instances come from, the source's revision and age, and whether that is stale."

M = TypeVar("M", bound=Message)


def registry_operations(reloader: Reloader) -> list[Operation]:
    """`reloader` knows the services, and what lives for them."""
    api = _Api(reloader)
    none = {503: "no configuration is loaded"}
    unknown = {404: "unknown service or instance", **none}
    wrong = {400: "its error", 409: "the service has another source", 415: "it is not application/json"}
    wrong[422] = "an instance is outside of the service's allowed_networks, or at a reserved address"
    one = "/registry/{service}/instances/{instance}"
    instance = {"type": "object", "description": "Nothing, or weight, zone, priority and health."}
    return [
        Operation(
            "GET", "/registry", api.listed, "The services, and all instances.", PAGE, refusals=none, description=_LISTED
        ),
        Operation(
            "POST",
            "/registry",
            api.replace,
            "Say all instances of a service with `registered: true`.",
            body=ServiceRegistry.model_json_schema(),
            refusals=wrong | unknown,
            description=f"`{_REGISTRY}`",
        ),
        Operation(
            "PUT",
            one,
            api.put,
            "Register an instance, or change it.",
            body=instance,
            refusals=wrong | unknown,
            description=f"`instance` is `host:port`. `{_INSTANCE}`",
        ),
        Operation("DELETE", one, api.delete, "Take an instance out.", refusals=unknown | {409: wrong[409]}),
        Operation(
            "POST",
            "/health-feedback",
            api.feedback,
            "Say that an instance fails, which holds for a minute, or that it does not.",
            body=HealthFeedback.model_json_schema(),
            refusals={400: wrong[400], 415: wrong[415], **unknown},
            description=f"`{_FEEDBACK}`; of a service of any source.",
        ),
    ]


class _Api:
    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def listed(self, request: Request) -> Response:
        page = page_of(request.query_params)
        services = self._services()
        upstreams = {upstream.name: upstream for upstream in self._reloader.owner.all(Upstream)}
        discoveries = {each.upstream.name: each for each in self._reloader.owner.all(Discovery)}
        shown = []
        for name in page.of(list(services)):
            upstream, discovery = upstreams.get(name), services[name].discovery
            members = upstream.members if upstream is not None else ()
            if discovery is not None and discovery.registered:
                members = self._registered(name).document(name).members
            shown.append(_service(name, members, discoveries.get(name)))
        return json_answer(shown, headers=page.next("/registry", len(services)))

    async def replace(self, request: Request) -> Response:
        message = _message(ServiceRegistry, await json_body(request, MAX_BODY, "a message", _REGISTRY))
        registered = self._registered(message.service)
        parse = partial(_members, message.instances, self._allowed(message.service))
        members = parse() if len(message.instances) <= INLINE else await asyncio.to_thread(parse)
        return await _register(registered, message.service, lambda _: members)

    async def put(self, request: Request) -> Response:
        service, address = request.path_params["service"], _address(request.path_params["instance"])
        registered = self._registered(service)
        has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
        fields = await json_body(request, MAX_BODY, "an instance", _INSTANCE) if has_body else {}
        member = _member({"host": address.host, "port": address.port, **fields})
        if member.address != address:
            raise Refused(400, f"host and port are those of the path, {address}; leave them out")
        _check_place(member, self._allowed(service))

        def change(known: Sequence[Member]) -> Sequence[Member]:
            others = [each for each in known if each.address != address]
            if len(others) >= MOST:
                raise Refused(400, f"{service} has {MOST} instances already; take some out")
            return [*others, member]

        return await _register(registered, service, change)

    async def delete(self, request: Request) -> Response:
        service, address = request.path_params["service"], _address(request.path_params["instance"])
        registered = self._registered(service)

        def change(known: Sequence[Member]) -> Sequence[Member]:
            others = [each for each in known if each.address != address]
            if len(others) == len(known):
                raise Refused(404, f"{service} has no instance {address}; GET /registry lists those that it has")
            return others

        return await _register(registered, service, change)

    async def feedback(self, request: Request) -> Response:
        message = _message(HealthFeedback, await json_body(request, MAX_BODY, "a message", _FEEDBACK))
        self._service(message.service)
        try:
            upstream, endpoint = endpoint_of(self._reloader.owner.all(Upstream), message)
        except NoSuchInstance as error:
            raise Refused(404, str(error)) from None
        except ValueError as error:
            raise Refused(400, str(error)) from None
        if "discovery" in self._reloader.roles:
            heed(upstream, endpoint, message)
        for bus in self._reloader.owner.all(RedisBus):
            bus.publish(message)
        left = FEEDBACK_SECONDS if message.status == "failing" else 0.0
        until = format_instant(time.time() + left) if left else None
        return json_answer(
            {"service": upstream.name, "instance": endpoint.label, "status": message.status, "until": until}
        )

    def _services(self) -> Mapping[str, ServiceConfig]:
        return loaded(self._reloader).configuration.routes.services

    def _service(self, name: str) -> ServiceConfig:
        services = self._services()
        if name not in services:
            likely = suggest(name, list(services))
            remedy = f'did you mean "{likely}"?' if likely else "GET /registry lists those that there are"
            raise Refused(404, f"service: routes.yaml has no service {name[:80]!r}; {remedy}")
        return services[name]

    def _registered(self, name: str) -> Registered:
        discovery = self._service(name).discovery
        if discovery is None or discovery.registered is None:
            source = "endpoints" if discovery is None else f"discovery: {discovery.source}"
            message = (
                f"service: the instances of {name} come from {source} in routes.yaml; change them there, or give it"
            )
            raise Refused(409, f"{message} discovery: {{registered: true}}")
        return next(iter(self._reloader.owner.all(Registered)))

    def _allowed(self, name: str) -> AllowedNetworks:
        discovery = self._service(name).discovery
        return AllowedNetworks(discovery.allowed_networks if discovery is not None else ())


async def _register(registered: Registered, service: str, change: Change) -> Response:
    document = await registered.register(service, change)
    return json_answer(
        {
            "service": service,
            "revision": document.revision,
            "instances": len(document.members),
            "kept": registered.kept,
            "shared": registered.published,
        }
    )


def _message(kind: type[M], fields: dict[str, Any]) -> M:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = format_path(tuple(part for part in first["loc"] if part not in ("str", "dict[str,any]")))
        raise Refused(400, f"{place}: {first['msg']}") from None


def _members(instances: Sequence[Any], allowed: AllowedNetworks) -> tuple[Member, ...]:
    if len(instances) > MOST:
        raise Refused(400, f"instances: a service has at most {MOST}")
    members: dict[Address, Member] = {}
    for number, instance in enumerate(instances):
        place = f"instances[{number}]"
        member = _member(instance, f"{place}: ")
        _check_place(member, allowed, f"{place}: ")
        if member.address in members:
            raise Refused(400, f"{place}: {member.address} is listed twice; remove one")
        members[member.address] = member
    return tuple(members.values())


def _member(instance: Any, place: str = "") -> Member:
    try:
        return parse_instance(instance)
    except ValueError as error:
        raise Refused(400, f"{place}{error}") from None


def _check_place(member: Member, allowed: AllowedNetworks, place: str = "") -> None:
    why = allowed.why_not(member.address)
    if why == OUTSIDE:
        remedy = "register it by an IP address there, or add its network in routes.yaml"
        raise Refused(422, f"{place}{member.address} is outside of allowed_networks ({allowed}); {remedy}")
    if why is not None:
        raise Refused(422, f"{place}{member.address} is {why}")


def _address(text: str) -> Address:
    try:
        return Address(*parse_address(text))
    except ValueError as error:
        raise Refused(400, f"instance: {error}") from None


def _service(name: str, members: Sequence[Member], discovery: Discovery | None) -> dict[str, Any]:
    source = dict(source_shown(discovery, time.perf_counter()))
    return {"service": name, **source, "instances": [written(member) for member in members]}
