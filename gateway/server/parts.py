"""What the loop makes for a configuration, and few configurations have: a thread imports it before."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from gateway.config.models import Configuration


def import_parts(configuration: Configuration) -> None:
    """Not for the event loop, where requests would wait for it."""
    for name in _parts(configuration):
        import_module(name)


def _parts(configuration: Configuration) -> Iterator[str]:
    middleware = configuration.middleware
    if middleware.telemetry is not None:
        yield "gateway.monitor.telemetry.exporting"
    if middleware.alerts.anything or (middleware.telemetry is not None and middleware.telemetry.metrics):
        yield "gateway.server.alert_looking"
    if middleware.alerts.send:
        yield "gateway.monitor.alerts.senders.table"
    if middleware.agents is not None:
        yield from ("gateway.bus.outbox", "gateway.registry.publishing", "gateway.server.agent_reports")
    if middleware.bus == "redis":
        yield from ("gateway.monitor.publishing", "gateway.registry.publishing")
