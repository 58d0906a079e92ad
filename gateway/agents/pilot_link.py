"""One role on the Pilot network, by the daemon of this machine: waits for it, and heals when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from gateway.agents.broker import PORT, Broker
from gateway.agents.daemon import DaemonError, DaemonGone, DaemonSocket, Names, connections_of, daemon_socket
from gateway.agents.directory import Directory
from gateway.agents.frames import PAYLOAD_MOST
from gateway.agents.inbox import Inbox
from gateway.agents.inbox import send as send_by_inbox
from gateway.agents.incoming import AcceptedMessages, Arrived, Refusals, UncheckedMessages
from gateway.agents.link import LinkSettings, Received, Standing, State, shown
from gateway.agents.own_name import name_problem
from gateway.agents.peers import Peer
from gateway.agents.pilotctl import Pilotctl, PilotctlError
from gateway.agents.signing import Signatures, signed
from gateway.agents.trust import Message, Named, Refusal, Sender, judged, node_of
from gateway.agents.webhook import webhook

logger = logging.getLogger("gateway.agents")

NOT_YET: Final = "the daemon has not answered yet"
PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0)  # seconds between attempts, the last one again and again
POLLED: Final = 1.0  # seconds between looks at trust and connections: what is revoked must be noticed within 5 s
NAMES_POLLED: Final = 5.0
CALM: Final = 10.0  # seconds of a session after which the pauses begin anew
INBOX_POLLED: Final = 0.5
BEHIND_POLLED: Final = 0.1  # while bytes of a subscriber wait
STUCK: Final = 10.0  # seconds in which the daemon takes nothing
LOOK_APART: Final = 0.02  # at least


class PilotLink:
    """See `Link` (link.py)."""

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._pilotctl = Pilotctl(settings.pilotctl, settings.socket)
        self._pilotctl_fits = False
        self._signatures = Signatures(self._pilotctl, settings.hostname)
        self._directory = Directory(settings)
        self._names = Names(settings.socket)
        self._refuse = Refusals(settings.refused, self._directory.hostname_of)
        self._unchecked = UncheckedMessages(self._refuse, self._directory.is_peer)
        self._accepted = AcceptedMessages()
        self._look = asyncio.Event()
        self._broker = Broker(
            lambda node, connection, event: self._unchecked.put(Arrived(event.topic, event.payload, node, connection)),
            self._unchecked.broken,
            self._directory.may_listen,
            self._directory.is_peer,
            self._look.set,
        )
        self._inbox = Inbox(self._pilotctl, lambda topic: topic in settings.senders)
        self._peers = {
            role: Peer(
                role, hostname, self._directory, settings.socket, self._by_inbox, self._with_signature, settings.inbox
            )
            for role, hostname in settings.peers.items()
        }
        self._tasks: list[asyncio.Task[None]] = []
        self._state: State = "closed"
        self._problem = NOT_YET
        self._logged = ""
        self._named_badly = ""
        self._connected = asyncio.Event()
        self._node: int | None = None
        self._address = ""

    async def __aenter__(self) -> Self:
        self._state = "waiting"
        runs = [self._run, self._name, *(peer.run for peer in self._peers.values())]
        if self._settings.webhook:
            runs.append(lambda: webhook(self._settings.webhook, self._settings.webhook_secret, self._look.set))
        self._tasks = [asyncio.create_task(self._restarted(run)) for run in runs]
        return self

    async def _restarted(self, run: Callable[[], Awaitable[None]]) -> None:
        """A fault of one part must not stop the others, and this one for a moment only."""
        while True:
            try:
                await run()
            except Exception as error:
                logger.exception("a part of the link of %s has failed, and starts again", self._settings.hostname)
                self._problem = f"a part of the link has failed: {error}"
            await asyncio.sleep(PAUSES[-1])

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._state = "closed"
        self._accepted.close()

    @property
    def state(self) -> State:
        """Its state."""
        return self._state

    @property
    def standing(self) -> Standing:
        """How it stands."""
        dropped: Counter[str] = Counter()
        for peer in self._peers.values():
            dropped.update(peer.dropped)
        return Standing(
            state=self._state,
            problem=self._problem or self._directory.problem or self._inbox.problem,
            node=self._node,
            address=self._address,
            hostname=self._settings.hostname,
            peers=tuple(peer.standing for peer in self._peers.values()),
            subscribers=self._broker.subscribers,
            received=dict(self._accepted.received),
            refused=dict(self._refuse.by_reason),
            dropped=dict(dropped),
        )

    async def ready(self, within: float) -> None:
        """Wait for the daemon. Raises TimeoutError, whose text says what is missing and what to do."""
        try:
            async with asyncio.timeout(within):
                await self._connected.wait()
        except TimeoutError as error:
            raise TimeoutError(f"not on the network within {within:g} s: {self._problem}") from error

    async def publish(self, role: str, topic: str, payload: bytes) -> None:
        """Queue a message. Raises ValueError for one that is too long."""
        if len(payload) > PAYLOAD_MOST:
            raise ValueError(f"{topic} of {len(payload)} bytes: {PAYLOAD_MOST} are the most")
        self._broker.publish(topic, payload)
        peer = self._peers.get(role)
        if peer is not None:
            peer.put(topic, payload)

    async def messages(self) -> AsyncIterator[Received]:
        """Those that count, as they come, until the link ends."""
        async for received in self._accepted.read():
            yield received

    async def _by_inbox(self, receiver: Named, topic: str, payload: bytes) -> None:
        whole = await signed(self._pilotctl, receiver.hostname, topic, payload)
        await send_by_inbox(self._pilotctl, receiver.node, topic, whole)

    async def _with_signature(self, hostname: str, topic: str, payload: bytes) -> bytes:
        return await signed(self._pilotctl, hostname, topic, payload) if self._settings.require_signature else payload

    async def _run(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._session()
            except* (DaemonGone, DaemonError) as errors:
                problem = str(errors.exceptions[0])
                if self._state == "connected" or problem != self._logged:
                    logger.warning("%s is not on the agent network: %s", self._settings.hostname, problem)
                self._problem = self._logged = problem
            finally:
                self._state = "waiting"
                self._connected.clear()
                self._broker.attach(None)
            failures = 0 if time.monotonic() - began > CALM else failures + 1
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)] * random.uniform(0.8, 1.2))

    async def _session(self) -> None:
        """From the daemon's first answer to its end."""
        path = self._settings.socket
        await self._check_pilotctl()
        async with daemon_socket(path) as control, daemon_socket(path, self._broker) as line:
            if self._problem == NOT_YET:
                self._problem = f"a daemon listens at {path}, and does not answer; restart it if that lasts"
            info = await control.info()
            self._node, self._address = node_of(info), shown(str(info.get("address", "")))
            await self._directory.refresh_trust(control, 0)
            self._broker.attach(line)
            await self._bind(line)
            self._see_name(info.get("hostname"))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(control, line))
                group.create_task(self._check_messages(control))
                group.create_task(_until_ended(line))
                if self._settings.inbox & self._settings.senders.keys():
                    group.create_task(self._read_inbox())
                self._state = "connected"
                self._connected.set()

    async def _check_pilotctl(self) -> None:
        """Signatures and the inbox need it, and versions differ in what they have."""
        if self._pilotctl_fits or not (self._settings.inbox or self._settings.require_signature):
            return
        try:
            await self._pilotctl.check()
        except PilotctlError as error:
            raise DaemonError(f"{error}; signatures and the inbox need it") from error
        self._pilotctl_fits = True

    async def _bind(self, line: DaemonSocket) -> None:
        try:
            await line.bind(PORT)
        except DaemonError as error:
            if self._settings.senders.keys() <= self._settings.inbox:
                return
            raise DaemonError(
                f"port {PORT} of the node is taken ({error}): start the daemon with -no-eventstream, end what else"
                " listens there, or have the messages by inbox (agents.delivery)"
            ) from error

    def _see_name(self, hostname: object) -> None:
        """The daemon says that the node has this name. A problem with it is logged when it begins, changes or ends."""
        wanted = self._settings.hostname
        problem = name_problem(hostname, wanted) or self._directory.holder_problem(self._node)
        if problem and problem != self._named_badly:
            logger.warning("%s is not found on the agent network: %s", wanted, problem)
        elif not problem and (self._named_badly or self._state != "connected"):
            logger.info("%s is on the agent network, as node %s", wanted, self._node)
        self._problem = self._named_badly = problem

    async def _name(self) -> None:
        """Keep the names of peers fresh; the rendezvous may be away while the daemon is there."""
        try:
            while True:
                changed = self._directory.changed
                await self._directory.refresh_names(self._names)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(NAMES_POLLED):
                        await changed.wait()
                await asyncio.sleep(0.2)  # a crowd of changes is one
        finally:
            await self._names.close()

    async def _watch(self, control: DaemonSocket, line: DaemonSocket) -> None:
        """Notice revoked trust, connections that are dead, and subscribers who do not read."""
        looked, taken = float("-inf"), time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEHIND_POLLED if self._broker.behind else POLLED):
                    await self._look.wait()
            self._look.clear()
            await asyncio.sleep(LOOK_APART)
            info = await control.info()
            connections = connections_of(info)
            self._broker.confirm(connections)
            taken = taken if line.unsent else time.monotonic()
            if time.monotonic() - taken > STUCK:
                raise DaemonGone("the daemon takes nothing more from this socket: all its connections are made anew")
            if time.monotonic() - looked >= POLLED / 2:
                looked = time.monotonic()
                self._see_name(info.get("hostname"))
                await self._directory.read_pins()
                await self._directory.refresh_trust(control, 0)
                for node, topic in self._broker.drop(lambda node: not self._directory.may_listen(node)):
                    self._refuse("trust", topic, node, self._directory.listening_problem(node))
                for peer in self._peers.values():
                    peer.confirm(connections)

    async def _read_inbox(self) -> None:
        while True:
            with contextlib.suppress(PilotctlError):
                for message in await self._inbox.unread():
                    self._unchecked.put(Arrived(message.topic, message.payload, message.node, -1))
                    self._inbox.delete(message)
            await asyncio.sleep(INBOX_POLLED)

    async def _check_messages(self, control: DaemonSocket) -> None:
        while True:
            arrived = await self._unchecked.next()
            sender = await self._directory.sender(control, self._names, arrived.node, arrived.topic)
            verdict = await self._verdict(arrived, sender)
            if isinstance(verdict, Refusal):
                self._refuse(verdict.reason, arrived.topic, arrived.node, verdict.detail)
            else:
                self._accepted.put(verdict)
                for peer in self._peers.values():
                    if peer.hostname == verdict.hostname:
                        peer.last_received = time.monotonic()

    async def _verdict(self, arrived: Arrived, sender: Sender) -> Received | Refusal:
        """The signature is checked when all else is right but for the contents, since that takes a process."""
        rules = self._directory.rules
        any_contents = replace(rules, contents=lambda topic, payload: ())
        first = judged(Message(arrived.topic, arrived.payload, "yes"), sender, any_contents)
        if isinstance(first, Refusal) or arrived.payload is None:
            return first if isinstance(first, Refusal) else Refusal("size", "too long")
        payload, proof = await self._signatures.checked(arrived.topic, arrived.payload, arrived.node)
        if arrived.connection < 0:
            rules = replace(rules, require_signature=True)
        verdict = judged(Message(arrived.topic, payload, proof), sender, rules)
        if isinstance(verdict, Refusal):
            return verdict
        return Received(arrived.topic, payload, arrived.node, verdict.hostname, verdict.key, verdict.contents)


async def _until_ended(line: DaemonSocket) -> None:
    await line.ended()
    raise DaemonGone("the daemon has closed its socket")
