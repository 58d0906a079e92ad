"""Profiles of breakers that do not exist."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.models.breakers import PROFILES
from gateway.config.problems import Fault, suggest


def unknown_profiles(configuration: Configuration) -> Iterator[Fault]:
    """Breakers of routes whose profile is nowhere."""
    names = [*PROFILES, *configuration.middleware.breakers]
    for index, route in enumerate(configuration.routes.routes):
        if route.breaker is not None and route.breaker.profile not in names:
            likely = suggest(route.breaker.profile, names)
            hint = f'; did you mean "{likely}"?' if likely else ""
            message = "breakers of middleware.yaml has no profile of this name; define it, or use another one"
            yield Fault(("routes", index, "breaker", "profile"), message, hint)
