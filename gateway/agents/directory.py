"""The nodes of the network by the daemon and the rendezvous: trust, names and keys, kept fresh."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from gateway.agents.daemon import DaemonError, DaemonSocket, Names
from gateway.agents.link import LinkSettings
from gateway.agents.own_name import holder_problem
from gateway.agents.pilotctl import Pilotctl, PilotctlError
from gateway.agents.pins import PinsError, pin, read_pins
from gateway.agents.trust import UNKNOWN, Named, Rules, Sender, Trust, key_refusal, named_of, trust_of

TRUST_FRESH: Final = 0.5  # seconds for which the daemon's records are good, while messages come
LOOKED_UP_FRESH: Final = 5.0
LOOKED_UP_WITHIN: Final = 3.0  # all messages wait meanwhile
FAILED_FRESH: Final = 60.0  # seconds before a node that could not be looked up is looked up again
LOOKED_UP_MOST: Final = 256  # nodes
NAME_FRESH: Final = 1.0  # seconds before a name is asked again because a message does not fit it


class Directory:
    """Trust by node, names by hostname, and the pinned keys. What cannot be asked now stays as it was."""

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._pilotctl = Pilotctl(settings.pilotctl, settings.socket, LOOKED_UP_WITHIN)
        self._hostnames = sorted({*settings.peers.values(), *settings.senders.values()})
        self._trusts: Mapping[int, Trust] = {}
        self._named: dict[str, Named] = {}
        self._holder: Named | None = None  # of the name of this node
        self._asked: dict[str, float] = {}
        self._looked_up: OrderedDict[int, tuple[float, Named | None]] = OrderedDict()
        self._trusted_at = float("-inf")
        self._pins: Mapping[str, bytes] = dict(settings.pins)
        self._pins_stamp: tuple[int, int] | None = None
        self.problem = ""
        self.changed = asyncio.Event()

    @property
    def rules(self) -> Rules:
        """The conditions on messages now."""
        settings = self._settings
        return Rules(settings.senders, self._pins, settings.contents, settings.mutual, settings.require_signature)

    def trust(self, node: int) -> Trust | None:
        """The daemon's record of a node."""
        return self._trusts.get(node)

    def may_listen(self, node: int) -> bool:
        """Whether a node may subscribe to what this one publishes: those that are trusted."""
        trust = self._trusts.get(node)
        return trust is not None and (trust.mutual or not self._settings.mutual)

    def listening_problem(self, node: int) -> str:
        """Why a node may not subscribe, and what to do."""
        trust = self._trusts.get(node)
        missing = "there is no trust with it" if trust is None else "trust with it is one-sided"
        return (
            f"its subscription is ended: {missing}; pilotctl handshake on both sides, and not pilotctl approve; where "
            f"approve was used, pilotctl untrust {node} before, and after five minutes the handshakes"
        )

    def is_peer(self, node: int) -> bool:
        """Whether a node has the name of a peer, as far as is known."""
        return any(named.node == node for named in self._named.values())

    def found(self, hostname: str) -> tuple[Named | None, Trust | None]:
        """The node that has a hostname, and the record of trust with it."""
        named = self._named.get(hostname)
        return named, None if named is None else self._trusts.get(named.node)

    def send_problem(self, hostname: str) -> str:
        """Why nothing is sent to a hostname; empty where it may be."""
        named, trust = self.found(hostname)
        if named is None:
            return f"the rendezvous has no node with the name {hostname}"
        if trust is None or (self._settings.mutual and not trust.mutual):
            return f"no trust with {hostname}: make the handshakes (gateway agents handshake)"
        refusal = key_refusal(named, trust, self._pins.get(hostname))
        return "" if refusal is None else refusal.detail

    def holder_problem(self, node: int | None) -> str:
        """What to do where another node than this one has its name; empty where none is known."""
        return holder_problem(self._holder, node)

    def hostname_of(self, node: int) -> str:
        """Which name a node has, as far as is known; else empty."""
        _, looked_up = self._looked_up.get(node, (0.0, None))
        if looked_up is not None:
            return looked_up.hostname
        return next((named.hostname for named in self._named.values() if named.node == node), "")

    async def sender(self, daemon: DaemonSocket, names: Names, node: int, topic: str) -> Sender:
        """The sender of a message, looked up again where what is known does not fit."""
        await self.refresh_trust(daemon, TRUST_FRESH if node in self._trusts else 0)
        hostname = self._settings.senders.get(topic)
        if hostname is None:
            return Sender(node, self._trusts.get(node), None)
        named, trust = self.found(hostname)
        fits = named is not None and named.node == node and trust is not None and trust.key in (UNKNOWN, named.key)
        if node in self._trusts and not (fits and hostname in self._pins):
            await self.refresh_name(names, hostname, NAME_FRESH)
        named = self._named.get(hostname)
        if node in self._trusts and (named is None or named.node != node):
            named = await self._look_up(node)
        return Sender(node, self._trusts.get(node), named)

    async def _look_up(self, node: int) -> Named | None:
        """The rendezvous's record of a node. The daemon remembers names for minutes, and does not look up nodes."""
        at, found = self._looked_up.get(node, (float("-inf"), None))
        if time.monotonic() - at < (FAILED_FRESH if found is None else LOOKED_UP_FRESH):
            return found
        try:
            said = await self._pilotctl.run("lookup", str(node))
        except PilotctlError:
            said = {}
        hostname = said.get("hostname")
        found = named_of(hostname, said) if isinstance(hostname, str) and said.get("node_id") == node else None
        self._looked_up[node] = (time.monotonic(), found)
        while len(self._looked_up) > LOOKED_UP_MOST:
            self._looked_up.popitem(last=False)
        return found

    async def refresh_trust(self, daemon: DaemonSocket, fresh: float) -> None:
        """Ask the daemon whom it trusts, unless that is known for less than `fresh` seconds."""
        if time.monotonic() - self._trusted_at < fresh:
            return
        records = (trust_of(record) for record in await daemon.trusted())
        found = {trust.node: trust for trust in records if trust is not None}
        self._trusted_at = time.monotonic()
        if found != self._trusts:
            self._trusts = found
            self._notify()

    async def refresh_names(self, names: Names) -> None:
        """Ask the rendezvous for all names."""
        await self.read_pins()
        for hostname in self._hostnames:
            await self.refresh_name(names, hostname, 0)
        await self._refresh_holder(names)

    async def _refresh_holder(self, names: Names) -> None:
        """Ask who has the name of this node: peers talk with that one. It is no peer, and its key is not pinned."""
        hostname = self._settings.hostname
        with contextlib.suppress(DaemonError):
            self._holder = named_of(hostname, await names.resolve(hostname)) or self._holder

    async def refresh_name(self, names: Names, hostname: str, fresh: float) -> None:
        """Ask the rendezvous who has a name. At first contact its key is pinned."""
        if time.monotonic() - self._asked.get(hostname, float("-inf")) >= fresh:
            # The rendezvous may be away, or the name free: who had it keeps it, with its key.
            with contextlib.suppress(DaemonError):
                named = named_of(hostname, await names.resolve(hostname))
                if named is not None and named != self._named.get(hostname):
                    self._named[hostname] = named
                    self._notify()
            self._asked[hostname] = time.monotonic()  # now: it may have taken as long as it may
        await self._pin(hostname)

    async def _pin(self, hostname: str) -> None:
        named, trust = self.found(hostname)
        if named is None or trust is None or hostname in self._pins or self.problem:
            return
        if (self._settings.mutual and not trust.mutual) or key_refusal(named, trust, named.key) is not None:
            return
        try:
            key = await asyncio.to_thread(pin, self._settings.pins_file, hostname, named.key)
        except (PinsError, OSError) as error:
            self.problem = str(error)
            return
        self._pins = {**self._pins, hostname: key}
        self._notify()

    async def read_pins(self) -> None:
        """Check whether another key was pinned."""
        try:
            found = os.stat(self._settings.pins_file)
            stamp: tuple[int, int] | None = (found.st_mtime_ns, found.st_ino)
        except OSError:
            stamp = None
        if stamp == self._pins_stamp and not self.problem:
            return
        try:
            pins = await asyncio.to_thread(read_pins, self._settings.pins_file)
        except PinsError as error:
            self.problem = str(error)
            pins = {}  # only the configuration is trusted
        else:
            self.problem = ""
            self._pins_stamp = stamp
        self._pins = {**pins, **self._settings.pins}
        self._notify()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()
