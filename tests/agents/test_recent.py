"""Shares of the last events."""

from __future__ import annotations

import random

from gateway.agents.recent import Recent


def test_only_the_last_seconds_and_so_many_events_count() -> None:
    """The share is that of the events themselves, at every one of 5,000 random ones."""
    chance = random.Random(14)
    recent, events, now = Recent(10.0, 20), list[tuple[float, bool]](), 0.0
    for _ in range(5000):
        now += chance.choice([0.0, 0.1, 0.5, 3.0])
        so = chance.random() < 0.4
        recent.add(now, so)
        events = [each for each in [*events, (now, so)][-20:] if each[0] >= now - 10.0]
        assert len(recent) == len(events)
        assert recent.share == sum(was_so for _, was_so in events) / len(events)
    recent.clear()
    assert (len(recent), recent.share) == (0, 0.0)
