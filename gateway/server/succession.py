"""One gateway after the other: what this one takes over at its start, and what it gives to the next."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.monitor.audit_log import AuditLog
from gateway.registry.discovery import Discovery
from gateway.server.handover import BEFORE, FILE, Former, ask
from gateway.server.listen import (
    IN_USE,
    KINDS,
    Kind,
    Listeners,
    Wanted,
    address_of,
    end_for_all,
    fitting,
    listen_on_all,
    take_in,
)
from gateway.server.offer import Giving, Offer
from gateway.server.servers import GatewayServer
from gateway.server.side_servers import SideServers

if TYPE_CHECKING:
    from starlette.types import ASGIApp

logger = logging.getLogger("gateway.handover")

_NONE_THERE: Final = (
    "another process uses this port (ss -ltnp shows which), and no gateway waits at {path}; if it is a gateway, "
    "--takeover needs the same state_directory; else stop it"
)
_OF_ANOTHER: Final = (
    "another process uses this port (ss -ltnp shows which) than the gateway with pid {pid}, which is taken over; "
    "stop it"
)


class Places:
    """Where this process listens. With `takeover` only from `open` on, and until then the former gateway does."""

    def __init__(self, wanted: Mapping[Kind, Wanted], given: Listeners, *, takeover: bool) -> None:
        self.listeners: Listeners = {}
        self.opened = False
        self.own: frozenset[Kind] = frozenset()  # of which only gateways have the listeners, and systemd has not
        self._wanted = wanted
        self._given = given  # by systemd
        if not takeover:
            self.open({})

    def open(self, taken: Listeners, own: Set[str] = frozenset(), in_use: str = IN_USE) -> None:
        """Listen, on what was taken over where that is the right place; `own`: of which only gateways have it;
        `in_use`: of another port that is. Raises ListenError."""
        fits = fitting(self._wanted, taken)
        self.listeners = listen_on_all(self._wanted, self._given | fits, in_use)
        made = (kind for kind in self.listeners if kind not in self._given and (kind not in fits or kind in own))
        self.own = frozenset(made)
        self.opened = True

    def address(self, kind: Kind) -> tuple[str, int] | None:
        """Where it listens, or will; None: that is off."""
        if kind in self._given:
            host, port = self._given[kind][0].getsockname()[:2]
            return host, port
        wanted = self._wanted.get(kind)
        return None if wanted is None else (wanted.host, wanted.port)


class Succession:
    """The parts of a server that are taken over and given away."""

    def __init__(self, server: GatewayServer, places: Places, audit_log: AuditLog) -> None:
        self._beside = SideServers([])
        self._server = server
        self._places = places
        self._audit_log = audit_log
        self._directory: Path | None = None  # of the state
        self._former: Former | None = None
        self._former_ended = False
        self._following: asyncio.Task[None] | None = None
        self._sharing: set[str] = set()  # with whom the audit log is written
        self._offer = Offer(Giving(self._stop, lambda: sorted(places.own), self._give, server.hand_over, self._go_on))
        self._started = False
        server.on_start, server.on_end = self._serves, self._ends
        server.is_last = lambda: "http" in places.own and not self._offer.followed

    def take(self, state_directory: Path) -> None:
        """A configuration is about to be adopted. Before the first one, take over. Raises StartError."""
        if not self._places.opened:
            self._former = ask(state_directory)
            if self._former is None:
                logger.info("there is no gateway to take over from: starting as usual")
                self._places.open({}, in_use=_NONE_THERE.format(path=state_directory / FILE))
            else:
                self._share("former", True)
                self._places.open(self._former.listeners, self._former.own, _OF_ANOTHER.format(pid=self._former.pid))
                logger.info("taking over from pid %d", self._former.pid)

    def wait_in(self, state_directory: Path) -> None:
        """The state directory of the configuration in force: the next gateway asks there."""
        self._directory = state_directory
        if self._started:
            self._offer.wait_in(state_directory)

    async def ready(self, sources: Iterable[Discovery]) -> None:
        """Return when nothing is missing that the former gateway had: what the sources of endpoints say."""
        if self._former is not None:
            await asyncio.gather(*(source.first_answer(or_failure=True) for source in sources))

    async def serve(self, beside: Mapping[Kind, ASGIApp]) -> None:
        """Serve until the end, and beside it these, where they are to listen. Raises StartError."""
        if self._former is not None:
            self._former.check()
        listeners = self._places.listeners
        shown = [address_of(listeners.get(kind, [])) for kind in KINDS]
        if listeners.get("http"):
            logger.info("listening on %s; admin: %s; metrics: %s", *shown)
        else:
            logger.info("no requests are served here, without the role router; admin: %s; metrics: %s", *shown[1:])
        self._beside = SideServers([(app, listeners[kind]) for kind, app in beside.items() if kind in listeners])
        self._beside.start()
        await self._server.serve(listeners.get("http", []))  # none: this process is no router
        await self._beside.stop()
        for kind in self._places.own if not self._offer.followed else ():
            for listener in listeners.get(kind, []):
                end_for_all(listener)

    def end(self) -> None:
        """Neither take nor give any more."""
        self._offer.close()

    @property
    def former(self) -> int | None:
        """The process that was taken over from, while it finishes what it had begun."""
        return self._former.pid if self._former is not None and not self._former_ended else None

    def _serves(self) -> None:
        self._started = True
        if self._directory is not None:
            self._offer.wait_in(self._directory, instead=self._former is not None)
        if self._former is not None:
            self._former.say("serving")
            self._following = asyncio.create_task(self._until_ended(self._former))

    def _ends(self) -> None:
        """By itself: those before it need not go on in its place."""
        if self._former is not None:
            self._former.say("ending")

    async def _until_ended(self, former: Former) -> None:
        await former.ended()
        self._former_ended = True
        logger.info("the former gateway, pid %d, has ended", former.pid)
        await former.all_ended()
        self._share("former", False)

    def _share(self, who: str, shared: bool) -> None:
        (self._sharing.add if shared else self._sharing.discard)(who)
        self._audit_log.share(bool(self._sharing))

    async def _stop(self) -> None:
        """The admin port: what it changes from now on, the next gateway is to know."""
        await self._beside.stop()
        self._share("successor", True)

    def _give(self, pid: int) -> Mapping[str, Sequence[socket.socket]]:
        given: dict[str, Sequence[socket.socket]] = {
            kind: opened
            for kind, sockets in self._places.listeners.items()
            if (opened := [each for each in sockets if each.fileno() >= 0])
        }
        for listener in given.get("http", ()):
            take_in(listener)  # where this one was about to end
        return given if self._former is None else given | {BEFORE: self._former.introduce(pid)}

    def _go_on(self) -> None:
        self._server.take_back()
        self._beside.start()
        self._share("successor", self._offer.followed)
        if self._former is not None:
            self._former.say("serving")
