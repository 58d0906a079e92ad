"""The numbers of the bus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from gateway.bus.bus import Bus
from gateway.families import Family, counter, gauge


def bus_metrics(buses: Iterable[Bus]) -> Iterator[Family]:
    """Labels are kinds of messages, of which there are six, and reasons, of which there are ten."""
    messages, dropped, waiting = Counter[tuple[str, ...]](), Counter[tuple[str, ...]](), 0
    for bus in buses:
        messages.update({(kind, "published"): number for kind, number in bus.counts.published.items()})
        messages.update({(kind, "received"): number for kind, number in bus.counts.received.items()})
        dropped.update(bus.counts.dropped)
        waiting += bus.waiting
    help = "Messages between discovery, router, auth and monitor, by kind; see docs/roles.md."
    yield counter("gateway_bus_messages_total", help, messages, ("kind", "way"))
    help = "Messages that were lost, or cannot be read, by kind and reason; docs/roles.md has the reasons."
    yield counter("gateway_bus_dropped_total", help, dropped, ("kind", "reason"))
    help = "Messages that wait to be sent. Where it stays high, Redis does not answer; /health has the reason."
    yield gauge("gateway_bus_waiting", help, {(): waiting})
