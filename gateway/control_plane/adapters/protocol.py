"""The interface between the control plane and gateways of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol
from uuid import UUID

Status = Literal["ACTIVE", "INACTIVE", "PROVISIONING", "ERROR"]

Reason = Literal[
    "timeout",  # no answer in time
    "refused",  # no connection
    "name",  # the name has no address
    "tls",  # the certificate, or no TLS
    "address",  # where no gateway may be (`networks`)
    "unauthorized",  # 401, 403: the credentials
    "conflict",  # 409: there is one of that name with another owner
    "missing",  # 404: it is not there
    "invalid",  # 400, 422: what was sent, or what the configuration says
    "status",  # any other status that is no success
    "answer",  # an answer that says nothing: half, too large, not what it should be
    "unsupported",  # this gateway has no such thing
]

HTTP_STATUS: Final[Mapping[str, int]] = {"address": 400, "invalid": 400, "conflict": 409}
"""The status of the control plane's answer for each failure; 502 for all others."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error of one key of `adapterConfig`: `controlPlaneUrl`, `autoScaling.minInstances`."""

    field: str
    message: str


class AdapterError(Exception):
    """A gateway, or its provider, did not do what was asked. The text may be shown: it has no credential."""

    def __init__(self, reason: Reason, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.errors = tuple(errors)

    @property
    def status(self) -> int:
        """Status of the control plane's answer to its caller."""
        return HTTP_STATUS.get(self.reason, 502)


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """A gateway as adapters see it: `credentials.gateway_spec` makes one of a row."""

    uuid: UUID  # also of one that is about to be registered: with it, a create can be repeated
    name: str
    display_name: str
    gateway_type: str  # "EGRESS", "INGRESS"
    config: Mapping[str, Any]  # `adapterConfig`, without credentials
    credentials: Mapping[str, Any] | None = field(default=None, repr=False)
    endpoint: str | None = None
    region: str | None = None
    probed_url: str | None = None  # where a probe succeeded before: it is asked first


@dataclass(frozen=True, slots=True)
class Registered:
    """The result of a registration. `config`: keys of `adapterConfig` that the adapter detected, to be stored with
    it."""

    endpoint: str | None
    region: str | None
    status: Status
    config: Mapping[str, Any] = field(default_factory=dict)
    probed_url: str | None = None
    response_ms: float | None = None  # of that probe


@dataclass(frozen=True, slots=True)
class Health:
    """One probe. `healthy` is None where nothing can be probed: the gateway calls out, so its heartbeats decide."""

    healthy: bool | None
    response_ms: float | None = None
    reason: Reason | None = None  # of a failure
    message: str | None = None
    url: str | None = None  # that was probed, without query
    status: Status | None = None  # only where the provider decides: "PROVISIONING", "ACTIVE", "ERROR"
    endpoint: str | None = None  # where it is known since now
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a gateway. None: unknown, which is not 0."""

    resource_count: int | None = None
    provider_count: int | None = None
    proxy_count: int | None = None
    mcp_count: int | None = None
    request_rate: float | None = None  # requests per second
    error_rate: float | None = None  # per cent of them
    average_latency_ms: float | None = None
    unknown: str | None = field(default=None, compare=False)  # why the rates are not known, for people


@dataclass(frozen=True, slots=True)
class Revision:
    """A configuration to deploy: the files of a bundle."""

    digest: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that is on a gateway."""

    kind: str  # "configuration" of our gateways; "llm-provider", "llm-proxy", "mcp-proxy", "rest-api", ...
    name: str
    state: Literal["pending", "deployed", "failed", "undeployed"]
    revision: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """The result of a deployment: `pending` if the gateway fetches it by itself."""

    state: Literal["pending", "deployed", "failed"]
    resources: Sequence[Resource] = ()


class Adapter(Protocol):
    """One way to run gateways. All methods but `check_health` and `validate` raise AdapterError.

    Each call ends by itself within the time limits of the configuration, and may be cancelled.
    """

    @property
    def type(self) -> str:
        """Its name in the configuration: `on-premise`, `cloud`, `custom`."""

    def validate(self, config: Mapping[str, Any], credentials: Mapping[str, Any] | None) -> Sequence[FieldError]:
        """All errors of an `adapterConfig` that can be found without I/O."""

    async def register(self, spec: GatewaySpec) -> Registered:
        """Make sure that the gateway is there, or have it made. Repeating it for the same uuid changes nothing."""

    async def update(self, gateway: GatewaySpec, config: Mapping[str, Any]) -> Registered:
        """Update the gateway to `config`, a whole new `adapterConfig`. `gateway.config` is the former one."""

    async def deregister(self, gateway: GatewaySpec) -> None:
        """Delete it, if the adapter created it. It is no error if it does not exist."""

    async def check_health(self, gateway: GatewaySpec) -> Health:
        """Probe once, within the time limit of health checks. Raises nothing: failures are values."""

    async def metrics(self, gateway: GatewaySpec) -> Metrics:
        """Its current metrics."""

    async def deploy(self, gateway: GatewaySpec, revision: Revision) -> Deployed:
        """Deploy the objects in the revision's files to the gateway. Idempotent."""

    async def undeploy(self, gateway: GatewaySpec, revision: Revision) -> None:
        """Delete it. It is no error if it does not exist."""

    async def deployed(self, gateway: GatewaySpec) -> Sequence[Resource]:
        """Its deployments."""

    async def close(self) -> None:
        """End all connections."""
