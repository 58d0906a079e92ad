"""The contents of agents' messages: validated strictly, written as other agents write them, with a few members more.

Each message of ours also has `v`, `id`, `ts` (Unix time), and `epoch` and `seq`, which order all messages of one topic
of one sender, over its restarts. A message without them counts as well; the agents of the setup send none.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.agents.link import Unusable
from gateway.algorithms.networks import Network, NetworkMap
from gateway.algorithms.reserved import is_reserved, meant
from gateway.config.values.addresses import parse_address

VERSION: Final = 1
MOST: Final = 512 * 1024  # bytes of one message
MOST_BATCH: Final = 200  # of messages that may come together
MOST_INSTANCES: Final = 10_000
MOST_AHEAD: Final = (
    300 * 1000
)  # of an epoch, which is Unix time in ms: one that counted would silence its sender, once its clock is right again
CLOCK_SET: Final = 60.0  # seconds by which a clock was set forward, so that an epoch begins
TOGETHER: Final = "messages"
"""The member of an object in which several messages come together."""
BATCHED: Final = frozenset({"access-log", "auth-request"})

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Also the marks of direction, with which a name shows as another one."""


class Unreadable(Exception):
    """A payload is no message of its topic. The text says where it is wrong, and repeats nothing of it."""


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("it has control characters")
    return text


def _instance_address(text: str) -> str:
    if "%" in text:  # the zone of an IPv6 address may be any text
        raise ValueError("it has a zone")
    parse_address(text)
    return text


ShortText = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Count = Annotated[int, Field(ge=0, le=2**53)]


class Payload(BaseModel):
    """Unknown members are ignored, not refused: others may send more."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)
    v: int | None = None
    id: Annotated[str, Field(max_length=200)] | None = None
    ts: Annotated[float, Field(allow_inf_nan=False)] | None = None
    epoch: Count | None = None
    seq: Count | None = None

    @model_validator(mode="after")
    def _is_of_this_version(self) -> Payload:
        if self.v not in (None, VERSION):
            raise ValueError(f"v is not {VERSION}")
        if (self.epoch is None) != (self.seq is None):
            raise ValueError("epoch and seq belong together")
        return self

    @property
    def subject(self) -> str:
        """The subject: a later message replaces one about the same."""
        return ""


class Instance(BaseModel):
    """One instance, as `service-registry` has it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)
    host: Annotated[str, Field(min_length=1, max_length=255)]
    port: Annotated[int, Field(ge=1, le=65535)]
    health: Literal["passing", "warning", "critical"] = "passing"
    weight: Annotated[int, Field(ge=0, le=1000)] | None = None
    zone: Annotated[str, Field(max_length=200), AfterValidator(_printable)] | None = None
    priority: Annotated[int, Field(ge=0, le=15)] | None = None


class ServiceRegistry(Payload):
    """{"service":"user-api","instances":[{"host":"10.0.1.5","port":8080,"health":"passing"}]}"""

    service: ShortText
    instances: Annotated[list[Instance], Field(max_length=MOST_INSTANCES)]

    @property
    def subject(self) -> str:
        """The service."""
        return self.service


