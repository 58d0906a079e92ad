"""Rates of a gateway-controller: differences of its counters, where its metrics are on (port 9091, off by default)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from gateway.control_plane.adapters.figures import number_of
from gateway.control_plane.adapters.outbound import CallFailed, Outbound
from gateway.control_plane.adapters.probing import beside
from gateway.control_plane.adapters.protocol import GatewaySpec, Metrics

_PORT: Final = 9091
_LINES: Final = 20_000
_MOST: Final = 8 * 1024**2  # bytes of a page
_SECONDS: Final = 5.0  # for a page: it is one of several things that are asked, and may be missing
_REMEMBERED: Final = 4096  # gateways
_OLDEST: Final = 900.0  # seconds: what is compared with is not older
_YOUNGEST: Final = 1.0
_REQUESTS: Final = "http_requests_total"
_DURATION: Final = "http_request_duration_seconds"
_REMEDY: Final = "switch them on, or name them in metricsUrl"
_STATUS_LABELS: Final = ("status", "status_code", "code")


@dataclass(frozen=True, slots=True)
class _Counters:
    at: float  # monotonic
    requests: float
    errors: float
    seconds: float
    observed: float


class Rates:
    """The counters of each gateway as they were seen last."""

    def __init__(self) -> None:
        self._seen: OrderedDict[UUID, _Counters] = OrderedDict()

    async def read(self, outbound: Outbound, spec: GatewaySpec, seconds: float) -> Metrics:
        """Request rate, share of errors and average latency; all None, and why, where its metrics are off.

        The first look takes a second longer: it is two.
        """
        limit = min(seconds, _SECONDS)
        now = await _counters(outbound, spec, limit)
        if isinstance(now, str):
            return Metrics(unknown=now)
        before = self._seen.get(spec.uuid)
        if before is None or not _YOUNGEST <= now.at - before.at <= _OLDEST or _restarted(before, now):
            before = now
            await asyncio.sleep(_YOUNGEST)
            now = await _counters(outbound, spec, limit)
        if isinstance(now, str):
            return Metrics(unknown=now)
        if _restarted(before, now):
            return Metrics(unknown="the counters of its metrics were reset; try again")
        self._seen[spec.uuid] = now
        self._seen.move_to_end(spec.uuid)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        requests, observed = now.requests - before.requests, now.observed - before.observed
        return Metrics(
            request_rate=round(requests / (now.at - before.at), 3),
            error_rate=round(100 * max(now.errors - before.errors, 0) / requests, 4) if requests else None,
            average_latency_ms=round(1000 * max(now.seconds - before.seconds, 0) / observed, 3) if observed else None,
        )


def _restarted(before: _Counters, now: _Counters) -> bool:
    return now.requests < before.requests or now.observed < before.observed


async def _counters(outbound: Outbound, spec: GatewaySpec, seconds: float) -> _Counters | str:
    """A text where there are no metrics: why, and what to do."""
    url = _url(spec)
    if url is None:
        return "the address of its metrics is not known; set metricsUrl"
    try:
        reply = await outbound.send("GET", url, seconds, headers={"Accept": "text/plain"}, most=_MOST)
        samples = await asyncio.to_thread(_samples, reply.body)
    except CallFailed as error:
        return f"its metrics: {error}; {_REMEDY}"
    except ValueError:
        samples = []
    if not any(each.name == _REQUESTS for each in samples):
        return f"its metrics: {url} has no {_REQUESTS}; {_REMEDY}"

    def total(name: str, *, failed: bool = False) -> float:
        chosen = [each for each in samples if each.name == name]
        if failed:
            chosen = [s for s in chosen if any(s.labels.get(label, "").startswith("5") for label in _STATUS_LABELS)]
        return sum(number_of(each.value) or 0 for each in chosen)

    return _Counters(
        time.monotonic(),
        total(_REQUESTS),
        total(_REQUESTS, failed=True),
        total(f"{_DURATION}_sum"),
        total(f"{_DURATION}_count"),
    )


def _samples(page: bytes) -> list[Sample]:
    """Raises ValueError for what is no page of metrics."""
    # Only these lines are parsed, which takes long: others of the same page may be thousands.
    wanted = (_REQUESTS, f"{_DURATION}_sum", f"{_DURATION}_count")
    lines = [line for line in page.decode().splitlines() if line.startswith(wanted)]
    try:
        families = text_string_to_metric_families("\n".join(lines[:_LINES]) + "\n")
        return [sample for family in families for sample in family.samples]
    except (KeyError, IndexError, AttributeError) as error:  # the parser on what is no page
        raise ValueError(str(error)) from None


def _url(spec: GatewaySpec) -> str | None:
    if isinstance(url := spec.config.get("metricsUrl"), str):
        return url
    root = spec.config.get("controlPlaneUrl")
    host = beside(root, _PORT) if isinstance(root, str) and urlsplit(root).hostname else None
    return f"{host}/metrics" if host else None
