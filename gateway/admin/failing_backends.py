"""Which backends fail now, as the last requests show: without health checks nothing else knows of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gateway.monitor.recent_requests import RecentRequests
from gateway.remedies import REMEDIES

SECONDS = 60.0  # for which a failure is told


def failing_backends(recent: RecentRequests) -> Iterator[str]:
    """A sentence for each service whose last request failed by its fault: what happened, and what to do."""
    seen: set[str] = set()
    now = time.time()
    for each in recent:
        if each.upstream is None or each.upstream in seen:
            continue
        seen.add(each.upstream)
        slug = (each.error or "").partition(":")[0]
        if slug.startswith("upstream-") and slug in REMEDIES and now - each.at < SECONDS:
            yield f"{each.upstream}, {now - each.at:.0f} s ago: {each.error}; {REMEDIES[slug].remedy}"
