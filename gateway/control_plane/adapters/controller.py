"""WSO2's gateway-controller 1.x: its management API, and its metrics where they are on."""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from gateway.control_plane.adapters.controller_files import Described, described
from gateway.control_plane.adapters.controller_metrics import Rates
from gateway.control_plane.adapters.figures import count_of_list
from gateway.control_plane.adapters.outbound import CallFailed, Outbound, Reply
from gateway.control_plane.adapters.probing import beside
from gateway.control_plane.adapters.protocol import (
    AdapterError,
    Deployed,
    FieldError,
    GatewaySpec,
    Metrics,
    Resource,
    Revision,
)
from gateway.control_plane.adapters.retrying import Retrying

KIND: Final = "gateway-controller"
_BASE: Final = "/api/management/v1"
_ADMIN_PORT: Final = 9092
_SMALL_LIST: Final = "/llm-provider-templates?displayName=-"
_REMEMBERED: Final = 4096  # gateways
_MOST: Final = 16 * 1024**2  # bytes of a list
_COLLECTIONS: Final[Mapping[str, str]] = {
    "rest-apis": "rest-api",
    "llm-providers": "llm-provider",
    "llm-proxies": "llm-proxy",
    "mcp-proxies": "mcp-proxy",
}
"""Kinds of objects that are counted and shown as deployments."""


@dataclass(frozen=True, slots=True)
class Controllers:
    """Gateways behind a gateway-controller at `controlPlaneUrl`."""

    outbound: Outbound
    retrying: Retrying
    seconds: float
    rates: Rates = field(default_factory=Rates)
    bases: OrderedDict[str, str] = field(default_factory=OrderedDict)  # URL -> path of its management API

    def probed(self, spec: GatewaySpec) -> Sequence[str]:
        """Where its health may be: its management port, and its admin port, there where it was before."""
        if isinstance(url := spec.config.get("healthUrl"), str):
            return [url]
        root = _root(spec)
        admin = beside(root, _ADMIN_PORT)
        others = [f"{admin}/health", f"{admin}/api/admin/v1/health"] if admin else []
        others.sort(key=lambda each: each != spec.probed_url)
        return [f"{root}/health", *others]

    async def check_access(self, spec: GatewaySpec, seconds: float) -> None:
        """Raises AdapterError where the management API does not answer, or refuses the credentials.

        What else it says counts as nothing: the first ones had another API.
        """
        if not spec.credentials and "healthUrl" not in spec.config:
            return  # its health has answered already
        try:
            await self._ask(spec, "GET", _SMALL_LIST, seconds=seconds)
        except CallFailed as error:
            if error.code is None:
                raise AdapterError(
                    error.reason, str(error), [FieldError("adapterConfig.controlPlaneUrl", str(error))]
                ) from None
            if error.reason == "unauthorized" and spec.credentials:
                errors = [FieldError("adapterConfig.credentials", "the gateway refuses them")]
                raise AdapterError("unauthorized", str(error), errors) from None

    async def metrics(self, spec: GatewaySpec) -> Metrics:
        """Counts from its lists; rates from its metrics, where they are on.

        Raises AdapterError where no list is answered; one that is broken is no reason to hide the others.
        """
        await self._base(spec, self.seconds)
        reading = asyncio.ensure_future(self.rates.read(self.outbound, spec, self.seconds))
        try:
            counts = await self._counts(spec)
            return replace(
                await reading,
                resource_count=None if None in counts else sum(each or 0 for each in counts),
                provider_count=counts[1],
                proxy_count=counts[2],
                mcp_count=counts[3],
            )
        finally:
            reading.cancel()

    async def _counts(self, spec: GatewaySpec) -> Sequence[int | None]:
        """The sizes of all collections, in order. Raises AdapterError if none is known."""
        counting = (self._count(spec, each) for each in _COLLECTIONS)
        found = await asyncio.gather(*counting, return_exceptions=True)
        failures = [each for each in found if isinstance(each, BaseException)]
        for failure in failures:
            if len(failures) == len(found) or not isinstance(failure, AdapterError):
                raise failure
        return [None if isinstance(each, BaseException) else each for each in found]

    async def deploy(self, spec: GatewaySpec, revision: Revision) -> Deployed:
        """Put each resource that the files describe. What it refuses is `failed`. Raises AdapterError else."""
        resources = [await self._put(spec, each, revision.digest) for each in described(revision)]
        failed = any(each.state == "failed" for each in resources)
        return Deployed("failed" if failed else "deployed", resources)

    async def undeploy(self, spec: GatewaySpec, revision: Revision) -> None:
        """Delete them, in the other order. Raises AdapterError."""
        for each in reversed(described(revision)):
            try:
                await self._send(spec, "DELETE", each.path)
            except CallFailed as error:
                if error.reason != "missing":
                    raise

    async def deployed(self, spec: GatewaySpec) -> Sequence[Resource]:
        """The objects of its lists. Raises AdapterError."""
        lists = [await self._send(spec, "GET", f"/{each}") for each in _COLLECTIONS]
        return [
            found for kind, reply in zip(_COLLECTIONS.values(), lists, strict=True) for found in _resources(kind, reply)
        ]

    async def _count(self, spec: GatewaySpec, collection: str) -> int | None:
        return count_of_list((await self._send(spec, "GET", f"/{collection}")).document())

    async def _put(self, spec: GatewaySpec, wanted: Described, digest: str) -> Resource:
        """Replace it or make it. A create that may have been done is followed by a replacement, not by another."""
        try:
            if not await self._replaced(spec, wanted):
                await self.retrying.created(
                    lambda: self._ask(spec, "POST", wanted.collection, wanted.body),
                    lambda: self._replaced(spec, wanted),
                )
        except CallFailed as error:
            if error.reason not in {"invalid", "conflict"}:
                raise
            details = "; ".join(f"{each.field}: {each.message}" for each in error.errors)
            return Resource(wanted.kind, wanted.name, "failed", digest, f"{error} {details}".strip())
        return Resource(wanted.kind, wanted.name, "deployed", digest)

    async def _replaced(self, spec: GatewaySpec, wanted: Described) -> Reply | None:
        """Replace an existing object. None: there was none."""
        try:
            return await self._send(spec, "PUT", wanted.path, wanted.body)
        except CallFailed as error:
            if error.reason != "missing":
                raise
            return None

    async def _send(
        self, spec: GatewaySpec, method: Literal["GET", "PUT", "DELETE"], path: str, body: bytes | None = None
    ) -> Reply:
        return await self.retrying.safely(lambda: self._ask(spec, method, path, body))

    async def _ask(
        self, spec: GatewaySpec, method: str, path: str, body: bytes | None = None, *, seconds: float | None = None
    ) -> Reply:
        headers = _authorization(spec)
        limit = self.seconds if seconds is None else seconds
        url = f"{_root(spec)}{await self._base(spec, limit)}{path}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self.outbound.send(method, url, limit, headers=headers, body=body, most=_MOST)

    async def _base(self, spec: GatewaySpec, seconds: float) -> str:
        """Where the management API begins: the first ones had it at the root. Raises CallFailed."""
        root = _root(spec)
        if (known := self.bases.get(root)) is not None:
            return known
        for base in (_BASE, ""):
            if await self._has(f"{root}{base}{_SMALL_LIST}", _authorization(spec), seconds):
                self.bases[root] = base
                while len(self.bases) > _REMEMBERED:
                    self.bases.popitem(last=False)
                return base
        return _BASE

    async def _has(self, url: str, headers: Mapping[str, str], seconds: float) -> bool:
        """Whether anything is there, be it a refusal. Raises CallFailed where nothing answers."""
        try:
            await self.outbound.send("GET", url, seconds, headers=headers, most=_MOST)
        except CallFailed as error:
            if error.code is None:
                raise
            return error.code != 404
        return True


