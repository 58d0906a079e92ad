"""The messages between discovery, router, auth and monitor, and the envelope in which they travel between processes.

Over the admin API they come as they are. On the bus (`bus/`) each is the `body` of an envelope. Members that are not
known are refused by the admin API, where they are misspelt, and ignored on the bus, where a newer gateway added them.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, Strict

from gateway.algorithms.percentiles import Sketch

VERSION: Final = 1  # of the envelope and of all messages: another one where what is known means something else
FINGERPRINT: Final = re.compile(r"sha256:[0-9a-f]{12}")

Name = Annotated[str, Field(max_length=512)]
Decision = Literal["allow", "deny"]


def credential_fingerprint(credential: bytes) -> str:
    """What the bridge to an agent network says of a credential in its place: eight bytes of its SHA-256."""
    return "sha256:" + sha256(credential).hexdigest()[:16]


class Message(BaseModel):
    """Frozen, without unknown keys and without conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
    KIND: ClassVar[str]

    @property
    def key(self) -> str | None:
        """Of a message that says all there is to say of something: what that is. Later ones take its place."""
        return None

    def for_bus(self) -> Message:
        """As it may leave the process: without credentials."""
        return self

    def to_json(self) -> bytes:
        """As it is written. Raises ValueError or TypeError for a text that is no Unicode."""
        return self.model_dump_json().encode()


class ServiceRegistry(Message):
    """`service-registry`, from discovery to the router: all instances of a service, from now on.

    {"service": "user-api", "instances": [{"host": "10.0.1.5", "port": 8080, "health": "passing"}]}
    """

    KIND = "service-registry"
    service: str
    instances: Annotated[tuple[Annotated[str | dict[str, Any], Field(union_mode="left_to_right")], ...], Strict(False)]

    @property
    def key(self) -> str | None:
        """The service."""
        return self.service

    def to_json(self) -> bytes:
        """In a tenth of the time: there may be 10,000 instances, and nothing else runs meanwhile."""
        return orjson.dumps({"service": self.service, "instances": self.instances})


class AuthRequest(Message):
    """`auth-request`, from the router to auth: a request that showed a credential.

    {"request_id": "req-88210", "path": "/api/v2/users", "api_key": "key_example_4eC39H"}

    The gateway decides about a request where the request is, so that this only informs; on the bus, `api_key` is the
    fingerprint of the key, as the access log and the audit log have it.
    """

    KIND = "auth-request"
    request_id: Name
    path: Annotated[str, Field(max_length=8192)]
    api_key: Annotated[str, Field(max_length=1024, repr=False)]

    def for_bus(self) -> AuthRequest:
        """With the fingerprint of the key."""
        if FINGERPRINT.fullmatch(self.api_key):
            return self
        digest = sha256(self.api_key.encode("utf-8", "surrogatepass")).hexdigest()
        return self.model_copy(update={"api_key": f"sha256:{digest[:12]}"})


class AccessLog(Message):
    """`access-log`, from auth to the monitor: what was decided about a request.

    {"request_id": "req-88210", "client": "acme-corp", "decision": "allow", "latency_ms": 12}
    """

    KIND = "access-log"
    request_id: Name
    client: Name
    decision: Decision
    latency_ms: int | float = Field(ge=0)


def _is_not_said(value: object) -> bool:
    return not value


class HealthFeedback(Message):
    """`health-feedback`, from a monitor to discovery: what it sees of an instance. It holds for a minute.

    {"service": "user-api", "instance": "10.0.1.6:8080", "status": "failing", "error_rate": 0.42}
    """

    KIND = "health-feedback"
    service: str
    instance: str  # host:port
    status: Literal["failing", "passing"]
    error_rate: float | None = Field(None, ge=0, le=1)
    by: Name | None = Field(None, exclude_if=_is_not_said)  # the agent that says so; None: a monitor of ours


class ApiAlert(Message):
    """`api-alert`, from the monitor to the outside: an alert that begins, goes on, or is over.

    {"alert": "errors", "state": "firing", "severity": "page", "subject": "route orders", "summary": "error_rate > 5%"}

    Times are as `2026-01-31T12:00:00Z`.
    """

    KIND = "api-alert"
    alert: Name
    state: Literal["firing", "resolved"]
    severity: Name
    subject: Name
    summary: Annotated[str, Field(max_length=4096)]
    since: Name | None = Field(None, exclude_if=_is_not_said)
    until: Name | None = Field(None, exclude_if=_is_not_said)  # of one that is over
    figures: dict[str, float] = Field(
        default_factory=dict, exclude_if=_is_not_said
    )  # shares from 0 to 1, durations in seconds
    runbook: Annotated[str, Field(max_length=2048)] | None = Field(None, exclude_if=_is_not_said)
    link: Annotated[str, Field(max_length=2048)] | None = Field(None, exclude_if=_is_not_said)


def _sketch(value: Any) -> Sketch:
    if isinstance(value, Sketch):
        return value
    if not isinstance(value, str):
        raise ValueError("durations are a text in base64")
    return Sketch.from_bytes(b64decode(value, validate=True))


