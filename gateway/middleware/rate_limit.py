"""How many requests in a time: counts each request in all rate limits of its route, and refuses what is over one (429).

All limits of a route that stand in one place are decided together. Those that are counted in this process come first,
because they cost nothing; what they have counted is given back where a later one refuses. Those that are counted in
Redis with every request are asked in one call. A limit in shadow mode refuses nothing, adds no headers to responses,
and counts what fits.

Responses have the fields of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy: "name";q=10;w=1` is what holds,
and `RateLimit: "name";r=7;t=1` says that 7 would pass at once, and one more in at most a second. A limit of several
windows has an item for each, named after the length of its window. No partition keys (`pk`) are sent: they would show
how clients are distinguished.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.algorithms import gcra
from gateway.algorithms.gcra import NANOSECONDS
from gateway.auth.api_key import KeyHolder
from gateway.config.models import Configuration, RouteConfig
from gateway.config.models.rate_limits import RateLimit as RateLimitConfig
from gateway.config.problems import Problem
from gateway.context import Builder, Context
from gateway.driver import in_task
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Headers, Response
from gateway.http.answers import answer_with
from gateway.http.decisions import deny
from gateway.limits.exact import Bid, ExactStore
from gateway.limits.keys import Key, headers_of
from gateway.limits.memory import Arrivals, MemoryStore
from gateway.limits.rate_limit import RateLimit, exact_store, rate_limits_of
from gateway.limits.store import LocalStore, Taken
from gateway.limits.table import Table
from gateway.limits.windows import Field, WindowSet
from gateway.middleware.declaration import Declaration, Read, Rules
from gateway.outside.patience import LoopTime, Patience
from gateway.outside.redis_link import RedisLink

RETRY_SECONDS: Final = 1  # for clients that are refused because the store is down


@dataclass(frozen=True, slots=True, repr=False)
class RateLimits:
    """All rate limits of one route: `local` ones have a store in this process, `remote` ones ask `exact`."""

    local: tuple[RateLimit, ...]
    remote: tuple[RateLimit, ...]
    link: RedisLink | None
    exact: ExactStore | None

    def wrap(self, handler: Handler) -> Handler:
        """A handler that refuses what is over a limit, and reports to the client what is left."""

        async def limited(exchange: Exchange) -> Response:
            request = _Request(exchange, self.link)
            try:
                for limit in self.local:
                    if not request.count(limit):
                        await request.wait(limit)
                if self.exact is not None:
                    await request.count_remotely(self.remote, self.exact)
            except GatewayError:
                request.give_back()
                raise
            return await answer_with(handler, exchange, request.fields)

        if len(self.local) == 1 and not self.remote and self.local[0].mode == "enforce":
            return self._only(self.local[0], handler, limited)
        return limited

    def _only(self, limit: RateLimit, handler: Handler, otherwise: Handler) -> Handler:
        """One limit that is counted in this process, as most are: nothing is to be decided together, or given back."""
        store, key, cost = limit.store, limit.key, limit.cost
        assert store is not None
        same_for_all = not limit.tiers and not limit.consumers
        memory = store if limit.by_consumer and isinstance(store, MemoryStore) else None

        async def limited(exchange: Exchange) -> Response:
            identity = exchange.identity
            windows = limit.windows if same_for_all else limit.windows_for(identity)
            now = time.monotonic_ns()
            if memory is not None and isinstance(identity, KeyHolder):
                slot = identity.slot if identity.era is memory.table.era else None
                if not isinstance(slot, Arrivals):
                    slot = _found(memory.table, identity, key, exchange, now)
                taken: Taken | None = memory.count(slot, windows, cost, now)
            else:
                taken = store.take(key(exchange), windows, cost, now)
            if taken is None:
                return await otherwise(exchange)
            if not taken.fits:
                deny(exchange, limit.rule, _used_up(limit, windows, taken, limit.cost))
            exchange.counted += ((limit.rule, windows, taken.debts),)
            lines = fields_passed(windows, taken.debts)
            try:
                response = await handler(exchange)
            except GatewayError as error:
                error.headers += lines
                raise
            response.headers += lines
            return response

        return limited

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The expected decision of limits in this process; those in Redis are not called."""
        states = []
        for limit in (*self.local, *self.remote):
            windows, store = limit.windows_for(exchange.identity), limit.store
            if store is None:
                states.append(f"{limit.name}: counted in Redis, which is not asked")
                continue
            debts = store.peek(limit.key(exchange), windows, time.monotonic_ns())
            if windows.violated(debts, limit.cost):
                verdict = Decision(limit.rule, "deny", f"{', '.join(windows.violated(debts, limit.cost))} is used up")
                return verdict if limit.mode == "enforce" else Decision(limit.rule, "shadow-deny", verdict.reason)
            states.append(f"{limit.name}: {windows.left(debts)} are left")
        return Decision(f"rate_limit:{self._names()}", "allow", "; ".join(states))

    def __repr__(self) -> str:
        return f"RateLimits({self._names()})"

    def _names(self) -> str:
        return ",".join(limit.name for limit in (*self.local, *self.remote))


