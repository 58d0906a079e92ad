"""Counts in Redis without asking it: a replica spends its lease ahead, and settles in the background.

How many pass too many at most, and why, is said in `algorithms.leases`: in any stretch of t seconds at most
burst + t * rate + (R - 1) * max(1, burst // (2 * R)) with R replicas. R is what Redis last said (once a second); a
replica that has only just come is not in it yet. A request that is over its replica's lease is not refused for
that: it waits for the settlement that is under way, at most the time limit of Redis.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from gateway.algorithms.leases import Account
from gateway.limits.exact import redis_keys
from gateway.limits.scripts import SETTLE
from gateway.limits.store import Taken
from gateway.limits.table import MOST_KEYS, Table
from gateway.limits.windows import WindowSet
from gateway.live import Supervised, Tasks
from gateway.outside.patience import Patience
from gateway.outside.redis_link import RedisLink

BATCH = 256  # keys in one call
PAUSE_SECONDS = 0.002  # between two settlements, in which more is collected
RETRY_SECONDS = 0.05  # after one that failed


class _Lease:
    """An account, and the windows that it was last used with."""

    __slots__ = ("account", "key", "windows")

    def __init__(self, key: str, shared: _Lease | None) -> None:
        self.key = key
        self.account: Account = Account(None if shared is None else shared.account)
        self.windows: WindowSet | None = None


class LeasedStore:
    """One limit, for `most` keys (see Table for what happens beyond)."""

    def __init__(self, name: str, link: RedisLink, most: int = MOST_KEYS) -> None:
        self.table: Table[_Lease] = Table(_Lease, _idle, most)
        self._name = name
        self._link = link
        self._unsettled: dict[str, _Lease] = {}
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[bool | None]] = []  # for the settlement that is under way
        self._settled = 0
        self.tasks = Tasks()
        self._settling: Supervised | None = None
        self._stopping = False

    async def start(self) -> None:
        """Begin to settle."""
        self._settling = self.tasks.supervise(f"the settling of the rate limit {self._name}", self._work)

    async def stop(self) -> None:
        """Settle what is left, if Redis answers."""
        self._stopping = True
        self._wanted.set()
        if self._settling is not None:
            await self._settling.finish()

    def take(self, key: str, windows: WindowSet, cost: int, now: int) -> Taken | None:
        """Count a request if it fits, as far as this replica knows. None: Redis is down, or its lease is spent."""
        if not self._link.available:
            return None
        lease = self.table.slot(key, now)
        account, intervals = lease.account, windows.intervals
        if not account.fits(intervals, cost, now):
            return Taken(fits=False, debts=account.debts(intervals, now))
        if not account.within_lease(intervals, cost, self._link.replicas):
            return None
        self._spend(lease, windows, cost, now)
        return Taken(fits=True, debts=account.debts(intervals, now))

    def _spend(self, lease: _Lease, windows: WindowSet, cost: int, now: int) -> None:
        lease.windows = windows
        lease.account.spend(windows.intervals, cost, now)
        if cost:
            self._unsettled[lease.key] = lease
            self._wanted.set()

    async def ask(self, key: str, windows: WindowSet, cost: int, patience: Patience) -> Taken | None:
        """Wait for settlements until the request fits or does not. None: there is none, Redis does not answer, or
        did not the last time.

        Where it is still over its replica's lease when patience ends, it is refused.
        """
        settled = self._settled
        while self._link.answers and not patience.over:
            over: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(over)
            if await patience.wait(over):
                taken = self.take(key, windows, cost, time.monotonic_ns())
                if taken is not None:
                    return taken
        if settled != self._settled and self._link.answers:
            return Taken(fits=False, debts=self.peek(key, windows, time.monotonic_ns()))
        return None

    def give_back(self, key: str, windows: WindowSet, cost: int, now: int) -> None:
        """The request that was counted does not go on."""
        self._spend(self.table.slot(key, now), windows, -cost, now)

    def peek(self, key: str, windows: WindowSet, now: int) -> Sequence[int]:
        """The debt in each window, as far as this replica knows."""
        lease = self.table.peek(key)
        return [0] * len(windows.intervals) if lease is None else lease.account.debts(windows.intervals, now)

    # In the background.

    async def _work(self) -> None:
        done = True
        while not self._stopping or (self._unsettled and done):
            await self._wanted.wait()
            done = await self._settle()
            # Wake those who waited for this settlement.
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(True)
            if not self._unsettled and not self._stopping:
                self._wanted.clear()
            if not self._stopping:
                await asyncio.sleep(PAUSE_SECONDS if done else RETRY_SECONDS)

    async def _settle(self) -> bool:
        """Report to Redis what was spent, and read what all replicas together owe. False: it did not answer."""
        batch = [(lease, _windows(lease), lease.account.collect()) for lease in list(self._unsettled.values())[:BATCH]]
        keys: list[str] = []
        arguments: list[int] = []
        for lease, windows, spent in batch:
            keys += redis_keys(self._link.prefix, self._name, lease.key, windows)
            arguments += [spent * interval for _, interval, _ in windows.intervals]
        answer = await self._link.ask(SETTLE, keys, arguments) if batch else []
        if answer is None:
            return False
        now, at = time.monotonic_ns(), 0
        for lease, windows, _ in batch:
            end = at + len(windows.intervals)
            lease.account.settled(windows.intervals, answer[at:end], now)
            if not lease.account.unsettled:
                del self._unsettled[lease.key]
            at = end
        self._settled += 1
        return True


def _idle(lease: _Lease, now: int) -> bool:
    return lease.account.idle(now)


def _windows(lease: _Lease) -> WindowSet:
    assert lease.windows is not None
    return lease.windows
