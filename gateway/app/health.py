"""The answers to probes."""

from __future__ import annotations

import orjson

from gateway.http import Headers
from gateway.monitor.audit_log import AuditLog
from gateway.reload import Reloader

PROBES = frozenset({"/health", "/health/live", "/health/ready"})


def status_of(reloader: Reloader, *, draining: bool) -> str:
    """`ok`, or why it is not ready."""
    status = "draining" if draining else "no configuration" if reloader.current is None else "ok"
    if status == "ok" and reloader.waiting:
        status = "waiting for the instances of services"
    if status == "ok" and _unrecorded(reloader):
        status = "requests cannot be recorded"
    return status


def probe(path: str, reloader: Reloader, *, draining: bool) -> tuple[int, bytes]:
    """Status and JSON. Live: the process answers. Ready, and `/health` itself: send traffic."""
    status = status_of(reloader, draining=draining)
    well = status == "ok" or path == "/health/live"
    return 200 if well else 503, orjson.dumps({"status": status, "config": reloader.summary()})


def _unrecorded(reloader: Reloader) -> bool:
    """Whether every request is refused, because the audit log cannot be written."""
    snapshot = reloader.current
    closed = snapshot is not None and snapshot.configuration.middleware.audit_log.on_failure == "closed"
    return closed and any(log.refusing and log.settings is not None for log in reloader.owner.all(AuditLog))


def health(path: str, reloader: Reloader, *, draining: bool) -> tuple[int, Headers, bytes]:
    """The answer of the data port: status, headers, body."""
    status, body = probe(path, reloader, draining=draining)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    return status, headers, body