def for_route(context: Context, route: RouteConfig, *, names: Collection[str] | None = None) -> RateLimits | None:
    """The rate limits of a route, if it has any: those of these names, or all."""
    limits = list(rate_limits_of(context, route, names))
    if not limits:
        return None
    remote = tuple(limit for limit, _ in limits if limit.store is None)
    return RateLimits(
        local=tuple(limit for limit, _ in limits if limit.store is not None),
        remote=remote,
        exact=exact_store(context) if remote else None,
        link=next((link for _, link in limits if link is not None), None),
    )


class _Request:
    """One request on its way through the limits: what was counted, and what its response will say."""

    __slots__ = ("_counted", "_exchange", "_link", "_patience", "fields")

    def __init__(self, exchange: Exchange, link: RedisLink | None) -> None:
        self.fields: Headers = []
        self._exchange = exchange
        self._link = link
        self._patience: Patience | None = None
        self._counted: list[tuple[LocalStore, str, WindowSet, int]] = []

    def count(self, limit: RateLimit) -> bool:
        """In a store of this process. False: it must wait for that. Raises GatewayError."""
        exchange, store = self._exchange, limit.store
        assert store is not None
        windows, key = limit.windows_for(exchange.identity), limit.key(exchange)
        taken = store.take(key, windows, limit.cost, time.monotonic_ns())
        if taken is None:
            return False
        self._decide(limit, store, key, windows, taken)
        return True

    async def wait(self, limit: RateLimit) -> None:
        """The same, when it must wait. Raises GatewayError."""
        await in_task()  # which Redis and its client need
        exchange, store = self._exchange, limit.store
        assert store is not None
        windows, key = limit.windows_for(exchange.identity), limit.key(exchange)
        taken = await store.ask(key, windows, limit.cost, self._remaining())
        if taken is None:
            self._without_store(limit, key, windows)
        else:
            self._decide(limit, store, key, windows, taken)

    async def count_remotely(self, limits: tuple[RateLimit, ...], store: ExactStore) -> None:
        """In Redis, in one call for all of them. Raises GatewayError."""
        await in_task()
        exchange = self._exchange
        bids = [
            Bid(
                limit.name,
                limit.key(exchange),
                limit.windows_for(exchange.identity),
                limit.cost,
                limit.mode == "enforce",
            )
            for limit in limits
        ]
        answers = await store.take(bids, self._remaining())
        if answers is None:
            for limit, bid in zip(limits, bids, strict=True):
                self._without_store(limit, bid.key, bid.windows)
        else:
            now = time.monotonic_ns()
            for limit, bid, taken in zip(limits, bids, answers, strict=True):
                if limit.fallback is not None:
                    limit.fallback.learn(bid.key, bid.windows, taken.debts, now)
                self._decide(limit, None, bid.key, bid.windows, taken)

    def _remaining(self) -> Patience:
        """How long this request may still wait for Redis."""
        if self._patience is None:
            self._patience = Patience(LoopTime(0.0), 0.0) if self._link is None else self._link.patience()
        return self._patience

    def _without_store(self, limit: RateLimit, key: str, windows: WindowSet) -> None:
        """Redis does not answer: do what the limit says for that."""
        if limit.on_failure == "closed":
            again = ((b"retry-after", b"%d" % RETRY_SECONDS),)
            detail = f"the store of the limit {limit.name} does not answer"
            error = GatewayError(ErrorKind.STORE_UNAVAILABLE, detail, headers=again)
            deny(self._exchange, limit.rule, error, limit.mode)
        elif limit.fallback is not None:
            now = time.monotonic_ns()
            if limit.store is not None:
                limit.fallback.learn(key, windows, limit.store.peek(key, windows, now), now)
            cost = self._of_share(limit.cost, windows)
            taken = limit.fallback.take(key, windows, cost, now)
            self._decide(limit, limit.fallback, key, windows, taken, cost)

    def _of_share(self, cost: int, windows: WindowSet) -> int:
        """The cost of a request while no replica knows what the others let pass: as if each of them had one, too. A
        limit that is less than that leaves each of them one request."""
        replicas = self._link.replicas if self._link is not None else 1
        most = min(capacity // interval for _, interval, capacity in windows.intervals)
        return max(cost, min(cost * replicas, most))

    def _decide(
        self,
        limit: RateLimit,
        store: LocalStore | None,
        key: str,
        windows: WindowSet,
        taken: Taken,
        cost: int | None = None,
    ) -> None:
        if taken.fits:
            if store is not None:
                self._counted.append((store, key, windows, limit.cost if cost is None else cost))
            self._exchange.counted += ((limit.rule, windows, taken.debts),)
            if limit.mode == "enforce":
                self.fields += fields_passed(windows, taken.debts)
            return
        error = _used_up(limit, windows, taken, limit.cost if cost is None else cost)
        deny(self._exchange, limit.rule, error, limit.mode)

    def give_back(self) -> None:
        """Another limit refuses the request: undo what was counted."""
        now = time.monotonic_ns()
        for store, key, windows, cost in self._counted:
            store.give_back(key, windows, cost, now)


def _found(table: Table[Arrivals], holder: KeyHolder, key: Key, exchange: Exchange, now: int) -> Arrivals:
    """The slot of a caller with a key, who remembers it: to find one of 100,000 by name takes longer."""
    name = key(exchange)
    slot = table.slot(name, now)
    if table.by_key.get(name) is slot:  # and not the one that newcomers share
        holder.remember(slot, table.era)
    return slot


def fields_passed(windows: WindowSet, debts: Sequence[int]) -> tuple[Field, Field]:
    """The fields of a response, when so much is owed after the request."""
    items: list[str] = []
    for index, owed in enumerate(debts):
        # gcra.remaining and gcra.until_next in one: this is done for every request.
        _, interval, capacity = windows.intervals[index]
        room = capacity - owed
        seconds = -(-min(owed, interval - room % interval) // NANOSECONDS)
        items.append(f"{windows.prefixes[index]}{room // interval};t={seconds}")
    return windows.policy, (b"ratelimit", ", ".join(items).encode())


def fields_refused(windows: WindowSet, debts: Sequence[int], cost: int) -> tuple[int, tuple[Field, ...]]:
    """Seconds until a request of this cost would pass, and the fields of its refusal.

    Only windows that refused have a `t`: Retry-After must not come before any of them, and windows that had room do not
    matter to when to come back.
    """
    items, after = [], 1
    for prefix, (_, interval, capacity), owed in zip(windows.prefixes, windows.intervals, debts, strict=True):
        item = f"{prefix}{gcra.remaining(owed, interval, capacity)}".encode()
        waiting = gcra.whole_seconds(gcra.wait(owed, interval, capacity, cost))
        if waiting:
            item += b";t=%d" % gcra.whole_seconds(gcra.until_next(owed, interval, capacity))
            after = max(after, waiting)
        items.append(item)
    return after, (windows.policy, (b"ratelimit", b", ".join(items)), (b"retry-after", b"%d" % after))


def _used_up(limit: RateLimit, windows: WindowSet, taken: Taken, cost: int) -> GatewayError:
    after, fields = fields_refused(windows, taken.debts, cost)
    over = " and ".join(windows.violated(taken.debts, cost)) or "its share"
    detail = f"the limit {limit.name} ({over}) is used up; again in {after} s"
    members = {"violated-policies": windows.violated_policies(taken.debts, cost)}
    return GatewayError(ErrorKind.QUOTA_EXCEEDED, detail, headers=fields, members=members)


def _builders(context: Context, alone: Collection[str]) -> tuple[Mapping[str, Builder], list[Problem]]:
    rest = context.configuration.middleware.rate_limits.keys() - alone
    builders: dict[str, Builder] = {name: partial(for_route, names={name}) for name in alone}
    return builders | {"": partial(for_route, names=rest)}, []


def _asks_who_calls(config: RateLimitConfig) -> bool:
    parts = {part.partition(":")[0] for part in config.key}
    return bool(config.tiers) or not parts.isdisjoint(("consumer", "tenant", "claim"))


def _reads(configuration: Configuration, route: RouteConfig) -> Iterator[Read]:
    return headers_of(configuration.middleware.rate_limits.values(), route)


DECLARATION: Final[Declaration] = Declaration(
    "rate_limits",
    Rules(_builders, _asks_who_calls),
    behind={"authentication": "limits by consumer or tenant count addresses instead"},
    reads=_reads,
    compiled=True,
    by_hand=True,
)
