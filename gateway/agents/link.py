"""The agent network as a role of the bridge sees it: messages out, accepted messages in, and its state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self

State = Literal["waiting", "connected", "closed"]
"""`waiting`: for the daemon, for a port of it, or for its way into the network (`Standing.problem` says which)."""

Reason = Literal["trust", "role", "key", "signature", "replay", "size", "rate", "schema", "network"]
"""Why a message did not count."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message that counts: of a trusted node, with the name and the key of the role that may send it.

    Its payload is as it was sent, but for a signature, and `contents` what it says (`LinkSettings.contents`). `key` is
    the Ed25519 key, 32 bytes.
    """

    topic: str
    payload: bytes
    node: int
    hostname: str
    key: bytes
    contents: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why the payload of a message does not count: its form, or an address that the configuration does not allow."""

    reason: Literal["schema", "network"]
    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that did not count, for the audit log. `hostname` is empty where the node has no name."""

    reason: Reason
    topic: str
    node: int
    hostname: str
    detail: str


@dataclass(frozen=True, slots=True)
class PeerStanding:
    """How the link to one role stands. Times are those of `time.monotonic`."""

    role: str
    hostname: str
    node: int | None
    trusted: bool
    mutual: bool
    key: bytes
    connected: bool
    waiting: int
    sent: int
    dropped: int
    last_sent: float | None
    last_received: float | None
    problem: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a link stands; `problem` is empty where all is well, else says what is wrong and what to do."""

    state: State
    problem: str
    node: int | None
    address: str
    hostname: str
    peers: tuple[PeerStanding, ...]
    subscribers: int
    received: Mapping[str, int]  # by topic
    refused: Mapping[Reason, int]
    dropped: Mapping[str, int]  # messages out, by topic


def shown(text: str) -> str:
    """A foreign text, for logs and terminals: without control characters, at most 300 of the rest."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text[:300])


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The settings of the link of one role.

    `peers` are hostnames by role; `senders` the hostname that may send each topic; `inbox` the topics that go by
    port 1001. `pins` are keys by hostname, from the configuration; what is pinned at first contact is in `pins_file`.
    `contents` reads a payload of a topic: the messages in it.
    """

    role: str
    hostname: str
    socket: str
    peers: Mapping[str, str]
    senders: Mapping[str, str]
    pins_file: str
    pins: Mapping[str, bytes] = field(default_factory=dict)
    inbox: frozenset[str] = frozenset()
    mutual: bool = True
    require_signature: bool = False
    pilotctl: str = "pilotctl"
    webhook: str = ""
    webhook_secret: str = field(default="", repr=False)
    contents: Callable[[str, bytes], Sequence[Any] | Unusable] = lambda topic, payload: ()
    refused: Callable[[Refused], None] = lambda _: None


class Link(Protocol):
    """One role on the network: `async with link: ...` runs it."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def state(self) -> State: ...

    @property
    def standing(self) -> Standing: ...

    async def ready(self, within: float) -> None:
        """Wait for the daemon. Raises TimeoutError, whose text says what is missing and what to do."""
        ...

    async def publish(self, role: str, topic: str, payload: bytes) -> None:
        """Queue a message for a role, and for all who subscribed to the topic; never blocks.

        Raises ValueError for one over 512 KiB. The oldest of more than 1,000 for a role is dropped and counted.
        """
        ...

    def messages(self) -> AsyncIterator[Received]:
        """Those that count, as they come, until the link ends."""
        ...
