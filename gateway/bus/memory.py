"""The bus in one process: what is published comes to those who want it in the next turns of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.bus.bus import Counts, Handler, LetterWriter, M
from gateway.bus.delivery import Delivery
from gateway.bus.letters import Letter
from gateway.bus.queue import LetterQueue
from gateway.events import Message
from gateway.live import Tasks


class Inbox:
    """The queue of one handler."""

    def __init__(self, delivery: Delivery, counts: Counts, tasks: Tasks, over: Callable[[Inbox], None]) -> None:
        self.delivery = delivery
        self.queue = LetterQueue(counts)
        self._over = over
        self._task = tasks.supervise(f"handling messages {delivery.kind}", self._run)

    def end(self) -> None:
        """See `Subscription`."""
        self._over(self)
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await self.queue.wanted.wait()
            for letter in self.queue.take():
                await self.delivery.take(letter.data, 0.0)
                await asyncio.sleep(0)  # between two of them, requests have their turn


class MemoryBus:
    """See `Bus`. There is no backpressure: a slow handler loses its own oldest messages."""

    name = "this process"
    connected = True
    waiting = 0
    busy = False
    losses = 0

    def __init__(self) -> None:
        self.counts = Counts()
        self.tasks = Tasks()
        self._letters = LetterWriter(self.name, self.counts)
        self._inboxes: list[Inbox] = []
        self._kept = LetterQueue(self.counts)  # the last of each key, for those who come later

    async def stop(self) -> None:
        """Hand over nothing more."""
        await self.tasks.end()

    def letter(self, message: Message) -> Letter | None:
        """See `Bus`."""
        return self._letters.write(message)

    def publish(self, message: Message) -> None:
        """See `Bus`."""
        wanted = message.key is not None or any(inbox.delivery.kind == message.KIND for inbox in self._inboxes)
        letter = self.letter(message) if wanted else None
        if letter is not None:
            self.send(letter)

    def send(self, letter: Letter) -> None:
        """See `Bus`."""
        self.counts.publish(letter.kind)
        if letter.key is not None:
            self._kept.put(letter)
        for inbox in self._inboxes:
            if inbox.delivery.kind == letter.kind:
                inbox.queue.put(letter)

    def retract(self, kind: type[Message], key: str) -> None:
        """See `Bus`."""
        self._kept.remove((kind.KIND, key))

    def subscribe(self, kind: type[M], handle: Handler[M], group: str | None = None) -> Inbox:
        """See `Bus`."""
        inbox = Inbox(Delivery(kind.KIND, handle, self.counts), self.counts, self.tasks, self._inboxes.remove)
        self._inboxes.append(inbox)
        for letter in self._kept:
            if letter.kind == kind.KIND:
                inbox.queue.put(letter)
        return inbox

    def silence(self, sender: str) -> float:
        """See `Bus`."""
        return 0.0
