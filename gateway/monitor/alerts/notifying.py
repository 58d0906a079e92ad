"""Queues changes of alerts for receivers, and tracks sent notices."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.config.models.alert_senders import AlertSender
from gateway.events import ApiAlert
from gateway.monitor.alerts.board import Board
from gateway.monitor.alerts.delivery import Delivery
from gateway.monitor.alerts.grouping import Notification, notifications_due
from gateway.monitor.alerts.notices import Notice, Wording, notice_of
from gateway.monitor.alerts.senders.sender import RESEND_SECONDS
from gateway.monitor.alerts.state import Spoken
from gateway.monitor.alerts.states import Alert, Key, State

MOST_GROUPS: Final = 10  # of one receiver at a time; more become one message
DIGEST: Final = "several rules"  # the group of that
STATE: Final = "state"  # the group of all that an Alertmanager is sent
KEPT_OVER: Final = 300.0  # seconds for which an Alertmanager is sent that one is over


@dataclass(frozen=True, slots=True)
class Receiver:
    """One of the configuration, with its queue."""

    name: str
    config: AlertSender
    delivery: Delivery


class Notifier:
    """Sends the changes of a board to receivers."""

    def __init__(self) -> None:
        self.spoken = Spoken()
        self._states: dict[str, tuple[float, frozenset[Key]]] = {}  # what each Alertmanager was sent, and when

    def notify(
        self,
        receivers: Iterable[Receiver],
        board: Board,
        silenced: Collection[Key],
        repeat: float,
        wording: Wording,
        now: float,
    ) -> None:
        """Put into the queues what is to be sent."""
        firing = board.firing()
        for receiver in receivers:
            takes = [alert for alert in firing if receiver.config.takes(alert.key.severity)]
            if receiver.config.kind == "alertmanager":
                heard = [alert for alert in takes if alert.key not in silenced]
                self._notify_state(receiver, heard, board, silenced, wording, now)
            else:
                notified = self.spoken.notified.setdefault(receiver.name, {})
                self._notify_news(
                    receiver,
                    notifications_due(notified, takes, board.alerts, silenced, repeat, now),
                    board,
                    wording,
                    now,
                )

    def forget(self, names: Collection[str]) -> None:
        """Only these receivers are left."""
        self.spoken.notified = {name: notified for name, notified in self.spoken.notified.items() if name in names}
        self.spoken.summaries = {name: at for name, at in self.spoken.summaries.items() if name in names}
        self._states = {name: state for name, state in self._states.items() if name in names}

    def _notify_news(
        self, receiver: Receiver, notifications: Sequence[Notification], board: Board, wording: Wording, now: float
    ) -> None:
        at = now + wording.offset
        groups: list[tuple[Hashable, Sequence[Notification]]] = [(each.group, [each]) for each in notifications]
        if len(notifications) > MOST_GROUPS:
            groups = [(DIGEST, notifications)]
        for group, several in groups:
            firing = [alert for each in several for alert in each.firing]
            resolved = [alert for each in several for alert in each.resolved]
            more = sum(board.left_out.get(rule, 0) for rule in {each.group.rule for each in several if each.firing})
            notice = notice_of(
                _messages(firing, wording),
                _messages(resolved, wording),
                more,
                repeated=all(each.repeated for each in several),
                link=wording.link,
                at=at,
            )
            receiver.delivery.offer(group, notice)

    def _notify_state(
        self,
        receiver: Receiver,
        firing: Sequence[Alert],
        board: Board,
        silenced: Collection[Key],
        wording: Wording,
        now: float,
    ) -> None:
        """All that fires, and what was over lately: when it changes, and from time to time."""
        over = [
            alert
            for alert in board.alerts.values()
            if alert.state is State.RESOLVED and now - alert.ended < KEPT_OVER and alert.key not in silenced
            if receiver.config.takes(alert.key.severity)
        ]
        keys = frozenset(alert.key for alert in firing)
        at, former = self._states.get(receiver.name, (float("-inf"), frozenset()))
        if keys == former and (now - at < RESEND_SECONDS or not (firing or over)):
            return
        self._states[receiver.name] = now, keys
        notice = Notice("state", "", _messages(firing, wording), _messages(over, wording), at=now + wording.offset)
        receiver.delivery.offer(STATE, notice)


def _messages(alerts: Sequence[Alert], wording: Wording) -> tuple[ApiAlert, ...]:
    return tuple(map(wording.message, alerts))
