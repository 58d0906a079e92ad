"""Clients with many refusals among the decisions that the agent auth reports, over one minute each. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from gateway.agents.recent import Recent
from gateway.events import ApiAlert

WINDOW: Final = 60.0  # seconds
DECISIONS: Final = 20  # that are needed to decide
SHARE: Final = 0.5  # of them that are refusals
ENDS: Final = 0.25  # below which that is over
MOST: Final = 1000  # clients
MOST_KEPT: Final = 200  # decisions of one, the last ones
MOST_ALERTS: Final = 10  # that begin in one window: an agent may name any clients


class Anomalies:
    """Learns of decisions, and says when refusals begin to stand out, and when that is over."""

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._clients: OrderedDict[str, Recent] = OrderedDict()
        self._firing: set[str] = set()
        self._began = deque[float](maxlen=MOST_ALERTS)  # when the last alerts began

    def learn(self, client: str, now: float, *, denied: bool) -> ApiAlert | None:
        """One decision."""
        decisions = self._clients.get(client)
        if decisions is None:
            decisions = self._clients[client] = Recent(WINDOW, MOST_KEPT)
        self._clients.move_to_end(client)
        if len(self._clients) > MOST:
            self._firing.discard(self._clients.popitem(last=False)[0])
        decisions.add(now, denied)
        share = decisions.share
        if client not in self._firing and len(decisions) >= DECISIONS and share >= SHARE and self._may_begin(now):
            self._firing.add(client)
            return self._alert(client, "firing", share)
        if client in self._firing and share < ENDS:
            self._firing.discard(client)
            return self._alert(client, "resolved", share)
        return None

    @property
    def clients(self) -> int:
        """How many had decisions lately."""
        return len(self._clients)

    def _may_begin(self, now: float) -> bool:
        if len(self._began) == MOST_ALERTS and self._began[0] > now - WINDOW:
            return False
        self._began.append(now)
        return True

    def _alert(self, client: str, state: str, share: float) -> ApiAlert:
        return ApiAlert.model_validate(
            {
                "alert": "refusals",
                "state": state,
                "severity": "ticket",
                "subject": f"client {client}"[:512],
                "summary": f"{share:.0%} of the requests of {client:.200} in the last minute were refused, "
                f"as {self._hostname} sees it",
                "figures": {"share": round(share, 4)},
            }
        )
