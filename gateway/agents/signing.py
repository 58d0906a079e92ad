"""Signatures of messages: two members of the payload, made by `pilotctl sign-request` and checked by `verify-request`.

Signed is the payload without the two, with its topic, as JSON with sorted members: what is verified is what is read.
The envelope is `pilot-req-v1|node|time|nonce|sha256 of that|audience`; the audience is the hostname of who receives it.
"""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal

from gateway.agents.pilotctl import Pilotctl, PilotctlError
from gateway.agents.trust import Refusal

ENVELOPE: Final = "envelope"
SIGNATURE: Final = "signature"
AGE_MOST: Final = 300.0  # seconds
NONCES_MOST: Final = 100_000  # two peers of 50 messages in a second, for twice AGE_MOST: clocks differ both ways

Signed = Literal["no", "yes"] | Refusal

_ENVELOPE: Final = re.compile(
    r"pilot-req-v1\|([0-9A-Fa-f]{1,16})\|([0-9]{1,12})\|([!-{}~]{1,128})\|([0-9a-f]{64})\|([!-{}~]{1,255})"
)
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9+/=_][A-Za-z0-9+/=_-]{0,255}")
"""Only such texts become arguments of a command."""

_OF_SIGNED: Final = (ENVELOPE.encode(), SIGNATURE.encode(), b"\\")
"""Whatever is signed has one of these, or an escape: most messages need not be read to see that they are not."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The signed statement: `node` and `network` are the signer's."""

    network: int
    node: int
    at: int
    nonce: str
    digest: str
    audience: str


def signed_bytes(topic: str, payload: Mapping[str, Any]) -> bytes:
    """The part of a message that is signed."""
    said = {name: value for name, value in payload.items() if name not in (ENVELOPE, SIGNATURE)}
    whole = {"payload": said, "topic": topic}
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def envelope_of(text: str) -> Envelope | None:
    """An envelope as it is written. None for what is none."""
    found = _ENVELOPE.fullmatch(text)
    if found is None:
        return None
    address = int(found[1], 16)
    return Envelope(address >> 32, address & 0xFFFFFFFF, int(found[2]), found[3], found[4], found[5])


async def signed(pilotctl: Pilotctl, audience: str, topic: str, payload: bytes) -> bytes:
    """A payload with a signature for one audience. Raises PilotctlError, and ValueError for what is no object."""
    said = json.loads(payload)
    if not isinstance(said, dict):
        raise ValueError("only an object of JSON can be signed")
    digest = sha256(signed_bytes(topic, said)).hexdigest()
    made = await pilotctl.run("sign-request", "--audience", audience, "--body-hash", digest)
    envelope, signature = made.get("envelope"), made.get("signature")
    if not isinstance(envelope, str) or not isinstance(signature, str):
        raise PilotctlError("garbled", "pilotctl sign-request gave no signature")
    return json.dumps({**said, ENVELOPE: envelope, SIGNATURE: signature}, separators=(",", ":")).encode()


class Signatures:
    """Checks signatures of messages to one hostname, each nonce once."""

    def __init__(self, pilotctl: Pilotctl, hostname: str) -> None:
        self._pilotctl = pilotctl
        self._hostname = hostname
        self._nonces: OrderedDict[tuple[int, str], float] = OrderedDict()

    async def checked(self, topic: str, payload: bytes, node: int) -> tuple[bytes, Signed]:
        """The payload without its signature, and what that proved."""
        if not any(part in payload for part in _OF_SIGNED):
            return payload, "no"
        try:
            said = json.loads(payload)
        except (ValueError, RecursionError):
            return payload, "no"
        if not isinstance(said, dict) or not (ENVELOPE in said or SIGNATURE in said):
            return payload, "no"
        envelope, signature = said.get(ENVELOPE), said.get(SIGNATURE)
        try:
            whole = signed_bytes(topic, said)
        except (ValueError, RecursionError):
            return payload, Refusal("signature", "it has numbers that are none")
        bare = json.dumps(
            {name: value for name, value in said.items() if name not in (ENVELOPE, SIGNATURE)}, separators=(",", ":")
        ).encode()
        if not isinstance(envelope, str) or not isinstance(signature, str):
            return bare, Refusal("signature", "envelope and signature must be texts")
        return bare, await self._proved(envelope, signature, node, sha256(whole).hexdigest())

    async def _proved(self, text: str, signature: str, node: int, digest: str) -> Signed:
        envelope = envelope_of(text)
        refusal = _misfit(envelope, node, digest, self._hostname)
        if envelope is None or refusal is not None or _SIGNATURE.fullmatch(signature) is None:
            return refusal or Refusal("signature", "it is no signature")
        if (envelope.node, envelope.nonce) in self._nonces:
            return Refusal("replay", "its nonce has been used before")
        try:
            found = await self._pilotctl.run("verify-request", "--envelope", text, "--signature", signature)
        except PilotctlError as error:
            return Refusal("signature", f"it cannot be verified: {error}")
        if found.get("valid") is not True or found.get("node_id", node) != node:
            return Refusal("signature", "pilotctl verify-request says that it is not valid")
        # A nonce is remembered for as long as its envelope is fresh.
        now = time.monotonic()
        while self._nonces and next(iter(self._nonces.values())) < now - 2 * AGE_MOST:
            self._nonces.popitem(last=False)
        while len(self._nonces) >= NONCES_MOST:
            self._nonces.popitem(last=False)
        self._nonces[envelope.node, envelope.nonce] = now
        return "yes"


def _misfit(envelope: Envelope | None, node: int, digest: str, hostname: str) -> Refusal | None:
    if envelope is None:
        return Refusal("signature", "its envelope cannot be read")
    if envelope.node != node:
        return Refusal("signature", f"it was signed by node {envelope.node}, and comes from node {node}")
    if envelope.audience != hostname:
        return Refusal("signature", f"it was signed for {envelope.audience[:100]!r}")
    if envelope.digest != digest:
        return Refusal("signature", "it was signed over something else")
    if abs(time.time() - envelope.at) > AGE_MOST:
        return Refusal("signature", f"it was signed at {envelope.at}, more than {AGE_MOST:g} s from now")
    return None
