"""The parts that a role of the bridge works with."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from gateway.agents.gateway_side import GatewaySide
from gateway.agents.link import Link, Received, Refused
from gateway.agents.order import Order
from gateway.agents.payloads import MOST, TOGETHER, Payload, Writer
from gateway.config.models.agents import Agents
from gateway.live import Tasks
from gateway.roles import Role

SINGLE: Final = 10  # messages of a second that are sent one by one: each costs both ends, and two daemons
SENT_TOGETHER: Final = 20  # of the rest: what a peer reads in half a millisecond


@dataclass(frozen=True, slots=True)
class Node:
    """One role on the network, and beside a gateway."""

    role: Role
    prefix: str
    hostname: str
    settings: Agents
    link: Link
    side: GatewaySide
    writer: Writer
    order: Order
    sent: Counter[str] = field(default_factory=Counter)  # by topic
    dropped: Counter[str] = field(default_factory=Counter)  # by topic, before the link had them
    refused: Callable[[Refused], None] = lambda _: None  # for the audit log
    notes: Counter[str] = field(default_factory=Counter)  # what else there is to count
    allowance: dict[str, tuple[float, float]] = field(default_factory=dict)  # what may be sent one by one, and when

    async def send(self, role: str, topic: str, fields: Mapping[str, Any]) -> None:
        """Publish one message."""
        await self.send_members(role, topic, self.writer.members(topic, fields))

    async def send_members(self, role: str, topic: str, members: Mapping[str, Any]) -> None:
        """Publish one message that is whole already."""
        await self._publish(role, topic, orjson.dumps(members), 1)

    async def send_all(self, role: str, topic: str, several: Sequence[Mapping[str, Any]]) -> None:
        """Publish what came in one turn: one by one, and together what is more than a peer takes."""
        now = time.monotonic()
        left, at = self.allowance.get(topic, (SINGLE, now))
        left = min(SINGLE, left + (now - at) * SINGLE)
        single = min(len(several), int(left))
        self.allowance[topic] = left - single, now
        for fields in several[:single]:
            await self.send(role, topic, fields)
        for start in range(single, len(several), SENT_TOGETHER):
            some = several[start : start + SENT_TOGETHER]
            await self._send_together(role, topic, [self.writer.members(topic, fields) for fields in some])

    async def _send_together(self, role: str, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """In as many messages as it takes: a few long paths must not take others with them."""
        payload = orjson.dumps({TOGETHER: messages} if len(messages) > 1 else messages[0])
        if len(payload) > MOST and len(messages) > 1:
            half = len(messages) // 2
            await self._send_together(role, topic, messages[:half])
            await self._send_together(role, topic, messages[half:])
        else:
            await self._publish(role, topic, payload, len(messages))

    async def _publish(self, role: str, topic: str, payload: bytes, number: int) -> None:
        if len(payload) > MOST:
            self.dropped[topic] += number
            return
        await self.link.publish(role, topic, payload)
        self.sent[topic] += number

    def news(self, received: Received) -> Sequence[Payload]:
        """The messages that came, without those that are older than what came before."""
        found = list[Payload]()
        for message in received.contents:
            if self.order.is_news(received.hostname, received.topic, message):
                found.append(message)
            else:
                epoch, seq = message.epoch or 0, message.seq or 0
                detail = f"epoch {epoch} and seq {seq} are not above what came before"
                detail += f"; if its clock was ahead, remove order-{self.role}.json and start again"
                if self.order.is_ahead(epoch):
                    detail = f"epoch {epoch} (ms) is more than five minutes ahead of the clock here; correct the clocks"
                self.refused(Refused("replay", received.topic, received.node, received.hostname, detail))
        return found


class RoleWork(Protocol):
    """The work of one role."""

    tasks: Tasks

    def begin(self) -> None:
        """Subscribe to what the gateway says, and begin."""
        ...

    async def take(self, received: Received) -> None:
        """A message of another agent that counts."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Its state, for people."""
        ...
