"""middleware.yaml: what clients may cost, how long things may take, and what is logged."""

from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from gateway.config.models.access_log import AccessLog
from gateway.config.models.admin import Admin
from gateway.config.models.agents import Agents
from gateway.config.models.alerts import Alerts
from gateway.config.models.audit import AuditLog
from gateway.config.models.base import Late, Section
from gateway.config.models.blocklist import Blocklist
from gateway.config.models.breakers import BreakerProfile
from gateway.config.models.bus import DESCRIPTION as BUS
from gateway.config.models.bus import Bus
from gateway.config.models.cache import Cache
from gateway.config.models.client_limits import ClientLimits
from gateway.config.models.compression import Compression
from gateway.config.models.content_types import ContentTypes
from gateway.config.models.control_plane import ControlPlane
from gateway.config.models.cors import Cors
from gateway.config.models.header_rules import HeaderRules
from gateway.config.models.ip_allow import IpAllow
from gateway.config.models.maintenance import Maintenance
from gateway.config.models.monitor import Monitor
from gateway.config.models.policy import Named
from gateway.config.models.python_policies import PythonPolicy
from gateway.config.models.quotas import Quota
from gateway.config.models.rate_limits import RateLimit
from gateway.config.models.redis import Redis
from gateway.config.models.request_id import RequestIds
from gateway.config.models.retries import RetryBudget
from gateway.config.models.telemetry import Telemetry
from gateway.config.models.timeouts import Timeouts
from gateway.config.models.trace import Trace
from gateway.config.models.zones import Zones
from gateway.config.values.kinds import Several, Text, Unset, or_empty, refuse
from gateway.config.values.quantities import Duration, DurationOrZero, Size

T = TypeVar("T", RateLimit, Quota)


class Errors(Section):
    """The problem documents that clients get when the gateway refuses a request or fails."""

    detail: Literal["brief", "full"] = Field(
        "brief",
        description="`brief`: answers to clients name no host, address, file or service behind the gateway, and of "
        "its rules only the limits that are used up; the access log has all, under the id of the request. `full`: "
        "answers have them, too, for gateways whose clients are all your own.",
    )


class Drain(Section):
    """The behaviour after SIGTERM, and of the streams of an endpoint that has left its service."""

    window: DurationOrZero = Field(
        5, description="How long new requests are still served, for a load balancer that learns of the end late."
    )
    deadline: Duration = Field(
        30,
        description="When the process ends, whatever is still in flight. WebSockets and event streams of an endpoint "
        "that has left its service are ended after the same time; its other requests finish.",
    )


class Reload(Section):
    """New contents of the files on their way to being served.

    Custom policies and `asgi:` applications that are new or changed are first tried in a process of their own,
    at the start and by `gateway check`, too: one that exits, hangs or crashes is an error with its place.
    """

    timeout: Duration = Field(
        60, description="How long compiling them may take; a reload that takes longer is refused."
    )
    policy_timeout: Duration = Field(
        10,
        description="How long custom policies and `asgi:` applications that are new or changed may take to be "
        "imported, made and started, in the process of their own in which they are tried first.",
    )
    policy_memory: Size = Field(1024**3, description="How much memory they may take there.")


class WebSocket(Section):
    """WebSocket connections."""

    max_message: Size = Field(
        16 * 1024**2,
        description="Largest message, in either direction, in bytes as they are sent: compressed, where client and "
        "backend have agreed on that. The gateway neither decompresses messages nor checks that text is UTF-8: that is "
        "for client and backend to do.",
    )
    ping_interval: Duration = Field(
        30,
        description="Silence of a client or a backend after which the gateway sends it a ping. Where nothing comes in "
        "twice that time, so after three times `ping_interval` of silence in all, the WebSocket is closed, and `error` "
        "in the access log names the side that was silent.",
    )


