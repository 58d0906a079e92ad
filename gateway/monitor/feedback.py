"""Feedback of the monitor to discovery about endpoints that stand out from their peers: `health-feedback`.

An endpoint that is said to be failing gets no requests for a while, so there is nothing to see of it. When that is over
it gets some again, by which it is judged anew: then it is said to be passing, or failing once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.algorithms.peers import PEERS, Peer, Peers, Standing
from gateway.events import HealthFeedback
from gateway.monitor.readings import Counted, Service
from gateway.monitor.slices import Steps
from gateway.monitor.tallies import Subject, Tally, quantiles
from gateway.monitor.windows import FINE, MINUTE
from gateway.plurals import counted

logger = logging.getLogger("gateway.monitor")

WINDOW: Final = MINUTE
REQUESTS: Final = 50  # of an endpoint in the window, below which it is not judged
REQUESTS_AGAIN: Final = 20  # the same, of one that was said to be failing, since then
MOST_PART: Final = 3  # at most one of so many endpoints of a service is said to be failing at a time
FORGOTTEN: Final = 300  # seconds after which one is forgotten of which nothing was seen any more

Look = Callable[[Subject, int, float], tuple[Tally, float]]
"""The tally of a subject in a window of so many seconds that ends then, and how many of them were watched."""


@dataclass(frozen=True, slots=True)
class _Said:
    """The last feedback about an endpoint."""

    failing: bool
    at: int  # the end of a slice: what came before it is judged already


@dataclass(frozen=True, slots=True)
class _Seen:
    """An endpoint in its window."""

    label: str
    group: Hashable
    peer: Peer
    again: bool  # it was said to be failing


class Feedback:
    """Judges the endpoints of all services. `now` is an argument: Unix time."""

    def __init__(self, look: Look, group: Callable[[Counted], Hashable] = lambda _: None) -> None:
        """`group`: endpoints are compared with those of which it is the same."""
        self._look = look
        self._group = group
        self._said: dict[tuple[str, str], _Said] = {}  # by service and endpoint

    def judge(self, services: Iterable[Service], now: float) -> Steps[list[HealthFeedback]]:
        """The feedback to send now, after each slice."""
        end = int(now) - int(now) % FINE
        for name, said in list(self._said.items()):
            if not 0 <= end - said.at < (FORGOTTEN if said.failing else WINDOW):
                del self._said[name]
        messages: list[HealthFeedback] = []
        for service in services:
            if len(service.endpoints) > PEERS:
                seen = yield from self._seen(service, end)
                messages += yield from self._judged(service, seen, end)
            yield
        return messages

    def _seen(self, service: Service, end: int) -> Steps[list[_Seen]]:
        """Those that had enough requests."""
        found = []
        for endpoint in service.endpoints:
            said = self._said.get((service.name, endpoint.label))
            again = said is not None and said.failing
            seconds = WINDOW if said is None else min(WINDOW, end - said.at)
            tally, _ = self._look(Subject("endpoint", f"{service.name}/{endpoint.label}"), seconds, end)
            if seconds and tally.requests >= (REQUESTS_AGAIN if again else REQUESTS):
                peer = Peer(tally.requests, tally.errors, quantiles(tally.buckets, (0.5,))[0])
                found.append(_Seen(endpoint.label, self._group(endpoint), peer, again))
            yield
        return found

    def _judged(self, service: Service, seen: Sequence[_Seen], end: int) -> Steps[list[HealthFeedback]]:
        groups: dict[Hashable, list[Peer]] = {}
        for each in seen:
            if not each.again:
                groups.setdefault(each.group, []).append(each.peer)
        peers = {group: Peers(some) for group, some in groups.items()}
        messages, far = [], list[tuple[_Seen, Standing]]()
        for each in seen:
            yield
            others = len(groups.get(each.group, ())) - (not each.again)
            if others >= PEERS:
                stands = peers[each.group].standing(each.peer, among=not each.again)
                if each.again:
                    messages.append(self._say(service, each, stands, end))
                elif stands.worst > 1:
                    far.append((each, stands))
        failing = sum(said.failing and name == service.name for (name, _), said in self._said.items())
        room = max(0, len(service.endpoints) // MOST_PART - failing)
        far.sort(key=lambda pair: -pair[1].worst)
        return messages + [self._say(service, each, stands, end) for each, stands in far[:room]]

    def _say(self, service: Service, seen: _Seen, stands: Standing, end: int) -> HealthFeedback:
        failing = stands.worst > 1
        self._said[service.name, seen.label] = _Said(failing, end)
        status: Literal["failing", "passing"] = "failing" if failing else "passing"
        why = "is like its peers again"
        if failing:
            why = "fails more than its peers" if stands.by_errors >= stands.by_latency else "is slower than its peers"
        peer = seen.peer
        logger.info(
            "%s: %s %s: %.1f%% errors, median %.4g s, of %s",
            service.name,
            seen.label,
            why,
            100 * peer.error_rate,
            peer.latency or 0.0,
            counted(peer.requests, "request"),
        )
        rate = round(peer.error_rate, 4)
        return HealthFeedback(service=service.name, instance=seen.label, status=status, error_rate=rate)
