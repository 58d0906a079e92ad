"""Gateways that a provider makes, by five calls: provision, get, update, delete, status.

No provider is known to have just these: `docs/cloud-provider.yaml` describes them, for a small service between the
control plane and the API that a cloud has. Proven against such a service in the tests, not against a cloud.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import UUID

from gateway.control_plane.adapters.figures import count_of, number_of
from gateway.control_plane.adapters.oauth2 import AccessTokens
from gateway.control_plane.adapters.outbound import CallFailed, Outbound, Reply
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
    Status,
)
from gateway.control_plane.adapters.retrying import Retrying
from gateway.control_plane.adapters.urls import wrong_url
from gateway.control_plane.settings.adapter import Cloud

ID: Final = "providerId"  # of a gateway, within its adapterConfig
SINCE: Final = "provisioningSince"
_OURS: Final = frozenset({ID, SINCE})
_REMEMBERED: Final = 4096  # gateways
_POLL: Final = 0.5  # seconds between looks at a gateway that is being made, as long as a caller waits
_STATES: Final[Mapping[str, Status]] = {
    **dict.fromkeys(("active", "running", "ready", "available", "healthy"), "ACTIVE"),
    **dict.fromkeys(("provisioning", "pending", "creating", "updating", "starting", "queued"), "PROVISIONING"),
    **dict.fromkeys(("error", "failed", "deleting", "deleted", "stopped", "unhealthy"), "ERROR"),
}


class CloudGateways:
    """The adapter of gateways that a provider makes."""

    type = "cloud"

    def __init__(
        self, settings: Cloud, outbound: Outbound, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings = settings
        self._outbound = outbound
        self._retrying = Retrying(settings.retry_policy)
        self._base = settings.api_endpoint.rstrip("/")
        self._now = now
        self._active: OrderedDict[UUID, None] = OrderedDict()  # seen so: what is done to them later has no time limit
        self._tokens = None
        if (client := settings.authentication) is not None:
            url = client.token_url or f"{self._base}/oauth2/token"
            self._tokens = AccessTokens(outbound, client, url, settings.default_timeout)

    def validate(self, config: Mapping[str, Any], credentials: Mapping[str, Any] | None) -> Sequence[FieldError]:
        """Region, tier and bounds of the number of instances; all of the rest is the provider's to judge."""
        errors = [
            FieldError(f"adapterConfig.{name}", "expected a text of at most 64 characters")
            for name in ("region", "tier")
            if name in config and not (isinstance(config[name], str) and 1 <= len(config[name]) <= 64)
        ]
        if not config.get("region") and self._settings.default_region is None and not errors:
            errors.append(FieldError("adapterConfig.region", "needed: `defaultRegion` is not set"))
        if credentials:
            errors.append(
                FieldError("adapterConfig.credentials", "not of a gateway in the cloud: the provider has them")
            )
        return [*errors, *_wrong_scaling(config.get("autoScaling"))]

    async def register(self, spec: GatewaySpec) -> Registered:
        """Create it, and wait a few seconds for it; after that it is PROVISIONING. Raises AdapterError."""
        self._check(spec.config, spec.credentials)
        body = self._described(spec, spec.config)
        made = await self._retrying.created(
            lambda: self._ask("POST", "/gateways", body, key=str(spec.uuid)), lambda: self._by_reference(spec)
        )
        registered = self._registered(made, spec)
        end = time.monotonic() + self._settings.health_check.timeout
        while registered.status == "PROVISIONING" and time.monotonic() + _POLL < end:
            await asyncio.sleep(_POLL)
            try:
                registered = self._registered(
                    await self._status(registered.config[ID], end - time.monotonic()), spec, registered
                )
            except CallFailed:
                break
        return registered

    async def update(self, gateway: GatewaySpec, config: Mapping[str, Any]) -> Registered:
        """Update it. Raises AdapterError."""
        self._check(config, None)
        path = await self._path(gateway)
        body = self._described(gateway, config)
        reply = await self._retrying.safely(lambda: self._ask("PUT", path, body))
        return self._registered(reply, gateway)

    async def deregister(self, gateway: GatewaySpec) -> None:
        """Delete it. Raises AdapterError."""
        try:
            path = await self._path(gateway)
            await self._retrying.safely(lambda: self._ask("DELETE", path))
        except CallFailed as error:
            if error.reason != "missing":
                raise

    async def check_health(self, gateway: GatewaySpec) -> Health:
        """The gateway's health, by the provider's status."""
        began = time.monotonic()
        seconds = self._settings.health_check.timeout
        try:
            async with asyncio.timeout(seconds):
                reply = await self._status(await self._id(gateway), seconds)
            return self._health(gateway, reply, round((time.monotonic() - began) * 1000, 3))
        except CallFailed as error:
            return Health(False, reason=error.reason, message=str(error))
        except TimeoutError:
            return Health(False, reason="timeout", message=f"{self._base} did not answer within {seconds:g} s")

    async def metrics(self, gateway: GatewaySpec) -> Metrics:
        """The metrics in the provider's status. Raises AdapterError."""
        identifier = await self._id(gateway)
        reply = await self._retrying.safely(lambda: self._status(identifier, self._settings.default_timeout))
        said = reply.document().get("metrics")
        figures: Mapping[str, Any] = said if isinstance(said, dict) else {}
        return Metrics(
            resource_count=count_of(figures.get("resourceCount")),
            provider_count=count_of(figures.get("providerCount")),
            proxy_count=count_of(figures.get("proxyCount")),
            mcp_count=count_of(figures.get("mcpCount")),
            request_rate=number_of(figures.get("requestRate")),
            error_rate=number_of(figures.get("errorRate")),
            average_latency_ms=number_of(figures.get("averageLatencyMs")),
        )

    async def deploy(self, gateway: GatewaySpec, revision: Revision) -> Deployed:
        """The deployment is pending: the gateways fetch it themselves."""
        return Deployed("pending", (Resource("configuration", "configuration", "pending", revision.digest),))

    async def undeploy(self, gateway: GatewaySpec, revision: Revision) -> None:
        """Nothing to do: gateways keep their configuration until they receive another one."""

    async def deployed(self, gateway: GatewaySpec) -> Sequence[Resource]:
        """No deployments: a provider does not know them."""
        return ()

    async def close(self) -> None:
        """Nothing to do: there are no persistent connections."""

    def _check(self, config: Mapping[str, Any], credentials: Mapping[str, Any] | None) -> None:
        if errors := self.validate(config, credentials):
            raise AdapterError("invalid", "the adapterConfig cannot be used", errors)

    def _described(self, spec: GatewaySpec, config: Mapping[str, Any]) -> bytes:
        wanted = {key: value for key, value in config.items() if key not in _OURS}
        described = {
            "reference": str(spec.uuid),
            "name": spec.name,
            "displayName": spec.display_name,
            "gatewayType": spec.gateway_type,
            "region": self._settings.default_region,
            **wanted,
        }
        return json.dumps(described).encode()

    def _registered(self, reply: Reply, spec: GatewaySpec, before: Registered | None = None) -> Registered:
        """Raises CallFailed where the answer does not say which gateway it is."""
        said = reply.document()
        former: Mapping[str, Any] = {} if before is None else before.config
        identifier = said.get("id", former.get(ID, spec.config.get(ID)))
        if not isinstance(identifier, str) or not 1 <= len(identifier) <= 256:
            raise CallFailed("answer", f"{reply.url} answered without the id of the gateway")
        status = _state(said) or "PROVISIONING"
        found = {ID: identifier}
        if status == "PROVISIONING":
            found[SINCE] = former.get(SINCE) or self._now().isoformat()
        return Registered(
            _endpoint(said) or spec.endpoint,
            _region(said) or spec.config.get("region") or self._settings.default_region,
            status,
            found,
        )

    def _health(self, gateway: GatewaySpec, reply: Reply, milliseconds: float) -> Health:
        said = reply.document()
        status = _state(said)
        message = reply.text(said.get("message")) or None
        if status is None:
            return Health(False, milliseconds, "answer", f"{reply.url} says no state that is known", reply.url)
        if status == "ACTIVE":
            self._active[gateway.uuid] = None
            while len(self._active) > _REMEMBERED:
                self._active.popitem(last=False)
        if status == "PROVISIONING" and gateway.uuid not in self._active and self._is_overdue(gateway):
            limit = self._settings.provisioning_timeout
            return Health(False, milliseconds, "timeout", f"not active after {limit:g} s", reply.url, "ERROR")
        return Health(
            healthy=status == "ACTIVE",
            response_ms=milliseconds,
            reason="status" if status == "ERROR" else None,
            message=message or (f"{self._settings.provider} says that it has failed" if status == "ERROR" else None),
            url=reply.url,
            status=status,
            endpoint=_endpoint(said),
            region=_region(said),
        )

    def _is_overdue(self, gateway: GatewaySpec) -> bool:
        try:
            since = datetime.fromisoformat(str(gateway.config.get(SINCE)))
            return (self._now() - since).total_seconds() > self._settings.provisioning_timeout
        except (ValueError, TypeError):
            return False

    async def _path(self, gateway: GatewaySpec) -> str:
        return f"/gateways/{quote(await self._id(gateway), safe='')}"

    async def _id(self, gateway: GatewaySpec) -> str:
        """Raises CallFailed where the provider does not know it."""
        if isinstance(known := gateway.config.get(ID), str):
            return known
        found = await self._by_reference(gateway)
        identifier = None if found is None else found.document().get("id")
        if not isinstance(identifier, str):
            raise CallFailed(
                "missing", f"{self._settings.provider} has no gateway of this reference", perhaps_done=False
            )
        return identifier

    async def _by_reference(self, spec: GatewaySpec) -> Reply | None:
        """The gateway that was made for this one, if it was."""
        path = f"/gateways?{urlencode({'reference': str(spec.uuid)})}"
        reply = await self._retrying.safely(lambda: self._ask("GET", path))
        listed = reply.document().get("gateways")
        for each in listed if isinstance(listed, list) else []:
            if isinstance(each, dict) and each.get("reference") == str(spec.uuid):
                return Reply(reply.url, reply.code, reply.headers, json.dumps(each).encode(), reply.secrets)
        return None

    async def _status(self, identifier: str, seconds: float) -> Reply:
        return await self._ask("GET", f"/gateways/{quote(identifier, safe='')}/status", seconds=seconds)

    async def _ask(
        self, method: str, path: str, body: bytes | None = None, *, key: str = "", seconds: float | None = None
    ) -> Reply:
        """Once; twice where the token is refused, since it may have been revoked. Raises CallFailed."""
        limit = self._settings.default_timeout if seconds is None else seconds
        token = "" if self._tokens is None else await self._tokens.current()
        try:
            return await self._send(method, path, body, key, token, limit)
        except CallFailed as error:
            if error.code != 401 or self._tokens is None:
                raise
        return await self._send(method, path, body, key, await self._tokens.current(refused=token), limit)

    async def _send(self, method: str, path: str, body: bytes | None, key: str, token: str, seconds: float) -> Reply:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self._outbound.send(method, f"{self._base}{path}", seconds, headers=headers, body=body)


