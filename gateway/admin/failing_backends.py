"""Failing backends by the last requests: without health checks, nothing else detects them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from gateway.errors import ErrorKind
from gateway.monitor.recent_requests import RecentRequest, RecentRequests
from gateway.monitor.traffic import upstream_name
from gateway.plurals import counted
from gateway.reload import Reloader
from gateway.remedies import REMEDIES
from gateway.upstream.service import Upstream

SECONDS = 60.0  # for which a failure is reported
_OF_ROUTES = (ErrorKind.CIRCUIT_OPEN.slug, ErrorKind.INTERNAL.slug)
_LIMITS = (ErrorKind.OVERLOADED.slug, ErrorKind.CONCURRENCY_LIMIT.slug, ErrorKind.LOAD_SHED.slug)
_BAD = ErrorKind.UPSTREAM_BAD_RESPONSE.slug
_OUT_OF_TIME = ("has expired", "does not hold yet")  # a credential


def failing_now(reloader: Reloader, recent: RecentRequests, loaded_at: float | None) -> Iterator[str]:
    """The same as `failing_backends` of what is configured now, without secrets. `loaded_at`: Unix time."""
    configured = Configured(reloader.owner.all(Upstream), loaded_at or 0.0)
    return map(reloader.hidden, failing_backends(recent, configured))


def failing_backends(recent: RecentRequests, configured: Configured) -> Iterator[str]:
    """A sentence for each service, route or consumer whose last request failed: what happened, and what to do. Of what
    is configured: a reload, or a request that does not fail, ends a cause."""
    yield from reached_limits(recent, configured)
    seen: set[tuple[str, str | None]] = set()
    now = time.time()
    for each in recent:
        slug = (each.error or "").partition(":")[0]
        ago, remedy = f"{now - each.at:.0f} s ago", REMEDIES[slug].remedy if slug in REMEDIES else ""
        recently = now - each.at < SECONDS
        if each.upstream is not None and ("", each.upstream) not in seen:
            seen.add(("", each.upstream))
            failed = recently and bool(remedy) and slug.startswith("upstream-") and configured.has_upstream(each)
            if failed and slug == ErrorKind.UPSTREAM_TLS.slug:
                yield f"{each.upstream}, {ago}: {each.error}"  # which has the remedy for this cause
            elif failed:
                yield f"{each.upstream}, {ago}: {each.error}; {remedy}"
        recently = recently and each.at >= configured.loaded_at
        if each.route is not None and ("route", each.route) not in seen:
            seen.add(("route", each.route))
            if recently and slug in _OF_ROUTES:
                yield f"route {each.route}, {ago}, request {each.request_id}: {each.error}; {remedy}"
        if (consumer := each.claimed_consumer or each.consumer) is not None and ("consumer", consumer) not in seen:
            seen.add(("consumer", consumer))
            if recently and (reason := _out_of_time(each)):
                yield f"consumer {consumer}, {ago}: {reason}; `gateway keys new` makes a new one"


def reached_limits(recent: RecentRequests, configured: Configured) -> Iterator[str]:
    """A sentence for each limit of a route that refused requests in the last minute: others may be served between."""
    now = time.time()
    numbers: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], RecentRequest] = {}
    for each in recent:
        slug = (each.error or "").partition(":")[0]
        if now - each.at < SECONDS and each.at >= configured.loaded_at and each.route is not None and slug in _LIMITS:
            numbers[each.route, slug] += 1
            last.setdefault((each.route, slug), each)
    for (route, slug), each in last.items():
        refused = counted(numbers[route, slug], "request")
        yield (
            f"route {route}: {refused} refused of the last ones, {now - each.at:.0f} s ago, request {each.request_id}: "
            f"{each.error}; {REMEDIES[slug].remedy}"
        )


class Configured:
    """What the current configuration has."""

    def __init__(self, upstreams: Iterable[Upstream], loaded_at: float) -> None:
        """`loaded_at`: Unix time."""
        self.loaded_at = loaded_at
        self._upstreams: defaultdict[str, list[Upstream]] = defaultdict(list)  # http and https have the same name
        for upstream in upstreams:
            self._upstreams[upstream.name].append(upstream)

    def has_upstream(self, each: RecentRequest) -> bool:
        """Whether there is still what a request has failed at: its service as it was, and its address."""
        name = upstream_name(each.upstream or "")
        if name.startswith("asgi:") or (each.model is not None and (each.error or "").startswith(_BAD)):
            return each.at >= self.loaded_at  # an application, or what may be due to a key
        address = each.attempts[-1].endpoint if each.attempts else None
        came = each.at - time.time() + time.perf_counter()
        return any(
            upstream.configured_at <= came
            and (address is None or any(endpoint.label == address for endpoint in upstream.endpoints))
            for upstream in self._upstreams[name]
        )


def _out_of_time(each: RecentRequest) -> str:
    reasons = (said.reason for said in each.decisions if said.verdict != "allow")
    return next((reason for reason in reasons if reason.endswith(_OUT_OF_TIME)), "")
