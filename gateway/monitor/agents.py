"""How the bridges to an agent network do, as they say themselves: for /health and the metrics of the gateway."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from gateway.bus.bus import Bus, Received, Subscription
from gateway.events import AgentStanding
from gateway.families import Family, counter, gauge

MOST: Final = 32  # bridges
SILENT_SECONDS: Final = 75.0  # of silence, until one counts as disconnected; they report every half a minute at least
FORGOTTEN_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Heard:
    """What a bridge has said last."""

    standing: AgentStanding
    at: float  # time.monotonic()


class AgentStandings:
    """The last word of each bridge."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._heard: dict[str, _Heard] = {}
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._subscription = self._bus.subscribe(AgentStanding, self._take)

    async def stop(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            self._subscription.end()

    def summary(self) -> dict[str, Any]:
        """Their part of `/health` of the admin port, by name."""
        now = time.monotonic()
        return {
            hostname: {
                "role": heard.standing.role,
                "state": self._state(heard, now),
                "heard": f"{now - heard.at:.0f} s ago",
                "problems": list(heard.standing.problems),
                "peers": heard.standing.peers,
                **heard.standing.counts,
            }
            for hostname, heard in sorted(self._heard.items())
        }

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        now = time.monotonic()
        for hostname, heard in sorted(self._heard.items()):
            state = self._state(heard, now)
            if state == "silent":
                yield f"the bridge of the agent {hostname} was last heard of {now - heard.at:.0f} s ago; start it again"
            elif state != "ended":
                for problem in heard.standing.problems:
                    yield f"the bridge of the agent {hostname}: {problem}"

    def metrics(self) -> Iterator[Family]:
        """Metrics of bridges; none if no bridge was ever connected."""
        now = time.monotonic()
        known = {name: heard.standing for name, heard in self._heard.items()}
        connected = {(name,): float(self._state(self._heard[name], now) == "connected") for name in known}
        help = "1 while the bridge of an agent is connected to its network. At 0, /health says what is wrong."
        yield gauge("gateway_agents_connected", help, connected, ("agent",))
        for what, label, help in _COUNTS:
            numbers = {
                (name, key): float(number)
                for name, standing in known.items()
                for key, number in standing.counts.get(what, {}).items()
            }
            yield counter(f"gateway_agents_{what}_total", help, numbers, ("agent", label))

    def _state(self, heard: _Heard, now: float) -> str:
        if heard.standing.state == "ended" or now - heard.at < SILENT_SECONDS:
            return heard.standing.state
        return "silent"

    async def _take(self, message: AgentStanding, received: Received) -> None:
        now = time.monotonic()
        self._heard = {name: heard for name, heard in self._heard.items() if now - heard.at < FORGOTTEN_SECONDS}
        if message.hostname in self._heard or len(self._heard) < MOST:
            self._heard[message.hostname] = _Heard(message, now - received.age)


_COUNTS: Final = (
    ("received", "topic", "Messages of other agents that counted, by agent and topic."),
    ("refused", "reason", "Messages of other agents that did not count, by agent and reason; the audit log has each."),
    ("sent", "topic", "Messages that the bridge of an agent was to send, by topic; some may wait, or be dropped."),
    ("dropped", "topic", "Messages that the bridge of an agent could not send in time, by topic."),
    ("missed", "topic", "Messages that were lost on their way to an agent, by the gaps in their numbers."),
)
