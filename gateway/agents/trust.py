"""Which messages are accepted: their sender must be trusted, have the name of the role that may send it, and its key.

That a daemon trusts a node is not enough: it approves nodes of a list that is built into it, and any node if it was
configured so. So the name must be the one of the role, and the key the one that was pinned for the name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.agents.frames import PAYLOAD_MOST
from gateway.agents.link import Reason, Unusable

KEY_LENGTH: Final = 32  # bytes of an Ed25519 key
UNKNOWN: Final = b""


@dataclass(frozen=True, slots=True)
class Trust:
    """The daemon's record of a node that it trusts. `key` may be empty."""

    node: int
    mutual: bool
    key: bytes


@dataclass(frozen=True, slots=True)
class Named:
    """The node that has a hostname at the rendezvous."""

    hostname: str
    node: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of a message, as far as it is known: the node of its connection, and the records of that."""

    node: int
    trust: Trust | None
    named: Named | None  # who has the hostname that may send the topic


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `payload` is None where it was too long to be read; `signed` is what its signature proved."""

    topic: str
    payload: bytes | None
    signed: Literal["no", "yes"] | Refusal = "no"


@dataclass(frozen=True, slots=True)
class Accepted:
    """It counts: who sent it, and what it says."""

    hostname: str
    key: bytes
    contents: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """It does not."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Rules:
    """The conditions: `senders` are hostnames by topic, `pins` keys by hostname."""

    senders: Mapping[str, str]
    pins: Mapping[str, bytes]
    contents: Callable[[str, bytes], Sequence[Any] | Unusable]
    mutual: bool = True
    require_signature: bool = False


def judged(message: Message, sender: Sender, rules: Rules) -> Accepted | Refusal:
    """Whether a message counts. The rate of the sender is counted before (`rates.py`)."""
    topic, node = message.topic, sender.node
    if sender.trust is None:
        return Refusal("trust", f"node {node} is not trusted")
    if rules.mutual and not sender.trust.mutual:
        return Refusal("trust", f"trust with node {node} is not mutual")
    hostname = rules.senders.get(topic)
    if hostname is None:
        return Refusal("role", f"no role sends {topic[:100]!r} here")
    named = sender.named
    if named is None or named.hostname != hostname or named.node != node:
        return Refusal("role", f"{topic} comes from {hostname}, and node {node} does not have this name")
    wrong = key_refusal(named, sender.trust, rules.pins.get(hostname))
    if wrong is not None:
        return wrong
    contents = _contents(message, rules)
    return contents if isinstance(contents, Refusal) else Accepted(hostname, named.key, contents)


def _contents(message: Message, rules: Rules) -> Sequence[Any] | Refusal:
    """What a message says, or why its signature, size or form is not accepted."""
    if isinstance(message.signed, Refusal):
        return message.signed
    if message.signed == "no" and rules.require_signature:
        return Refusal("signature", "it is not signed, and must be (agents.require_signature)")
    if message.payload is None or len(message.payload) > PAYLOAD_MOST:
        return Refusal("size", f"more than {PAYLOAD_MOST} bytes")
    contents = rules.contents(message.topic, message.payload)
    return Refusal(contents.reason, contents.detail) if isinstance(contents, Unusable) else contents


def key_refusal(named: Named, trust: Trust | None, pin: bytes | None) -> Refusal | None:
    """Why the key of who has a name is not that of the name. A key in the record of trust counts too."""
    if len(named.key) != KEY_LENGTH:
        return Refusal("key", f"the rendezvous knows no key of {named.hostname}")
    if trust is not None and trust.key and trust.key != named.key:
        return Refusal("key", f"the key that the daemon trusts is not the one of {named.hostname} at the rendezvous")
    if pin is None:
        return Refusal("key", f"no key of {named.hostname} is pinned")
    if pin != named.key:
        return Refusal("key", f"{named.hostname} has another key than the pinned one: {fingerprint(named.key)}")
    return None


def key_of(text: object) -> bytes:
    """A key as the network writes it, in base64. Empty for what is no key."""
    try:
        key = base64.b64decode(text, validate=True) if isinstance(text, str) else UNKNOWN
    except (binascii.Error, ValueError):
        return UNKNOWN
    return key if len(key) == KEY_LENGTH else UNKNOWN


def key_text(key: bytes) -> str:
    """A key in base64."""
    return base64.b64encode(key).decode()


def fingerprint(key: bytes) -> str:
    """A key, short enough to be compared by eye: the first 16 of its bytes in hexadecimal, in groups."""
    return ":".join(key[:16].hex(" ", 2).split())


def node_of(record: Mapping[str, Any]) -> int | None:
    """The node of a record, 32 bits. None for what is none."""
    node = record.get("node_id")
    return node if isinstance(node, int) and not isinstance(node, bool) and 0 <= node < 2**32 else None


def trust_of(record: Mapping[str, Any]) -> Trust | None:
    """One of the daemon's records. None for what is none."""
    node = node_of(record)
    return None if node is None else Trust(node, record.get("mutual") is True, key_of(record.get("public_key")))


def named_of(hostname: str, found: Mapping[str, Any]) -> Named | None:
    """The answer of the rendezvous about a hostname. None for one about something else."""
    node = node_of(found)
    if node is None or found.get("hostname", hostname) != hostname:
        return None
    return Named(hostname, node, key_of(found.get("public_key")))
