"""Gateways of our own, asked over their admin port.

They fetch their configuration themselves, so nothing is deployed to them from here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from gateway.control_plane.adapters.figures import count_of, number_of
from gateway.control_plane.adapters.outbound import CallFailed, Outbound, Reply
from gateway.control_plane.adapters.protocol import AdapterError, Deployed, GatewaySpec, Metrics, Resource, Revision
from gateway.control_plane.adapters.retrying import Retrying

KIND: Final = "flowmaster"
RESOURCE: Final = "configuration"
_SHAPE: Final = frozenset({"digest", "loaded_at", "reloads", "problems"})  # of /health of an admin port
_MORE: Final = re.compile(r"(\d{1,9}) more: ")
_LISTS: Final = ("providers", "model_routing/profiles", "mcp")  # of models.yaml


@dataclass(frozen=True, slots=True)
class OurGateways:
    """Gateways with an admin port at `controlPlaneUrl`."""

    outbound: Outbound
    retrying: Retrying
    seconds: float

    def probed(self, spec: GatewaySpec) -> Sequence[str]:
        """Where their health is. None: they call out."""
        url = base_of(spec)
        return [f"{url}/health"] if url else []

    async def metrics(self, spec: GatewaySpec) -> Metrics:
        """Figures of the last minute; the latency is the median. Raises AdapterError."""
        if not base_of(spec):
            raise AdapterError("unsupported", f"{spec.name} has no controlPlaneUrl: its heartbeats have the figures")
        routes, watched, *lists = await asyncio.gather(
            self._get(spec, "/routes?limit=0"), self._watched(spec), *(self._listed(spec, each) for each in _LISTS)
        )
        figures = watched.get("all") if isinstance(watched.get("all"), Mapping) else {}
        share = number_of(figures.get("error_rate"))
        counts = [count_of(routes.headers.get("x-total-count")), *lists]
        return Metrics(
            resource_count=None if None in counts else sum(each or 0 for each in counts),
            provider_count=lists[0],
            proxy_count=lists[1],
            mcp_count=lists[2],
            request_rate=number_of(figures.get("throughput")),
            error_rate=None if share is None else round(share * 100, 4),
            average_latency_ms=number_of(figures.get("p50_ms")),
        )

    async def deploy(self, spec: GatewaySpec, revision: Revision) -> Deployed:
        """Nothing to do: gateways receive it over their channel."""
        return Deployed("pending", (Resource(RESOURCE, RESOURCE, "pending", revision.digest),))

    async def undeploy(self, spec: GatewaySpec, revision: Revision) -> None:
        """Nothing to do: gateways keep their configuration until they receive another one; without any, none serves."""

    async def deployed(self, spec: GatewaySpec) -> Sequence[Resource]:
        """The configuration that is in force, by its digest. Raises AdapterError."""
        if not base_of(spec):
            return ()
        digest = (await self._get(spec, "/health")).document().get("digest")
        return (Resource(RESOURCE, RESOURCE, "deployed", digest if isinstance(digest, str) else None),)

    async def _watched(self, spec: GatewaySpec) -> Mapping[str, Any]:
        try:
            return (await self._get(spec, "/monitor?by=all&window=1m")).document()
        except CallFailed as error:
            if error.reason != "conflict":
                raise
            return {}  # its monitor is off

    async def _listed(self, spec: GatewaySpec, name: str) -> int | None:
        """How many there are in a mapping of its models.yaml; none where it has no such file."""
        try:
            found = (await self._get(spec, f"/config?at={quote(f'/models.yaml/{name}')}&limit=0")).document()
        except CallFailed as error:
            if error.reason == "invalid":
                return 0
            raise
        more = _MORE.match(str(found.get("...", "")))
        return int(more[1]) if more else len(found)

    async def _get(self, spec: GatewaySpec, path: str) -> Reply:
        url = f"{base_of(spec)}{path}"
        return await self.retrying.safely(lambda: self.outbound.send("GET", url, self.seconds, headers=bearer(spec)))


def base_of(spec: GatewaySpec) -> str:
    """The URL of the admin port, without a slash at its end; empty: the gateway calls out."""
    url = spec.config.get("controlPlaneUrl")
    return url.rstrip("/") if isinstance(url, str) else ""


def bearer(spec: GatewaySpec) -> dict[str, str]:
    """The header with the gateway's token, where it has one."""
    token = (spec.credentials or {}).get("token")
    return {"Authorization": f"Bearer {token}"} if isinstance(token, str) and token else {}


def is_ours(reply: Reply) -> bool:
    """Whether this is the health of an admin port of ours."""
    try:
        return reply.document().keys() >= _SHAPE
    except CallFailed:
        return False


def check_serves(reply: Reply) -> None:
    """Raises CallFailed where the gateway is up without a configuration."""
    if is_ours(reply) and reply.document()["digest"] is None:
        raise CallFailed("answer", f"{reply.url} says that no configuration is loaded")
