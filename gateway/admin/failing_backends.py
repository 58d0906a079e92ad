"""Failing backends by the last requests: without health checks, nothing else detects them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gateway.errors import ErrorKind
from gateway.monitor.recent_requests import RecentRequest, RecentRequests
from gateway.remedies import REMEDIES

SECONDS = 60.0  # for which a failure is reported
_OF_ROUTES = (ErrorKind.CIRCUIT_OPEN.slug, ErrorKind.INTERNAL.slug)
_OUT_OF_TIME = ("has expired", "does not hold yet")  # a credential


def failing_backends(recent: RecentRequests) -> Iterator[str]:
    """A sentence for each service, route or consumer whose last request failed: what happened, and what to do."""
    seen: set[tuple[str, str | None]] = set()
    now = time.time()
    for each in recent:
        slug = (each.error or "").partition(":")[0]
        ago, remedy = f"{now - each.at:.0f} s ago", REMEDIES[slug].remedy if slug in REMEDIES else ""
        recently = now - each.at < SECONDS
        if each.upstream is not None and ("", each.upstream) not in seen:
            seen.add(("", each.upstream))
            if recently and slug == ErrorKind.UPSTREAM_TLS.slug:
                yield f"{each.upstream}, {ago}: {each.error}"  # which has the remedy for this cause
            elif recently and remedy and slug.startswith("upstream-"):
                yield f"{each.upstream}, {ago}: {each.error}; {remedy}"
        if each.route is not None and ("route", each.route) not in seen:
            seen.add(("route", each.route))
            if recently and slug in _OF_ROUTES:
                yield f"route {each.route}, {ago}, request {each.request_id}: {each.error}; {remedy}"
        if each.claimed_consumer is not None and ("consumer", each.claimed_consumer) not in seen:
            seen.add(("consumer", each.claimed_consumer))
            if recently and (reason := _out_of_time(each)):
                yield f"consumer {each.claimed_consumer}, {ago}: {reason}; `gateway keys new` makes a new one"


def _out_of_time(each: RecentRequest) -> str:
    reasons = (said.reason for said in each.decisions if said.verdict != "allow")
    return next((reason for reason in reasons if reason.endswith(_OUT_OF_TIME)), "")
