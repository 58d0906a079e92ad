"""Health checks that no endpoint can pass."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.models.respond import BODYLESS
from gateway.config.problems import Fault


def impossible_bodies(configuration: Configuration) -> Iterator[Fault]:
    """Checks that look for a text in answers that have no body."""
    for name, service in configuration.routes.services.items():
        health = service.health
        if health is None or not health.body:
            continue
        place = ("services", name, "health", "body")
        if health.method == "HEAD":
            yield Fault(place, "no endpoint ever passes: the answer to a HEAD has no body; write method: GET")
        elif all(status in BODYLESS for low, high in health.status for status in range(low, high + 1)):
            yield Fault(place, "no endpoint ever passes: an answer of this status has no body; remove it")