def _state(said: Mapping[str, Any]) -> Status | None:
    status = said.get("status")
    return _STATES.get(status.lower()) if isinstance(status, str) else None


def _endpoint(said: Mapping[str, Any]) -> str | None:
    endpoint = said.get("endpoint")
    return endpoint if isinstance(endpoint, str) and wrong_url(endpoint, None) is None else None


def _region(said: Mapping[str, Any]) -> str | None:
    region = said.get("region")
    return region if isinstance(region, str) and region.isprintable() and 1 <= len(region) <= 64 else None


def _wrong_scaling(scaling: object) -> Sequence[FieldError]:
    if scaling is None:
        return ()
    if not isinstance(scaling, Mapping):
        return [FieldError("adapterConfig.autoScaling", "expected minInstances and maxInstances")]
    errors = [
        FieldError(f"adapterConfig.autoScaling.{name}", "expected a whole number from 0 to 10000")
        for name in ("minInstances", "maxInstances")
        if name in scaling
        and ((count := count_of(scaling[name])) is None or isinstance(scaling[name], str) or count > 10_000)
    ]
    least, most = scaling.get("minInstances"), scaling.get("maxInstances")
    if not errors and least is not None and most is not None and least > most:
        errors.append(FieldError("adapterConfig.autoScaling.minInstances", "more than maxInstances"))
    return errors