Durations = Annotated[
    Sketch,
    PlainValidator(_sketch, json_schema_input_type=str),
    PlainSerializer(lambda sketch: b64encode(sketch.to_bytes()).decode(), return_type=str),
]
"""A sketch of durations (`algorithms/percentiles.py`), as its bytes in base64."""

Ended = Literal["ok", "refused", "failed", "client_gone", "internal"]
Number = Annotated[int, Field(ge=0, le=2**53)]
Count = tuple[Name, Name, int, Ended, Number]
"""A tenant (empty: none), a method, a status, how it ended, and how many requests that were."""


class FlowCounts(Message):
    """Counts of one route and upstream, or of its own answers, since the last message."""

    route: Name
    upstream: Name
    counts: Annotated[tuple[Annotated[Count, Strict(False)], ...], Strict(False)]
    durations: Durations


class EndpointCounts(Message):
    """Counts of one endpoint since the last message. `instance` is `host:port`."""

    service: Name
    instance: Name
    failures: Number
    durations: Durations


class TrafficCounts(Message):
    """`traffic`, from routers to the monitor: what was counted in the last second or so.

    {"seconds": 1.0, "consumers": {"acme-corp": 17}, "endpoints": [...], "flows":
    [{"route": "users", "upstream": "user-api", "counts": [["acme", "GET", 200, "ok", 17]], "durations": "..."}]}
    """

    KIND = "traffic"
    seconds: float = Field(ge=0, allow_inf_nan=False)
    consumers: dict[Name, Number]
    flows: Annotated[tuple[FlowCounts, ...], Strict(False)]
    endpoints: Annotated[tuple[EndpointCounts, ...], Strict(False)]


class RequestReport(Message):
    """`request-report`, from the router to the bridge to an agent network: a request that is over.

    {"request_id": "req-88210", "path": "/api/v2/users", "client": "acme-corp", "decision": "allow", "latency_ms": 12,
    "credential": "api_key", "fingerprint": "sha256:9f86d081884c7d65",
    "attempts": [["user-api", "10.0.1.5:8080", false]]}

    It is said only where middleware.yaml has the group `agents`. `api_key` is the credential itself, and there only
    with `send_credentials`.
    """

    KIND = "request-report"
    request_id: Name
    path: Annotated[str, Field(max_length=8192)]
    client: Name
    decision: Decision
    latency_ms: int | float = Field(ge=0)
    credential: Name | None = Field(None, exclude_if=_is_not_said)  # api_key or bearer; None: none was shown
    fingerprint: Name = Field("", exclude_if=_is_not_said)
    api_key: Annotated[str, Field(max_length=8192)] | None = Field(None, repr=False, exclude_if=_is_not_said)
    attempts: Annotated[tuple[Annotated[tuple[Name, Name, bool], Strict(False)], ...], Strict(False)] = ()
    """Of each attempt the service, the instance (`host:port`), and whether it failed."""


class AgentRegistry(Message):
    """`agent-registry`, from the bridge to discovery: all instances of a service, as an agent has published them.

    {"prefix": "acme", "service": "user-api", "by": "acme-discovery", "instances": [{"host": "10.0.1.5", "port": 8080}]}
    """

    KIND = "agent-registry"
    prefix: Name
    service: Name
    by: Name
    age: float = Field(0.0, ge=0, allow_inf_nan=False, exclude_if=_is_not_said)  # seconds since the agent said so
    instances: Annotated[tuple[dict[str, Any], ...], Strict(False)]

    @property
    def key(self) -> str | None:
        """The service, of this network."""
        return f"{self.prefix}/{self.service}"


class AgentStanding(Message):
    """`agent-standing`, from the bridge: how it does, every few seconds.

    {"hostname": "acme-router", "role": "router", "state": "connected", "problems": [],
    "peers": {"acme-auth": "trusted"}, "counts": {"received": {"service-registry": 3}, "refused": {"role": 1}}}
    """

    KIND = "agent-standing"
    hostname: Name
    role: Name
    state: Name
    problems: Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Strict(False)] = ()
    peers: dict[Name, Name] = Field(default_factory=dict, max_length=64)
    counts: dict[Name, Annotated[dict[Name, Number], Field(max_length=64)]] = Field(default_factory=dict, max_length=16)


KINDS: Final[dict[str, type[Message]]] = {
    kind.KIND: kind
    for kind in (
        ServiceRegistry,
        AuthRequest,
        AccessLog,
        HealthFeedback,
        ApiAlert,
        TrafficCounts,
        RequestReport,
        AgentRegistry,
        AgentStanding,
    )
}


class Envelope(BaseModel):
    """The envelope: `{"v": 1, "kind": "access-log", "id": ..., "at": 1782900000.0, "from": ..., "body": {...}}`."""

    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)
    v: int
    kind: Name
    id: Name  # unique: the same one may arrive twice
    at: float = Field(allow_inf_nan=False)  # seconds of the epoch, by the clock of the sender
    sender: Name = Field(alias="from")
    body: dict[str, Any]
