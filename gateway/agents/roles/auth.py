"""The role auth: what the gateway decided goes to the agent monitor, as does what it would decide about requests of the
agent router. That one gets no answer: there is no topic for it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from gateway.agents.link import Received, shown
from gateway.agents.node import Node
from gateway.agents.payloads import AuthRequest
from gateway.agents.pieces import in_pieces
from gateway.agents.verifying import Verifier
from gateway.events import RequestReport
from gateway.live import Tasks

TOPIC: Final = "access-log"
ROUND_SECONDS: Final = 0.2  # in which decisions are said together
MOST_SECOND: Final = 200  # of decisions
MOST_REMEMBERED: Final = 10_000  # request ids of which one side alone was heard
UNKNOWN: Final = "unknown"  # the client of an unauthenticated request


class Auth:
    """See `RoleWork`."""

    def __init__(self, node: Node, verifier: Verifier) -> None:
        self.tasks = Tasks()
        self._node = node
        self._verifier = verifier
        self._ahead: OrderedDict[str, int] = OrderedDict()  # how often the gateway was heard more than the agent
        self._waiting: deque[dict[str, Any]] = deque()
        self._second, self._taken = 0, 0

    def begin(self) -> None:
        """See `RoleWork`."""
        self._node.side.subscribe(RequestReport, self.handle)
        self.tasks.supervise("publishing decisions to the network", self._run)

    async def take(self, received: Received) -> None:
        """See `RoleWork`."""
        async for message in in_pieces(self._node.news(received)):
            if not isinstance(message, AuthRequest):
                continue
            began = time.perf_counter()
            verdict = await self._verifier.verdict(message)
            if verdict is None:
                self._node.notes["not_verifiable"] += 1
                continue
            allowed, client = verdict
            self._node.notes["allowed" if allowed else "denied"] += 1
            took = round((time.perf_counter() - began) * 1000, 3)
            if self._is_first(message.request_id, -1):
                self._say(message.request_id, client or UNKNOWN, "allow" if allowed else "deny", took)

    def counts(self) -> Mapping[str, int]:
        """See `RoleWork`."""
        return self._node.notes

    async def handle(self, report: RequestReport) -> None:
        sample = self._node.settings.sample
        wanted = sample >= 1 or _share(report.request_id) < sample
        if wanted and self._is_first(report.request_id, 1):
            self._say(report.request_id, report.client, report.decision, report.latency_ms)

    def _is_first(self, request_id: str, side: int) -> bool:
        """Whether the other side was not heard about a request: 1 is the gateway, -1 the agent. What one side says
        twice are two requests, since a client may choose their id."""
        ahead = self._ahead.pop(request_id, 0)
        if ahead + side:
            self._ahead[request_id] = ahead + side
        if len(self._ahead) > MOST_REMEMBERED:
            self._ahead.popitem(last=False)
        return ahead * side >= 0

    def _say(self, request_id: str, client: str, decision: str, latency_ms: float) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        if self._taken > MOST_SECOND:
            self._node.dropped[TOPIC] += 1
            return
        fields = {"request_id": request_id, "client": shown(client), "decision": decision, "latency_ms": latency_ms}
        self._waiting.append(fields)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            waiting, self._waiting = list(self._waiting), deque()
            await self._node.send_all("monitor", TOPIC, waiting)


def _share(request_id: str) -> float:
    """From 0 to 1, the same for one request everywhere."""
    digest = blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest) / 2**32
