"""Messages between a gateway and its control plane: the bodies of heartbeats and the messages of the channel.

All is JSON, with keys in camelCase. What one side does not know it passes over, so that both can be renewed one after
the other. Every text and number is bounded: neither side trusts the other.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

HEARTBEAT_SECONDS: Final = 15.0
ACK_SECONDS: Final = 5.0  # within which the control plane says `connection.ack`
PING_SECONDS: Final = 20.0
DEAD_SECONDS: Final = 35.0  # of silence, after which either side gives the channel up
MOST_BYTES: Final = 64 * 1024  # of one message

PREFIX: Final = "/api/internal/v1"
CONNECT: Final = f"{PREFIX}/ws/gateways/connect"

TOKEN: Final = re.compile(r"(fgw|fgj)_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
"""A token of a gateway (`fgw`) or a join token (`fgj`): kind, the id that it is found by, and 32 random bytes."""

Source = Literal["control-plane", "local file", "last good"]
"""Where what a gateway runs has come from; `last good`: kept on its disk, and not confirmed since it started."""


DriftPolicy = Literal["report", "reapply", "adopt"]
"""The policy for a gateway whose local files were changed: report it; overwrite them; make them a revision."""


def _printable(text: str) -> str:
    """A text without NUL and other control characters, which databases and terminals do not accept."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


_PRINTABLE = AfterValidator(_printable)
Word = Annotated[str, Field(max_length=128), _PRINTABLE]
Sentence = Annotated[str, Field(max_length=4000), _PRINTABLE]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
INSTANCE: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
InstanceId = Annotated[str, Field(pattern=f"^{INSTANCE.pattern}$")]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
Number = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]


class Message(BaseModel):
    """The common base of all messages."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        defer_build=True,
    )

    def wire(self) -> dict[str, Any]:
        """The message as JSON."""
        return self.model_dump(mode="json", by_alias=True)


class RunError(Message):
    """An error of a gateway: most often, of loading a configuration."""

    message: Sentence
    file: Word | None = None
    line: Count | None = None  # from 1
    column: Count | None = None
    revision: Digest | None = None  # the one that was refused; None: the local files
    at: datetime | None = None


class Figures(Message):
    """The results of requests of a period."""

    seconds: Number = 0  # that the time is long
    requests: Count = 0
    errors: Count = 0  # of those, that the gateway or its backends failed
    p50_ms: Number | None = None  # None: there was no request
    p95_ms: Number | None = None


class Heartbeat(Message):
    """How one process of a gateway is."""

    type: Literal["heartbeat"] = "heartbeat"
    instance_id: InstanceId
    version: Word = ""
    uptime_seconds: Number = 0
    revision: Digest | None = None  # of what it runs; None: nothing is loaded
    source: Source | None = None
    revision_since: datetime | None = None
    last_error: RunError | None = None
    endpoints_up: Count = 0
    endpoints_total: Count = 0
    requests_total: Count = 0  # since it started
    errors_total: Count = 0
    request_rate: Number | None = None  # per second, of the last minute
    error_rate: Annotated[Number, Field(le=100)] | None = None  # per cent, of the last minute
    p50_ms: Number | None = None
    p95_ms: Number | None = None
    since_revision: Figures | None = None  # since what it runs was swapped in; percentiles of the last five minutes
    token_spend: Number | None = None  # dollars that models took since it started; None: there are none
    name: Word | None = None
    labels: Annotated[dict[Word, Word], Field(max_length=32)] = {}


class Wanted(Message):
    """What the control plane wants of a gateway: the answer to its heartbeat, and to its long poll.

    `revision` None: nothing; what runs is kept, whatever it is.
    """

    type: Literal["heartbeat.ack"] = "heartbeat.ack"
    revision: Digest | None = None
    wanted_at: AwareDatetime | None = None  # since when it has been; what is older than what was applied is not
    deployment_id: Word | None = None
    drift_policy: DriftPolicy = "report"
    reapply: bool = False  # it has drifted for so long that local changes are to give way
    upload: bool = False  # the control plane would like to have the files that run


class ConnectionAck(Message):
    """The first message of the control plane."""

    type: Literal["connection.ack"] = "connection.ack"
    gateway_id: Word
    connection_id: Word
    timestamp: Word


class ConfigAvailable(Message):
    """There is another revision to be run."""

    type: Literal["config.available"] = "config.available"
    revision: Digest
    wanted_at: AwareDatetime | None = None  # see Wanted
    deployment_id: Word | None = None


class DeploymentAck(Message):
    """The result of a deployment on a gateway."""

    type: Literal["deployment.ack"] = "deployment.ack"
    deployment_id: Word = ""
    artifact_id: Word = ""  # the digest, where it is a configuration
    resource_type: Word = "configuration"
    action: Word = "deploy"
    status: Literal["success", "failed"]
    performed_at: datetime | None = None
    error_code: Word | None = None
    error: RunError | None = None
    instance_id: InstanceId | None = None


class Join(Message):
    """The registration of a gateway with a join token."""

    name: Annotated[str, Field(pattern="^[a-z0-9-]{1,64}$")]
    gateway_type: Literal["INGRESS", "EGRESS"] = "INGRESS"


class Joined(Message):
    """The answer to a gateway that has shown a join token: who it is from now on."""

    gateway_id: Word
    name: Word
    token: Annotated[str, Field(pattern=f"^{TOKEN.pattern}$")]


M = TypeVar("M", bound=Message)


def read(kind: type[M], data: bytes | str) -> M:
    """A message of this kind. Raises ValueError, which says where it is wrong and repeats no value."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise _wrong(error) from None


def read_document(kind: type[M], document: Any) -> M:
    """The same of JSON that was read already."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise _wrong(error) from None


def _wrong(error: ValidationError) -> ValueError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return ValueError(f"{where}: {first['msg']}" if where else first["msg"])
