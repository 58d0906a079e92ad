"""Which endpoints fail while they are in, as the last requests show: no check and no outlier rule may say it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from gateway.http.messages import Attempt
from gateway.monitor.recent_requests import RecentRequests

SECONDS: Final = 60.0  # for which a failure counts
SHARE: Final = 0.05  # of its attempts, from which on an endpoint fails


def failing_endpoints(recent: RecentRequests) -> Mapping[str, str]:
    """Of each endpoint that fails, by its address, how much of what it was asked lately."""
    begins = time.time() - SECONDS
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for each in recent:
        if each.at < begins:
            break
        for attempt in each.attempts:
            attempts[attempt.endpoint].append(attempt)
    return {endpoint: said for endpoint, made in attempts.items() if (said := _said(made))}


def _said(made: list[Attempt]) -> str:
    failed = sum(map(_is_failure, made))
    if not failed or failed < SHARE * len(made):
        return ""
    return f"{failed} of its last {len(made)} requests failed"


def _is_failure(attempt: Attempt) -> bool:
    if attempt.failure is not None:
        return attempt.failure.origin == "upstream"
    return attempt.status >= 500
