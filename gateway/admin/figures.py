"""Figures of the page about the last minute."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gateway.admin.failing_endpoints import SECONDS
from gateway.monitor.tallies import Kind, Subject
from gateway.monitor.watch import Monitor


def last_minute(monitor: Monitor | None, kind: Kind, name: str) -> Mapping[str, Any] | None:
    """Requests per second, the share of errors in [0, 1], percentiles in milliseconds; None: nothing is watched."""
    if monitor is None or not monitor.enabled:
        return None
    figures = monitor.figures(Subject(kind, name), SECONDS, time.time())
    return {
        "requests": figures.requests,
        "per_second": round(figures.throughput, 3),
        "error_rate": round(figures.error_rate, 5),
        "p50_ms": _milliseconds(figures.p50),
        "p99_ms": _milliseconds(figures.p99),
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
