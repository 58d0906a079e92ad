"""Splits of which a part gets nothing."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.models import Configuration, RouteConfig
from gateway.config.problems import Fault, Path


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Weights that lead no request anywhere."""
    for index, route in enumerate(configuration.routes.routes):
        yield from _weights(("routes", index, "split"), route)


def _weights(place: Path, route: RouteConfig) -> Iterator[Fault]:
    given = [number for number, entry in enumerate(route.split) if "weight" in entry.model_fields_set]
    if given and not any(route.split[number].weight for number in given):
        message = f"all weights are 0, so that what no `when` decides goes to {route.target}; give one of them a weight"
        yield Fault(place, message, show_value=False)
        return
    for number in given:
        entry = route.split[number]
        if not entry.weight and entry.when is None:
            yield Fault((*place, number, "weight"), f"{entry.target} gets no requests; give it a weight, or remove it")
