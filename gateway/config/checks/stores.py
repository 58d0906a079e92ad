"""Limits and quotas that each process counts for itself, although there is a Redis."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.models.quotas import Quota
from gateway.config.models.rate_limits import RateLimit
from gateway.config.problems import Fault, Path


def not_shared(configuration: Configuration) -> Iterator[Fault]:
    """Those that do not say where they are counted, and are probably meant for all replicas together."""
    middleware = configuration.middleware
    if middleware.redis is None:
        return
    counted: list[tuple[Path, RateLimit | Quota]] = [
        *((("rate_limits", name), limit) for name, limit in middleware.rate_limits.items()),
        *((("quotas", name), quota) for name, quota in middleware.quotas.items()),
    ]
    for place, each in counted:
        if "store" not in each.model_fields_set:
            message = (
                "each replica counts this by itself, although there is a redis; write store: redis to count it for all "
                f"of them together, or store: {each.store} where that is not meant"
            )
            yield Fault(place, message)
