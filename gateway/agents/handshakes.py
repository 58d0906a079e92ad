"""Trust between the agents of a setup: asks for it, approves it, and says what is missing.

The daemon approves what it is asked to. The decision is made here: only a node that has the hostname of a peer of the
role, gives the setup as the reason, and has the key that the operator confirms, or that was pinned.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.agents.daemon import APPROVE, ASK_TRUST, DaemonError, DaemonSocket
from gateway.agents.manifests import JUSTIFICATION
from gateway.agents.own_name import other_agent
from gateway.agents.pins import pin, read_pins
from gateway.agents.trust import Named, Trust, key_text, named_of, node_of, trust_of

LOOK_SECONDS: Final = 0.5

Confirm = Callable[[str, str], bool]
"""Asks the operator whether the agent of this hostname has this key."""


@dataclass(frozen=True, slots=True)
class Peer:
    """How it stands with one peer. `problem` is empty where the handshake is made."""

    hostname: str
    named: Named | None
    trust: Trust | None
    problem: str

    @property
    def key(self) -> str:
        """As `agents.pins` has it."""
        return "" if self.named is None else key_text(self.named.key)


@dataclass(frozen=True, slots=True)
class HandshakeSettings:
    """The handshakes of one role. `pins` are those of the configuration."""

    hostname: str
    peers: tuple[str, ...]
    mutual: bool
    pins: Mapping[str, bytes]
    pins_file: str

    def pinned(self, hostname: str) -> bytes | None:
        """The key that a peer must have, if one is known."""
        return self.pins.get(hostname) or read_pins(self.pins_file).get(hostname)


async def look(daemon: DaemonSocket, settings: HandshakeSettings) -> list[Peer]:
    """How it stands with all peers. Raises DaemonError where the daemon is that of another agent."""
    other = other_agent((await daemon.info()).get("hostname"), settings.hostname)
    if other:
        raise DaemonError(other)
    trusts = {trust.node: trust for trust in map(trust_of, await daemon.trusted()) if trust is not None}
    return [await _peer(daemon, settings, hostname, trusts) for hostname in settings.peers]


async def _peer(daemon: DaemonSocket, settings: HandshakeSettings, hostname: str, trusts: Mapping[int, Trust]) -> Peer:
    try:
        named = named_of(hostname, await daemon.resolve(hostname))
    except DaemonError as error:
        return Peer(hostname, None, None, f"the rendezvous has no node with this name ({error})"[:300])
    if named is None:
        return Peer(hostname, None, None, "the rendezvous does not say who has this name")
    trust, pinned, problem = trusts.get(named.node), settings.pinned(hostname), ""
    if pinned is not None and pinned != named.key:
        key = key_text(named.key)
        problem = f"it has another key than the pinned one, {key}; gateway agents repin if that is right"
    elif trust is None:
        problem = "there is no trust; run gateway agents handshake on both sides"
    elif settings.mutual and not trust.mutual:
        anew = f"pilotctl untrust {named.node}, and after five minutes the handshake anew"
        problem = "trust is one-sided; make the handshake on the other side, too; where pilotctl approve was used: "
        problem += anew
    return Peer(hostname, named, trust, problem)


async def shake_hands(
    daemon: DaemonSocket, settings: HandshakeSettings, confirm: Confirm, seconds: float, say: Callable[[str], None]
) -> list[Peer]:
    """Ask all peers, approve those who asked, and wait so long until both sides trust each other."""
    shaking, until = _Handshakes(daemon, settings, confirm, say), time.monotonic() + seconds
    while True:
        peers = await shaking.round()
        if not shaking.waits_for(peers) or time.monotonic() >= until:
            return peers
        await asyncio.sleep(LOOK_SECONDS)


class _Handshakes:
    def __init__(
        self, daemon: DaemonSocket, settings: HandshakeSettings, confirm: Confirm, say: Callable[[str], None]
    ) -> None:
        self._daemon = daemon
        self._settings = settings
        self._confirm = confirm
        self._say = say
        self._asked: set[tuple[str, bool]] = set()  # and whether that answered a request of theirs
        self._refused: set[str] = set()
        self._confirmed: set[str] = set()
        self._strangers: set[int] = set()

    def waits_for(self, peers: list[Peer]) -> bool:
        """Whether there is a peer that may still trust us."""
        return any(peer.problem and peer.hostname not in self._refused for peer in peers)

    async def round(self) -> list[Peer]:
        """Do what there is to do now; how it stands with all peers."""
        asked = [(node_of(each), each) for each in await self._daemon.pending()]
        pending = {node: each for node, each in asked if node is not None}
        peers = await look(self._daemon, self._settings)
        for peer in peers:
            if peer.named is not None and peer.problem and peer.hostname not in self._refused:
                await self._shake(peer, peer.named, pending.get(peer.named.node))
        known = {peer.named.node for peer in peers if peer.named is not None}
        for node in pending.keys() - known - self._strangers:
            self._strangers.add(node)
            self._say(
                f"node {node} asks for trust, and is none of the peers; pilotctl reject {node} removes that. If it is "
                "a peer that was set up anew, pilotctl untrust its former node first, which the daemon remembers"
            )
        return peers

    async def _shake(self, peer: Peer, named: Named, request: Mapping[str, object] | None) -> None:
        """To ask who has asked already is to trust, on both sides: so the operator is asked before. The daemon's own
        approval would make a record of one-sided trust."""
        pinned = self._settings.pinned(peer.hostname)
        if pinned not in (None, named.key) or (request is not None and not self._may_trust(peer, named, request)):
            self._refused.add(peer.hostname)
            return
        if request is not None and not self._settings.mutual:
            await self._daemon.handshake(APPROVE, named.node)
            self._say(f"{peer.hostname}: approved")
        elif (peer.hostname, request is not None) not in self._asked:
            self._asked.add((peer.hostname, request is not None))
            await self._daemon.handshake(ASK_TRUST, named.node, JUSTIFICATION)
            self._say(f"{peer.hostname}: {'asked' if request is None else 'approved'}")

    def _may_trust(self, peer: Peer, named: Named, request: Mapping[str, object]) -> bool:
        """Whether reason and key are right. What the operator confirms is pinned."""
        if request.get("justification") != JUSTIFICATION:
            self._say(f"{peer.hostname} asks for trust for another reason than {JUSTIFICATION!r}; it is left pending")
            return False
        if peer.hostname not in self._confirmed and not self._confirm(peer.hostname, peer.key):
            self._say(f"{peer.hostname}: left pending, because its key was not confirmed")
            return False
        self._confirmed.add(peer.hostname)
        if self._settings.pinned(peer.hostname) is None:
            pin(self._settings.pins_file, peer.hostname, named.key)
        return True