class MiddlewareFile(Section):
    """Limits, time-outs, policies and logs. The file and all its keys are optional."""

    limits: Late[ClientLimits] = Field(ClientLimits.unset(), description="Limits of clients.")
    timeouts: Late[Timeouts] = Field(
        Timeouts.unset(), description="Timeouts of every route that does not say otherwise."
    )
    retry_budget: Late[RetryBudget] = Field(RetryBudget.unset(), description="The budget of retries.")
    breakers: Annotated[
        dict[Text, Late[BreakerProfile]],
        BeforeValidator(or_empty({}), json_schema_input_type=dict[str, Late[BreakerProfile]] | None),
    ] = Field(
        {},
        description="Profiles for the breakers of routes, by name. `short` (calls of milliseconds), `long-tail` (tools "
        "that take minutes) and `llm` (models) are there without being written, and can be changed.",
    )
    access_log: Late[AccessLog] = Field(AccessLog.unset(), description="One line for each request.")
    errors: Late[Errors] = Field(Errors.unset(), description="How much clients learn of errors.")
    drain: Late[Drain] = Field(Drain.unset(), description="The drain after SIGTERM.")
    reload: Late[Reload] = Field(Reload.unset(), description="New contents of the files on their way to being served.")
    websocket: Late[WebSocket] = Field(WebSocket.unset(), description="WebSocket connections.")
    admin: Late[Admin] = Field(Admin.unset(), description="Access to the admin port.")
    request_id: Late[RequestIds] = Field(RequestIds.unset(), description="The id of every request.")
    telemetry: Unset[Late[Telemetry]] = Field(
        None, description="Export to an OpenTelemetry collector. `{}`: traces, with these defaults."
    )
    trace: Late[Trace] = Field(Trace.unset(), description="The trace that a request belongs to.")
    monitor: Late[Monitor] = Field(Monitor.unset(), description="Counting and monitoring of requests.")
    maintenance: Late[Maintenance] = Field(Maintenance.unset(), description="Maintenance mode.")
    state_directory: Text = Field(
        "state",
        description="Directory of persistent data, relative to the configuration directory. It is created when it is "
        "needed, must be writable, and must be kept. `${GATEWAY_STATE:-state}` is the one that systemd, the image and "
        "Kubernetes have for it (docs/operating.md), where the configuration directory is read-only.",
    )
    blocklist: Late[Blocklist] = Field(Blocklist.unset(), description="Blocked clients.")
    audit_log: Late[AuditLog] = Field(
        AuditLog.unset(), description="The decisions about every request, in a chain of hashes."
    )
    ip_allow: Named[Late[IpAllow]] = Field({}, description="Clients that may come, by address.")
    cors: Named[Late[Cors]] = Field({}, description="Pages of other origins that may call from a browser.")
    headers: Named[Late[HeaderRules]] = Field({}, description="Headers that are set, added and removed.")
    compression: Late[Compression] = Field(Compression.unset(), description="Compression of responses.")
    cache: Unset[Late[Cache]] = Field(
        None, description="Responses that are stored and used again. `{}`: with these defaults."
    )
    content_types: Named[Late[ContentTypes]] = Field({}, description="Content types that request bodies may have.")
    zones: Late[Zones] = Field(Zones.unset(), description="The zone of this gateway.")
    alerts: Late[Alerts] = Field(Alerts.unset(), description="Alerts and their receivers.")
    control_plane: Unset[Late[ControlPlane]] = Field(
        None, description="The control plane that says which configuration this gateway runs."
    )
    agents: Unset[Late[Agents]] = Field(
        None, description="The bridge to an agent network. `{}`: there is one, with these defaults."
    )
    redis: Unset[Late[Redis]] = Field(
        None,
        description="Redis, for what several replicas share: the blocklist, and counts of what has `store: redis`.",
    )
    bus: Bus = Field("memory", description=BUS)
    rate_limits: Named[Late[RateLimit]] = Field({}, description="How many requests in a time.")
    quotas: Named[Late[Quota]] = Field({}, description="How many requests in a day or month of the calendar.")
    policies: Named[Late[PythonPolicy]] = Field({}, description="Custom policies, in Python, outermost first.")
    order: Several[Text] = Field(
        (),
        description="The order of policies, outermost first: see Order of policies. Those that it does not name take "
        "their default places, of which `gateway check` warns. `policies.NAME` and `rate_limits.NAME` are for a single "
        "one of that name, such as a limit by address in front of the authentication. Empty: the default order.",
    )

    @model_validator(mode="after")
    def _cache_has_its_redis(self) -> "MiddlewareFile":
        if self.cache is not None and self.cache.store == "redis" and self.redis is None:
            raise refuse("the store of cache is redis, and there is no redis: key with its url; add one")
        return self

    @field_validator("bus")
    @classmethod
    def _bus_has_its_redis(cls, bus: Bus, info: ValidationInfo) -> Bus:
        if bus == "redis" and info.data.get("redis", 0) is None:
            raise refuse("the bus is redis, and there is no redis: key with its url; add one")
        return bus

    @field_validator("rate_limits", "quotas")
    @classmethod
    def _have_their_redis(cls, policies: dict[str, T], info: ValidationInfo) -> dict[str, T]:
        if "redis" in info.data and info.data["redis"] is None:
            for name, policy in policies.items():
                if policy.store == "redis":
                    raise refuse("a store is redis, and there is no redis: key with its url; add one", f" (for {name})")
        return policies
