"""How one process of a gateway is, as its heartbeats say it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from gateway.live import Owner
from gateway.managed.applying import Applying
from gateway.managed.bundle_store import BundleStore
from gateway.managed.counting import Counting
from gateway.monitor.model_traffic import ModelTraffic
from gateway.upstream.service import Upstream

if TYPE_CHECKING:  # a gateway without a control plane needs none
    from gateway.control_messages import Heartbeat

MICRO: Final = 1e-6
MOST_LABELS: Final = 32


class Reporting:
    """Makes heartbeats. `instance`: identifies this process among others of the same gateway."""

    def __init__(self, owner: Owner, applying: Applying, counting: Counting) -> None:
        self.instance = f"{os.uname().nodename[:40]}-{uuid.uuid4().hex[:12]}".translate(_NAMES)
        self._owner = owner
        self._applying = applying
        self._counting = counting
        self._version = ""
        self._started = time.monotonic()

    def identify(self, store: BundleStore) -> None:
        """Find out which process of which version this is; on a thread, before the first heartbeat."""
        self.instance, self._version = store.instance(self.instance), version("flowmaster-gateway")

    def heartbeat(self, name: str, labels: Mapping[str, str]) -> Heartbeat:
        """How it is now."""
        from gateway.control_messages import Heartbeat  # noqa: PLC0415  as above

        applying, minute = self._applying, self._counting.last_minute()
        up, total = _endpoints(self._owner)
        return Heartbeat(
            instance_id=self.instance,
            version=self._version,
            uptime_seconds=time.monotonic() - self._started,
            revision=applying.running.digest,
            source=applying.source,
            revision_since=applying.since,
            last_error=applying.error,
            endpoints_up=up,
            endpoints_total=total,
            requests_total=self._counting.requests,
            errors_total=self._counting.errors,
            request_rate=minute.requests / minute.seconds if minute.seconds > 0 else None,
            error_rate=100 * minute.errors / minute.requests if minute.requests else None,
            p50_ms=minute.p50_ms,
            p95_ms=minute.p95_ms,
            since_revision=self._counting.since_swapped(),
            token_spend=_spent(self._owner),
            name=name,
            labels=dict(list(labels.items())[:MOST_LABELS]),
        )


_NAMES: Final = {code: "-" for code in range(128) if not (chr(code).isalnum() or chr(code) in "._:-")}


def _endpoints(owner: Owner) -> tuple[int, int]:
    """How many are in, of all."""
    at, up, total = time.perf_counter(), 0, 0
    for upstream in owner.all(Upstream):
        for endpoint in upstream.endpoints:
            total += 1
            up += endpoint.health.out(at) is None
    return up, total


def _spent(owner: Owner) -> float | None:
    """Dollars that models took; None: there are no models."""
    rows = [used for traffic in owner.all(ModelTraffic) for used in traffic.rows.values()]
    return sum(used.cost_micros for used in rows) * MICRO if rows else None
