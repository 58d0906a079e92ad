"""What has no effect in the rules by which endpoints are ejected."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.models.health import Outliers
from gateway.config.problems import Fault

FEWEST = 5  # endpoints, of which one can be 1.9 standard deviations below the mean


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Rules that can never eject any of the endpoints in the file."""
    for name, service in configuration.routes.services.items():
        if service.outliers is None or not service.endpoints:  # how many a source will find is not known
            continue
        for key, message in _without_effect(service.outliers, len(service.endpoints)):
            yield Fault(("services", name, "outliers", *key), message)


def _without_effect(outliers: Outliers, endpoints: int) -> Iterator[tuple[tuple[str, ...], str]]:
    given = outliers.model_fields_set
    if given and endpoints == 1:
        yield (), "it has no effect: the last endpoint is never ejected, and there is one; remove it"
    elif "max_ejected" in given and 100 / endpoints > outliers.max_ejected:
        least = -(-100 // endpoints)
        yield (
            ("max_ejected",),
            f"of {endpoints} endpoints none is ever ejected; write {least}% or more, or outliers: off",
        )
    elif "success_rate" in given and outliers.success_rate.deviations and endpoints < FEWEST:
        message = f"it has no effect: of fewer than {FEWEST} endpoints none can be so far below the others; remove it"
        yield ("success_rate",), message
