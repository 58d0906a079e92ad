"""Gateways that talk to this process: who they are, what they said, what is wanted of them, and their open lines.

`run` keeps it in order: it writes what was said, looks for what has changed in the database, whichever replica changed
it, and closes lines whose token holds no more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import defer

from gateway.control_messages import Heartbeat, Wanted
from gateway.control_plane.database.connection import Database, DatabaseUnavailable
from gateway.control_plane.database.tables import GatewayToken, Revision
from gateway.control_plane.events import Event
from gateway.control_plane.heartbeats import Heartbeats
from gateway.control_plane.lines import GONE, REVOKED, Line
from gateway.control_plane.tokens import GatewayCaller, find, hash_of
from gateway.control_plane.wanted_revisions import WantedRevisions, policy_of
from gateway.outside.throttled_log import ThrottledLog

if TYPE_CHECKING:
    from gateway.control_plane.plane import Plane

logger = logging.getLogger("gateway.control_plane")

TURN_SECONDS: Final = 1.0
SHORTEST_TURN: Final = 0.05
SWEEP_SECONDS: Final = 300.0
KNOWN_SECONDS: Final = 60.0  # for which a token that was found is not looked up again: `check_tokens` looks for all
CHECK_SECONDS: Final = 3.5  # between two looks at all tokens that are used
OVERLAP: Final = timedelta(seconds=60)  # by which clocks of replicas may differ
MOST_KNOWN: Final = 20_000
DRIFT: Final = timedelta(seconds=60)  # from which on another revision than wanted is drift
AT_ONCE: Final = 500  # tokens in one query
MOST_LINES: Final = 100  # of one gateway
ASK_SECONDS: Final = 300.0  # after which a gateway is asked for its own files again
_NO_FILES: Final = (defer(Revision.files),)


class Channel:
    """All of them, in one process. On the loop."""

    def __init__(self) -> None:
        self.heartbeats = Heartbeats()
        self.wanted = WantedRevisions()
        self.lines: defaultdict[UUID, set[Line]] = defaultdict(set)  # by gateway
        self._checked = -CHECK_SECONDS
        self._known: dict[str, tuple[GatewayCaller, float]] = {}  # by hash of the token; until when (loop time)
        self._asked: dict[UUID, tuple[str | None, float]] = {}  # for its files: which, and when

    async def caller(self, database: Database, token: str, now: datetime) -> GatewayCaller | None:
        """The caller with this token; None if it is not valid. Raises DatabaseUnavailable."""
        key, at = hash_of(token), time.monotonic()
        known = self._known.get(key)
        if known is not None and at < known[1] and (known[0].expires_at is None or now < known[0].expires_at):
            return known[0]
        self._known.pop(key, None)
        async with database.reading() as session:
            found = await find(session, token, now)
        if found is not None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = found, at + KNOWN_SECONDS
        return found

    async def heard(self, plane: Plane, caller: GatewayCaller, heartbeat: Heartbeat) -> Wanted:
        """Keep a heartbeat, and answer it. Raises DatabaseUnavailable."""
        wanted = await self.wanted.of(plane.database, caller.gateway)
        now = plane.now()
        seen = await self.heartbeats.take(plane.database, caller, heartbeat, wanted.digest, now)
        answer = wanted.answer
        own, drifted = seen.source == "local file" and seen.error is None, has_drifted(seen.drifted_since, now)
        asks = own and (drifted or wanted.digest is None) and self._may_ask(caller.gateway, seen.revision)
        if not drifted and not asks:
            return answer
        async with plane.database.reading() as session:
            policy = await policy_of(session, caller.gateway)
            unknown = await session.get(Revision, (caller.organization, seen.revision), options=_NO_FILES) is None
        # One that could not take the revision is not asked to do it again.
        changes = {"reapply": own and drifted and policy == "reapply", "upload": asks and unknown}
        return answer.model_copy(update={"drift_policy": policy, **changes})

    def _may_ask(self, gateway: UUID, revision: str | None) -> bool:
        """Whether it is time to ask a gateway for its own files, which have this digest: they are compared with what is
        wanted, and are what it goes back to from its first revision."""
        at = time.monotonic()
        former, asked = self._asked.get(gateway, (None, 0.0))
        if former == revision and at - asked < ASK_SECONDS:
            return False
        if len(self._asked) >= MOST_KNOWN:
            self._asked.clear()
        self._asked[gateway] = revision, at
        return True

    def open(self, line: Line) -> bool:
        """Whether there is room for this line; it is then among them until `closed`."""
        lines = self.lines[line.caller.gateway]
        if len(lines) >= MOST_LINES:
            return False
        lines.add(line)
        return True

    def closed(self, line: Line) -> None:
        """The connection is closed."""
        lines = self.lines[line.caller.gateway]
        lines.discard(line)
        if not lines:
            del self.lines[line.caller.gateway]

    def revoked(self, token: str) -> None:
        """Close the connections that use the token with this id, which is no longer valid."""
        self._known = {key: known for key, known in self._known.items() if known[0].token != token}
        for line in [line for lines in self.lines.values() for line in lines if line.caller.token == token]:
            line.end(*REVOKED)

    def forget(self, gateway: UUID) -> None:
        """The gateway was deleted."""
        self._known = {key: known for key, known in self._known.items() if known[0].gateway != gateway}
        for line in list(self.lines.get(gateway, ())):
            line.end(*GONE)
        self.heartbeats.forget(gateway)
        self.wanted.forget(gateway)

    async def check_tokens(self, database: Database, now: datetime) -> None:
        """Close the connections of tokens that are no longer valid, also where another replica revoked them.
        Raises DatabaseUnavailable."""
        lately = select(GatewayToken.id).where(GatewayToken.revoked_at > now - OVERLAP)
        async with database.reading() as session:
            revoked = (await session.scalars(lately)).all()
        used = self._used() if revoked or time.monotonic() - self._checked >= CHECK_SECONDS else set()
        for token in used.intersection(revoked):
            self.revoked(token)
        if time.monotonic() - self._checked >= CHECK_SECONDS:
            self._checked = time.monotonic()
            await self._check_all(database, sorted(used.difference(revoked)), now)

    async def _check_all(self, database: Database, used: Sequence[str], now: datetime) -> None:
        for start in range(0, len(used), AT_ONCE):
            some = used[start : start + AT_ONCE]
            query = select(GatewayToken.id).where(
                GatewayToken.id.in_(some),
                GatewayToken.revoked_at.is_(None),
                GatewayToken.expires_at.is_(None) | (GatewayToken.expires_at > now),
            )
            async with database.reading() as session:
                held = set((await session.scalars(query)).all())
            for token in some:
                if token not in held:
                    self.revoked(token)

    def _used(self) -> set[str]:
        lines = {line.caller.token for lines in self.lines.values() for line in lines}
        return lines | {caller.token for caller, _ in self._known.values()}


def has_drifted(since: datetime | None, now: datetime) -> bool:
    """Whether a gateway has run another revision than wanted for so long that it is drift."""
    return since is not None and now - since > DRIFT


async def run(plane: Plane) -> None:
    """Keep the channel in order until the process ends."""
    woken, swept = asyncio.Event(), time.monotonic()
    troubles = ThrottledLog(logger.warning, 30.0)
    channel = plane.channel

    def heard(event: Event) -> None:
        woken.set()
        if event.kind == "gateway.deleted" and event.gateway is not None:
            channel.forget(event.gateway)

    end = plane.events.subscribe(heard)
    try:
        while True:
            woken.clear()
            try:
                await plane.channel.heartbeats.flush(plane.database)
                await plane.channel.wanted.refresh(plane.database)
                await plane.channel.check_tokens(plane.database, plane.now())
                if time.monotonic() - swept > SWEEP_SECONDS:
                    swept = time.monotonic()
                    await channel.heartbeats.sweep(plane.database, plane.now())
                    await channel.wanted.sweep(plane.database)
            except DatabaseUnavailable as error:
                troubles.line("gateways are not heard of for a while: %s", error)
            await asyncio.sleep(SHORTEST_TURN)
            try:
                async with asyncio.timeout(TURN_SECONDS - SHORTEST_TURN):
                    await woken.wait()
            except TimeoutError:
                continue
    finally:
        end()