class Credential(BaseModel):
    """A credential by its fingerprint."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)
    type: ShortText
    fingerprint: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{12,64}$")]


class AuthRequest(Payload):
    """{"request_id":"req-88210","path":"/api/v2/users","api_key":"key_example_4eC39H"}, or `credential` for it."""

    request_id: ShortText
    path: Annotated[str, Field(max_length=8192)]
    api_key: Annotated[str, Field(min_length=1, max_length=8192)] | None = Field(None, repr=False)
    credential: Credential | None = None

    @model_validator(mode="after")
    def _has_one(self) -> AuthRequest:
        if (self.api_key is None) == (self.credential is None):
            raise ValueError("either api_key or credential is needed")
        return self


class AccessLog(Payload):
    """{"request_id":"req-88210","client":"acme-corp","decision":"allow","latency_ms":12}"""

    request_id: ShortText
    client: Annotated[str, Field(max_length=512), AfterValidator(_printable)]
    decision: Literal["allow", "deny"]
    latency_ms: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class HealthFeedback(Payload):
    """{"service":"user-api","instance":"10.0.1.6:8080","status":"failing","error_rate":0.42}"""

    service: ShortText
    instance: Annotated[str, Field(max_length=300), AfterValidator(_instance_address)]
    status: Literal["failing", "recovered"]
    error_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None

    @property
    def subject(self) -> str:
        """The instance."""
        return f"{self.service} {self.instance}"


MODELS: Final[Mapping[str, type[Payload]]] = {
    "service-registry": ServiceRegistry,
    "auth-request": AuthRequest,
    "access-log": AccessLog,
    "health-feedback": HealthFeedback,
}


def read(topic: str, payload: bytes) -> Sequence[Payload]:
    """The message, or those that came together. Raises Unreadable."""
    model = MODELS.get(topic)
    if model is None:
        raise Unreadable("the topic is none of ours")
    try:
        given = orjson.loads(payload)
    except ValueError:
        raise Unreadable("it is no JSON") from None
    several = [given]
    if topic in BATCHED and isinstance(given, dict) and TOGETHER in given:
        several = given[TOGETHER]
    if not isinstance(several, list) or not 1 <= len(several) <= MOST_BATCH:
        raise Unreadable(f"from 1 to {MOST_BATCH} messages may come together")
    try:
        return [model.model_validate(each) for each in several]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:80]
        raise Unreadable(f"{place}: {first['msg']}"[:200] if place else first["msg"][:200]) from None
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None


class Contents:
    """Reads messages, and says why one does not count: its form, or an address outside of the networks.

    See `LinkSettings.contents`.
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = NetworkMap((network, True) for network in networks)

    def __call__(self, topic: str, payload: bytes) -> Sequence[Payload] | Unusable:
        """The messages in a payload."""
        try:
            messages = read(topic, payload)
        except Unreadable as error:
            return Unusable("schema", str(error))
        for message in messages:
            if isinstance(message, ServiceRegistry):
                for instance in message.instances:
                    if not self._has(instance.host):
                        return Unusable("network", f"{instance.host:.60} is outside of agents.networks")
        return messages

    def _has(self, host: str) -> bool:
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            address = ip_address(bare)
        except ValueError:  # a name may lead anywhere
            return False
        if "%" in bare or any(map(is_reserved, meant(address))):  # a zone may be any text
            return False
        return bool(self._networks.covering(bare))


class Writer:
    """Writes messages of one sender."""

    def __init__(
        self, hostname: str, clock: Callable[[], float] = time.time, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` is Unix time, and may be set; `seconds` only goes on."""
        self.epoch = int(clock() * 1000)  # larger at each start
        self._hostname = hostname
        self._clock = clock
        self._seconds = seconds
        self._apart = clock() - seconds()
        self._numbers = Counter[str]()

    def members(self, topic: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The message as an object: its own members first."""
        now = self._clock()
        self._renew_epoch(now)
        self._numbers[topic] += 1
        seq = self._numbers[topic]
        more = {"v": VERSION, "id": f"{self._hostname}.{self.epoch}.{topic}.{seq}", "ts": round(now, 3)}
        return {**fields, **more, "seq": seq, "epoch": self.epoch}

    def _renew_epoch(self, now: float) -> None:
        """Begin an epoch where the clock was put right: with one of a clock that was behind, all would be older than
        what came before the start, and with one of a clock that was ahead, all is refused."""
        apart = now - self._seconds()
        if apart - self._apart > CLOCK_SET or self.epoch > now * 1000 + MOST_AHEAD:
            self.epoch = int(now * 1000)
            self._numbers.clear()
            self._apart = apart
