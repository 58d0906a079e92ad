"""Which alerts fired, from when to when: the input of a summary."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from gateway.monitor.alerts.board import Board
from gateway.monitor.alerts.notices import subject_of
from gateway.monitor.alerts.states import Alert, Key, State
from gateway.monitor.alerts.summary import Incident

MOST: Final = 500  # that are over


class Incidents:
    """Those that go on, and the last ones that are over."""

    def __init__(self) -> None:
        self.changed = False  # since the caller reset it to False
        self._begun: dict[Key, Incident] = {}
        self._over: deque[Incident] = deque(maxlen=MOST)

    def follow(self, board: Board, now: float, offset: float) -> list[Alert]:
        """See what has begun, and what is over, which is answered. `offset` makes Unix time of the times of alerts."""
        changed: list[Alert] = []
        firing = {alert.key: alert for alert in board.firing()}
        for key in [key for key in self._begun if key not in firing]:
            begun, over = self._begun.pop(key), board.alerts.get(key)
            ended = over.ended if over is not None and over.state is State.RESOLVED else now
            self._over.append(Incident(begun.what, begun.since, ended + offset))
            changed.append(over if over is not None and over.ended else Alert(key, State.RESOLVED, ended=now))
        for key, alert in firing.items():
            if key not in self._begun:
                self._begun[key] = _incident(alert, offset)
                changed.append(alert)
        self.changed = self.changed or bool(changed)
        return changed

    def restore(self, over: Iterable[Incident], board: Board, offset: float) -> None:
        """Go on behind what there was before a restart."""
        self._over.extend(each for each in over if each.until is not None)
        self._begun = {alert.key: _incident(alert, offset) for alert in board.firing()}

    def over(self) -> list[Incident]:
        """Those that are over, the oldest first."""
        return list(self._over)

    def since(self, at: float) -> list[Incident]:
        """Those of which something was after this Unix time."""
        return [*(each for each in self._over if each.until is not None and each.until >= at), *self._begun.values()]


def _incident(alert: Alert, offset: float) -> Incident:
    what = f"{alert.key.rule} ({alert.key.severity}): {subject_of(alert.key)}"
    return Incident(what, alert.since + offset, None)
