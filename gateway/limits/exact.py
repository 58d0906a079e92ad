"""Counts in Redis, one call for all limits of a request: never one too many, whatever the number of replicas.

Requests that come together are asked for in one call, too, so that a burst of them costs Redis and this process little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.limits.keys import digest
from gateway.limits.scripts import TAKE
from gateway.limits.store import Taken
from gateway.limits.windows import WindowSet
from gateway.outside.patience import Patience
from gateway.outside.redis_link import RedisLink

BATCH = 64  # requests in one call: what Redis decides in well under a millisecond


@dataclass(frozen=True, slots=True)
class Bid:
    """One limit of a request: its name, whose request it is, and what it costs."""

    name: str
    key: str
    windows: WindowSet
    cost: int
    enforced: bool


def redis_keys(prefix: str, name: str, key: str, windows: WindowSet) -> list[str]:
    """Where the windows are kept. In braces is what a cluster must keep in one place."""
    tag = f"{prefix}limit:{{{name}:{digest(key.encode('utf-8', 'surrogatepass'))}}}"
    return [f"{tag}:{seconds}" for seconds, _, _ in windows.intervals]


Answer = asyncio.Future[list[Taken] | None]
Request = tuple[Sequence[Bid], Answer]


class ExactStore:
    """Asks for all requests of one turn of the event loop together."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._waiting: list[Request] = []

    async def take(self, bids: Sequence[Bid], patience: Patience) -> list[Taken] | None:
        """Count a request in all windows of all limits, or in none where one that is enforced refuses.

        None: there is no answer in time.
        """
        if not self._link.available or patience.over:
            return None
        loop = asyncio.get_running_loop()
        answer: Answer = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append((bids, answer))
        # The call itself is limited; a request has a limit of its own where it has waited before.
        return await (patience.wait(answer) if patience.begun else answer)

    def _send(self) -> None:
        """Ask for all that are waiting, in as few calls as may be."""
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), BATCH):
            requests = waiting[start : start + BATCH]
            keys: list[str] = []
            arguments: list[int] = []
            for request, (bids, _) in enumerate(requests, 1):
                for limit, bid in enumerate(bids, 1):
                    keys += redis_keys(self._link.prefix, bid.name, bid.key, bid.windows)
                    for _, interval, capacity in bid.windows.intervals:
                        arguments += (interval, capacity, bid.cost, request, limit, int(bid.enforced))
            self._link.ask(TAKE, keys, arguments).add_done_callback(partial(_answer, requests))


def _answer(requests: Sequence[Request], call: asyncio.Future[Any]) -> None:
    """Pass on what Redis said to those who wait for it."""
    answer, at = call.result(), 0
    for bids, future in requests:
        taken = None if answer is None else [_read(answer, at, bids, number) for number in range(len(bids))]
        at += sum(len(bid.windows.intervals) for bid in bids)
        if not future.done():  # its request may have been cancelled, or timed out
            future.set_result(taken)


def _read(answer: Sequence[int], at: int, bids: Sequence[Bid], number: int) -> Taken:
    """The script's result for one limit of a request whose windows begin at `at`."""
    first = at + sum(len(bid.windows.intervals) for bid in bids[:number])
    half = len(answer) // 2
    debts = answer[half + first : half + first + len(bids[number].windows.intervals)]
    return Taken(fits=answer[first] == 1, debts=debts)
