"""Gateways that are there already, of two makes: behind a gateway-controller, and our own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from gateway.control_plane.adapters import controller, flowmaster
from gateway.control_plane.adapters.controller import Controllers
from gateway.control_plane.adapters.flowmaster import OurGateways, bearer, check_serves, is_ours
from gateway.control_plane.adapters.networks import AllowedAddresses
from gateway.control_plane.adapters.outbound import CallFailed, Outbound, Reply
from gateway.control_plane.adapters.probing import probe
from gateway.control_plane.adapters.protocol import (
    AdapterError,
    Deployed,
    FieldError,
    GatewaySpec,
    Health,
    Metrics,
    Registered,
    Resource,
    Revision,
)
from gateway.control_plane.adapters.retrying import Retrying
from gateway.control_plane.adapters.urls import misspelt, wrong_url
from gateway.control_plane.settings.adapter import Calls

DETECTED: Final = "detectedKind"  # within an adapterConfig: what the gateway was found to be
_KINDS: Final = (controller.KIND, flowmaster.KIND)
_CALLED: Final = ("controlPlaneUrl", "healthUrl", "metricsUrl")
_KEYS: Final = ("kind", *_CALLED, "endpoint", "region", "credentials")
_REMEMBERED: Final = 4096  # gateways whose kind was found out


class OnPremise:
    """The adapter of gateways that are started and stopped by other means."""

    type = "on-premise"

    def __init__(self, calls: Calls, outbound: Outbound) -> None:
        retrying = Retrying(calls.retry_policy)
        self._outbound = outbound
        self._retrying = retrying
        self._probe_seconds = calls.health_check.timeout
        self._controllers = Controllers(outbound, retrying, calls.default_timeout)
        self._ours = OurGateways(outbound, retrying, calls.default_timeout)
        self._found: OrderedDict[UUID, str] = OrderedDict()

    def validate(self, config: Mapping[str, Any], credentials: Mapping[str, Any] | None) -> Sequence[FieldError]:
        """Kind, URLs and credentials; what else there is, is kept as it is."""
        return [*_wrong_config(config, self._outbound.allowed), *_wrong_credentials(credentials)]

    async def register(self, spec: GatewaySpec) -> Registered:
        """See that it is there and well, and that it takes the credentials. Raises AdapterError."""
        return await self._registered(spec)

    async def update(self, gateway: GatewaySpec, config: Mapping[str, Any]) -> Registered:
        """The same of where it is to be from now on, whatever was there before."""
        self._found.pop(gateway.uuid, None)
        anew = {key: value for key, value in config.items() if key != DETECTED}
        return await self._registered(replace(gateway, config=anew, probed_url=None))

    async def deregister(self, gateway: GatewaySpec) -> None:
        """Nothing to do: the gateway is operated by other means."""
        self._found.pop(gateway.uuid, None)

    async def check_health(self, gateway: GatewaySpec) -> Health:
        """One probe."""
        return (await self._probe(gateway))[0]

    async def metrics(self, gateway: GatewaySpec) -> Metrics:
        return await (await self._make(gateway)).metrics(gateway)

    async def deploy(self, gateway: GatewaySpec, revision: Revision) -> Deployed:
        return await (await self._make(gateway)).deploy(gateway, revision)

    async def undeploy(self, gateway: GatewaySpec, revision: Revision) -> None:
        await (await self._make(gateway)).undeploy(gateway, revision)

    async def deployed(self, gateway: GatewaySpec) -> Sequence[Resource]:
        return await (await self._make(gateway)).deployed(gateway)

    async def close(self) -> None:
        """Nothing to do: there are no persistent connections."""

    async def _registered(self, spec: GatewaySpec) -> Registered:
        if errors := self.validate(spec.config, spec.credentials):
            raise AdapterError("invalid", "the adapterConfig cannot be used", errors)
        endpoint, region = spec.config.get("endpoint"), spec.config.get("region")
        if spec.config.get("controlPlaneUrl") is None:
            return Registered(endpoint, region, "INACTIVE")  # until its first heartbeat
        health, kind = await self._retrying.safely(lambda: self._found_well(spec))
        if kind == controller.KIND:
            await self._controllers.check_access(spec, self._probe_seconds)
        found = {} if "kind" in spec.config else {DETECTED: kind}
        return Registered(
            endpoint or spec.config["controlPlaneUrl"], region, "ACTIVE", found, health.url, health.response_ms
        )

    async def _found_well(self, spec: GatewaySpec) -> tuple[Health, str]:
        """Raises CallFailed where it is not well."""
        health, reply = await self._probe(spec)
        if health.healthy is False or reply is None:
            reason = health.reason or "answer"
            again = reason in {"timeout", "refused", "status", "name"}
            error = FieldError("adapterConfig.controlPlaneUrl", health.message or "it is not well")
            raise CallFailed(
                reason, health.message or "it is not well", again=again, perhaps_done=False, errors=[error]
            )
        return health, self._kind(spec, reply)

    async def _probe(self, spec: GatewaySpec) -> tuple[Health, Reply | None]:
        kind = self._known(spec)
        urls = self._ours.probed(spec) if kind == flowmaster.KIND else self._controllers.probed(spec)
        if not urls:
            return Health(None), None
        health, reply = await probe(self._outbound, urls, self._probe_seconds, bearer(spec))
        if reply is not None:
            self._kind(spec, reply)
            try:
                check_serves(reply)
            except CallFailed as error:
                return replace(health, healthy=False, reason=error.reason, message=str(error)), reply
        return health, reply

    def _known(self, spec: GatewaySpec) -> str | None:
        """The kind of the gateway, configured or detected before; None if unknown."""
        known = (spec.config.get("kind"), spec.config.get(DETECTED), self._found.get(spec.uuid))
        return next((kind for kind in known if kind in _KINDS), None)

    def _kind(self, spec: GatewaySpec, reply: Reply) -> str:
        """The kind of the gateway, configured, or by its answer."""
        if isinstance(kind := spec.config.get("kind"), str):
            return kind
        kind = flowmaster.KIND if is_ours(reply) else controller.KIND
        self._found[spec.uuid] = kind
        while len(self._found) > _REMEMBERED:
            self._found.popitem(last=False)
        return kind

    async def _make(self, spec: GatewaySpec) -> Controllers | OurGateways:
        """Raises AdapterError if the kind is not configured and the gateway does not answer."""
        kind = self._known(spec)
        if kind is None:
            kind = (await self._found_well(spec))[1]
        return self._ours if kind == flowmaster.KIND else self._controllers


def _wrong_config(config: Mapping[str, Any], allowed: AllowedAddresses) -> Iterator[FieldError]:
    kind = config.get("kind")
    if kind is not None and kind not in _KINDS:
        yield FieldError("adapterConfig.kind", f"expected {' or '.join(_KINDS)}, or nothing: then it is found out")
    yield from misspelt(config, _KEYS)
    if config.get("controlPlaneUrl") is None and kind != flowmaster.KIND:
        yield FieldError(
            "adapterConfig.controlPlaneUrl",
            f"needed; only gateways of kind {flowmaster.KIND}, which call out, have none",
        )
    for name in (*_CALLED, "endpoint"):
        url = config.get(name)
        if url is not None and (message := wrong_url(url, allowed if name in _CALLED else None)) is not None:
            yield FieldError(f"adapterConfig.{name}", message)
    region = config.get("region")
    if region is not None and not (isinstance(region, str) and 1 <= len(region) <= 64):
        yield FieldError("adapterConfig.region", "expected a text of at most 64 characters")


def _wrong_credentials(credentials: Mapping[str, Any] | None) -> Iterator[FieldError]:
    if not credentials:
        return
    named = credentials.keys()
    if named not in ({"username", "password"}, {"token"}):
        yield FieldError("adapterConfig.credentials", "expected username and password, or token")
    for name, value in credentials.items():
        if not (isinstance(value, str) and value and value.isprintable() and len(value) <= 4096):
            yield FieldError(f"adapterConfig.credentials.{name}", "expected a text in one line")
    if ":" in str(credentials.get("username", "")):
        yield FieldError("adapterConfig.credentials.username", "HTTP Basic has no user name with a colon")
    if not str(credentials.get("token", "")).isascii():
        yield FieldError("adapterConfig.credentials.token", "expected ASCII")
