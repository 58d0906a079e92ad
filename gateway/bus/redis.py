"""The bus over Redis Streams: one stream for each kind of message, bounded there, and read every tenth of a second.

Redis being away costs nothing here but messages: they wait in bounded memory for a minute, and what has waited for
longer is dropped, because it would be taken for news. What is said by key is kept, and said again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, Final

from gateway.bus import scripts
from gateway.bus.bus import Counts, Handler, LetterWriter, M, Subscription
from gateway.bus.delivery import Delivery
from gateway.bus.letters import MAX_BYTES, Letter
from gateway.bus.memory import Inbox
from gateway.bus.queue import LetterQueue
from gateway.events import AgentRegistry, Message, ServiceRegistry
from gateway.live import Tasks
from gateway.outside.redis_link import RedisLink
from gateway.outside.redis_pipeline import Arguments
from gateway.outside.redis_scripts import Script

MOST: Final = 10_000  # messages of a stream
MOST_BYTES: Final = 16 * 1024**2  # of a stream
MOST_KEYS: Final = 20_000  # of a stream by key
MOST_KEYED_BYTES: Final = 128 * 1024**2  # of a stream by key
ANSWER_BYTES: Final = 256 * 1024  # of one reading, so that nothing else waits for long
CALL_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.1
AWAY_SECONDS: Final = 0.25  # until Redis is tried again
SIGN_SECONDS: Final = 1.0  # between two signs of life
LIFE_SECONDS: Final = 6.0  # without one, until another process may speak in place of this one
FORGOTTEN_SECONDS: Final = 24 * 3600.0
LATEST_SECONDS: Final = 60.0  # that a message may wait to be sent, and that a follower that is new looks back
CLAIM_SECONDS: Final = 5.0  # between two looks for what was not handled
IDLE_SECONDS: Final = 15.0  # after which a message that was not handled goes to another process
ATTEMPTS: Final = 5  # to handle a message, each of which ended with the process
CONSUMER_SECONDS: Final = 3600.0  # after which an absent consumer is deleted
KEYED: Final = (ServiceRegistry.KIND, AgentRegistry.KIND)


class RedisBus:
    """See `Bus`. A process hears what it says itself at once, without Redis; in a group, as all others do."""

    def __init__(self, link: RedisLink) -> None:
        self.name = f"{socket.gethostname()[:60]}.{os.getpid()}.{secrets.token_hex(4)}"
        self.counts = Counts()
        self.tasks = Tasks()
        self.losses = 0
        self.queue = LetterQueue(self.counts)
        self._link = link
        self._letters = LetterWriter(self.name, self.counts)
        self._inboxes: list[Inbox] = []
        self._known = b""  # the name of what Redis knows
        self._heard: dict[str, float] = {}  # when senders were last heard of; time.monotonic()
        self._sending: Sequence[Letter] = ()
        self._spoken_for: set[str] = set()  # keys of which another process speaks
        self._speakers: frozenset[str] = frozenset()  # that lived at the last look

    async def start(self) -> None:
        """Begin to send."""
        self.tasks.supervise("sending messages to Redis", self._send_all)
        self.tasks.supervise("the sign of life on the bus", self._live)

    async def stop(self) -> None:
        """Send what waits, as far as Redis answers at once, and say that nothing more comes."""
        await self.tasks.end()
        while await self._sent(self._sending) and len(self.queue):
            self._sending = self.queue.take()
        await self._link.ask(scripts.LEAVE, [self.key("senders")], [self.name])

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if not self._link.available:
            left = "a minute old, they are lost"
            yield f"messages to other gateways wait for Redis (bus: redis): {self.waiting} now; {left}"

    def letter(self, message: Message) -> Letter | None:
        """See `Bus`."""
        return self._letters.write(message)

    def publish(self, message: Message) -> None:
        """See `Bus`."""
        letter = self.letter(message)
        if letter is not None:
            self.send(letter)

    def send(self, letter: Letter) -> None:
        """See `Bus`."""
        self.queue.put(letter)
        for inbox in self._inboxes:
            if inbox.delivery.kind == letter.kind:
                inbox.queue.put(letter)

    def retract(self, kind: type[Message], key: str) -> None:
        """See `Bus`."""
        self.queue.put(Letter(kind.KIND, key, "", b""))

    def subscribe(self, kind: type[M], handle: Handler[M], group: str | None = None) -> Subscription:
        """See `Bus`."""
        delivery = Delivery(kind.KIND, handle, self.counts)
        if group is not None:
            return _Shared(self, delivery, group)
        inbox = Inbox(delivery, self.counts, self.tasks, self._inboxes.remove)
        self._inboxes.append(inbox)
        return _Followed(self, delivery, inbox)

    @property
    def waiting(self) -> int:
        """See `Bus`."""
        return len(self.queue) + len(self._sending)

    @property
    def busy(self) -> bool:
        """See `Bus`."""
        return self.queue.bytes > self.queue.most_bytes // 4 or len(self.queue) > self.queue.most // 4

    @property
    def connected(self) -> bool:
        """See `Bus`."""
        return self._link.available

    def silence(self, sender: str) -> float:
        """See `Bus`."""
        return time.monotonic() - self._heard.get(sender, -inf)

    def key(self, *words: str) -> str:
        """The name of a key of the bus in Redis."""
        return ":".join([f"{self._link.prefix}bus", *words])

    def once(self, script: Script, keys: Sequence[str], arguments: Arguments) -> asyncio.Future[Any]:
        """The answer of Redis, or None."""
        return self._link.ask(script, keys, arguments, CALL_SECONDS)

    async def ask(self, script: Script, keys: Sequence[str], arguments: Arguments) -> list[Any]:
        """The answer of Redis, however long it takes."""
        while True:
            answer = await self.once(script, keys, arguments)
            if isinstance(answer, list):
                return answer
            await asyncio.sleep(AWAY_SECONDS)

    # Sending.

    async def _send_all(self) -> None:
        while True:
            await self.queue.wanted.wait()
            self._sending = self.queue.take()
            while self._sending:
                if await self._sent(self._sending):
                    self._sending = ()
                else:
                    await asyncio.sleep(AWAY_SECONDS)

    async def _sent(self, letters: Sequence[Letter]) -> bool:
        """Whether Redis has them now; they are all of one kind."""
        oldest = time.monotonic() - LATEST_SECONDS
        timely = [letter for letter in letters if letter.key is not None or letter.written >= oldest]
        if late := len(letters) - len(timely):
            self.counts.drop(letters[0].kind, "late", "Redis was away for a minute", late)
        return not timely or await self._delivered(timely)

    async def _delivered(self, letters: Sequence[Letter]) -> bool:
        now, kind = time.monotonic(), letters[0].kind
        waiting = [(letter, round((now - letter.written) * 1000)) for letter in letters]
        if letters[0].key is not None:
            return await self._kept(kind, waiting)
        arguments: list[str | int | bytes] = [MOST, MOST_BYTES]
        for letter, waited in waiting:
            arguments += [waited, letter.data]
        unread = await self.once(scripts.SEND, [self.key(kind), self.key(kind, "bytes")], arguments)
        if not isinstance(unread, int):
            return False
        self.counts.publish(kind, len(letters))
        if unread:
            self.counts.drop(kind, "unread", f"{unread} were not read in time, and Redis keeps no more", unread)
        return True

    async def _kept(self, kind: str, waiting: Sequence[tuple[Letter, int]]) -> bool:
        arguments: list[str | int | bytes] = [self.name, round(LIFE_SECONDS * 1000), MOST_KEYS, MOST_KEYED_BYTES]
        for letter, waited in waiting:
            arguments += [letter.key or "", waited, letter.data]
        keys = [self.key(kind), self.key(kind, "keys"), self.key("senders"), self.key(kind, "bytes")]
        answer = await self.once(scripts.KEEP, keys, arguments)
        if not isinstance(answer, list) or len(answer) != len(waiting):
            return False
        for (letter, _), taken in zip(waiting, answer, strict=True):
            key = letter.key or ""
            self._spoken_for.discard(key)
            if taken == 1:
                self.counts.publish(kind)
            elif taken == 0:
                self._spoken_for.add(key)
            else:
                self.counts.drop(kind, "keys", f"Redis has {MOST_KEYS} services already, or no more room for them")
        return True

    # Who lives.

    async def _live(self) -> None:
        keys = [self.key("senders"), self.key("name")]
        for kind in KEYED:
            keys += [self.key(kind), self.key(kind, "keys")]
        while True:
            name, *senders = await self.ask(
                scripts.LIVE, keys, [self.name, round(FORGOTTEN_SECONDS * 1000), secrets.token_hex(8)]
            )
            now = time.monotonic()
            self._heard = {
                sender.decode(errors="replace"): now - int(age) / 1000
                for sender, age in zip(senders[::2], senders[1::2], strict=True)
            }
            speakers = frozenset(each for each, heard in self._heard.items() if now - heard < LIFE_SECONDS)
            lost = self._known not in (name, b"")
            if lost or (self._spoken_for and self._speakers - speakers):
                self.losses += 1
            self._known, self._speakers = name, speakers
            await asyncio.sleep(SIGN_SECONDS)


class _Followed:
    """All messages of one kind, for this process."""

    def __init__(self, bus: RedisBus, delivery: Delivery, inbox: Inbox) -> None:
        self._bus = bus
        self._delivery = delivery
        self._inbox = inbox
        self._name = b""
        self._position = b""
        self._task = bus.tasks.supervise(f"reading messages {delivery.kind} of others", self._run)

    def end(self) -> None:
        """See `Subscription`."""
        self._inbox.end()
        self._task.cancel()

    async def _run(self) -> None:
        kind = self._delivery.kind
        back = 0 if kind in KEYED else round(LATEST_SECONDS * 1000)
        keys = [self._bus.key(kind), self._bus.key("name")]
        while True:
            arguments: Arguments = [
                self._name,
                self._position,
                back,
                MAX_BYTES,
                ANSWER_BYTES,
                secrets.token_hex(8),
            ]
            name, *entries = await self._bus.ask(scripts.FOLLOW, keys, arguments)
            if name != self._name:
                self._name, self._position = name, b""
            for id, age, data in entries:
                await self._delivery.take(data, int(age) / 1000)
                self._position = id
            if not entries:
                await asyncio.sleep(POLL_SECONDS)


class _Shared:
    """The messages of one kind that come to this process, of those of a group."""

    def __init__(self, bus: RedisBus, delivery: Delivery, group: str) -> None:
        self._bus = bus
        self._delivery = delivery
        self._group = group
        self._claimed = -inf  # when that was last looked for
        self._task = bus.tasks.supervise(f"reading messages {delivery.kind}", self._run)

    def end(self) -> None:
        """See `Subscription`. What was not handled goes to another process of the group."""
        self._task.cancel()

    async def _run(self) -> None:
        keys = [self._bus.key(self._delivery.kind)]
        while True:
            if time.monotonic() - self._claimed >= CLAIM_SECONDS:
                await self._claim(keys)
            arguments: Arguments = [self._group, self._bus.name, MAX_BYTES, ANSWER_BYTES]
            entries = await self._bus.ask(scripts.SHARE, keys, arguments)
            await self._handle(keys, entries)
            if not entries:
                await asyncio.sleep(POLL_SECONDS)

    async def _claim(self, keys: Sequence[str]) -> None:
        limits: Arguments = [round(IDLE_SECONDS * 1000), ATTEMPTS, MAX_BYTES, round(CONSUMER_SECONDS * 1000)]
        lost, *entries = await self._bus.ask(scripts.CLAIM, keys, [self._group, self._bus.name, *limits])
        if lost:
            why = f"{lost} were not handled in time, or ended a process {ATTEMPTS} times"
            self._bus.counts.drop(self._delivery.kind, "unhandled", why, lost)
        await self._handle(keys, entries)
        if not entries:
            self._claimed = time.monotonic()

    async def _handle(self, keys: Sequence[str], entries: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        for _, age, data in entries:
            await self._delivery.take(data, int(age) / 1000)
        if entries:
            await self._bus.once(scripts.DONE, keys, [self._group, *(id for id, _, _ in entries)])
