"""Counts in Redis, one call for all limits of a request: never one too many, whatever the number of replicas.

Requests that come together are asked for in one call, too, so that a burst of them costs Redis and this process little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.limits.keys import digest
from gateway.limits.redis_link import PREFIX, RedisLink
from gateway.limits.scripts import TAKE
from gateway.limits.store import Taken
from gateway.limits.windows import WindowSet

BATCH = 64  # requests in one call: what Redis decides in well under a millisecond


@dataclass(frozen=True, slots=True)
class Bid:
    """One limit of a request: its name, whose request it is, and what it costs."""

    name: str
    key: str
    windows: WindowSet
    cost: int
    enforced: bool


def redis_keys(name: str, key: str, windows: WindowSet) -> list[str]:
    """Where the windows are kept. In braces is what a cluster must keep in one place."""
    tag = f"{PREFIX}limit:{{{name}:{digest(key.encode('utf-8', 'surrogatepass'))}}}"
    return [f"{tag}:{seconds}" for seconds, _, _ in windows.intervals]


class ExactStore:
    """Asks for all requests of one turn of the event loop together."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._waiting: list[tuple[Sequence[Bid], asyncio.Future[list[Taken] | None]]] = []
        self._calls: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Somebody begins to use it."""
        await self._link.start()

    async def stop(self) -> None:
        """Nobody uses it any more."""
        await self._link.stop()

    async def take(self, bids: Sequence[Bid], deadline: float) -> list[Taken] | None:
        """Count a request in all windows of all limits, or in none where one that is enforced refuses.

        None: there is no answer by this loop time.
        """
        if not self._link.available:
            return None
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Taken] | None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append((bids, answer))
        try:
            async with asyncio.timeout_at(deadline):
                return await answer
        except TimeoutError:
            return None

    def _send(self) -> None:
        """Ask for all that are waiting, in as few calls as may be."""
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), BATCH):
            call = asyncio.create_task(self._call(waiting[start : start + BATCH]))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, requests: Sequence[tuple[Sequence[Bid], asyncio.Future[list[Taken] | None]]]) -> None:
        keys: list[str] = []
        arguments: list[int] = []
        for request, (bids, _) in enumerate(requests, 1):
            for limit, bid in enumerate(bids, 1):
                keys += redis_keys(bid.name, bid.key, bid.windows)
                for _, interval, capacity in bid.windows.intervals:
                    arguments += (interval, capacity, bid.cost, request, limit, int(bid.enforced))
        answer = await self._link.call(TAKE, keys, arguments, self._link.deadline())
        at = 0
        for bids, future in requests:
            taken = None if answer is None else [_read(answer, at, bids, number) for number in range(len(bids))]
            at += sum(len(bid.windows.intervals) for bid in bids)
            if not future.done():  # its request may have gone, or waited long enough
                future.set_result(taken)


def _read(answer: Sequence[int], at: int, bids: Sequence[Bid], number: int) -> Taken:
    """What the script says of one limit of a request whose windows begin at `at`."""
    first = at + sum(len(bid.windows.intervals) for bid in bids[:number])
    half = len(answer) // 2
    debts = answer[half + first : half + first + len(bids[number].windows.intervals)]
    return Taken(fits=answer[first] == 1, debts=debts)