def _root(spec: GatewaySpec) -> str:
    """`controlPlaneUrl` without the path of the management API, which some write and some do not."""
    url = spec.config.get("controlPlaneUrl")
    if not isinstance(url, str):
        raise AdapterError("invalid", f"{spec.name} has no controlPlaneUrl")
    return url.rstrip("/").removesuffix(_BASE).rstrip("/")


def _authorization(spec: GatewaySpec) -> dict[str, str]:
    """HTTP Basic (RFC 7617), or a token."""
    given = spec.credentials or {}
    if isinstance(token := given.get("token"), str):
        return {"Authorization": f"Bearer {token}"}
    if not given:
        return {}
    pair = f"{given.get('username', '')}:{given.get('password', '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _resources(kind: str, reply: Reply) -> list[Resource]:
    found = next((each for each in reply.document().values() if isinstance(each, list)), [])
    return [made for each in found if isinstance(each, dict) and (made := _resource(kind, reply, each)) is not None]


def _resource(kind: str, reply: Reply, item: Mapping[str, Any]) -> Resource | None:
    metadata, status = item.get("metadata"), item.get("status")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    state = status.get("state") if isinstance(status, dict) else None
    if not (isinstance(name, str) and name):
        return None
    return Resource(kind, reply.text(name)[:128], "undeployed" if state == "undeployed" else "deployed")
