"""Settings without effect in the rules of ejection."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.models.health import Outliers
from gateway.config.problems import Fault

FEWEST = 5  # endpoints, of which one can be 1.9 standard deviations below the mean


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Rules that can never eject any of the endpoints in the file."""
    for name, service in configuration.routes.services.items():
        if service.outliers is None:
            continue
        found = [*_contradictory(service.outliers)]
        if service.endpoints:  # how many a source will find is not known
            found += _without_effect(service.outliers, len(service.endpoints))
        for key, message in found:
            yield Fault(("services", name, "outliers", *key), message)


def _contradictory(outliers: Outliers) -> Iterator[tuple[tuple[str, ...], str]]:
    """Rules that can never eject any endpoint, however many there are."""
    given, rate, share = outliers.model_fields_set, outliers.success_rate, outliers.failure_percentage
    if 0 < outliers.consecutive <= outliers.consecutive_gateway:
        message = f"it has no effect: any {outliers.consecutive} failures in a row eject (consecutive); make it smaller"
        yield ("consecutive_gateway",), message
    if given and not (outliers.consecutive or outliers.consecutive_gateway or rate.deviations or share.threshold):
        yield (), "no failure ever ejects an endpoint; give one of the rules a number, or write outliers: off"
    if "max_ejected" in given and not outliers.max_ejected:
        yield ("max_ejected",), "none is ever ejected; write a share, or outliers: off"


def _without_effect(outliers: Outliers, endpoints: int) -> Iterator[tuple[tuple[str, ...], str]]:
    given = outliers.model_fields_set
    if given and endpoints == 1:
        yield (), "it has no effect: the last endpoint is never ejected, and there is one; remove it"
    elif "max_ejected" in given and 100 / endpoints > outliers.max_ejected > 0:
        least = -(-100 // endpoints)
        yield (
            ("max_ejected",),
            f"of {endpoints} endpoints none is ever ejected; write {least}% or more, or outliers: off",
        )
    elif "success_rate" in given and outliers.success_rate.deviations and endpoints < FEWEST:
        message = f"it has no effect: of fewer than {FEWEST} endpoints none can be so far below the others; remove it"
        yield ("success_rate",), message
    for key, rule in (("success_rate", outliers.success_rate), ("failure_percentage", outliers.failure_percentage)):
        if "endpoints" in rule.model_fields_set and rule.endpoints > endpoints >= FEWEST:
            message = f"it has no effect: the service has {endpoints} endpoints; write at most so many"
            yield (key, "endpoints"), message
