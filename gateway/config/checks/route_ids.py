"""Do the rules of middleware.yaml name routes that there are? One that is for no route protects nothing."""

from collections.abc import Iterator

from gateway.config.group_names import rules
from gateway.config.models import Configuration
from gateway.config.problems import Fault, suggest


def unknown(configuration: Configuration) -> Iterator[Fault]:
    """Ids of routes that are not there."""
    ids = [*(route.id for route in configuration.routes.routes), *configuration.groups]
    for path, rule in rules(configuration.middleware):
        for index, name in enumerate(rule.routes):
            if name not in ids and not _is_pattern(name):
                likely = suggest(name, ids)
                remedy = f'; did you mean "{likely}"?' if likely else "; gateway routes lists them"
                yield Fault((*path, "routes", index), f"no route has this id{remedy}")


def idle_patterns(configuration: Configuration) -> Iterator[Fault]:
    """Patterns of ids that fit none, which may be meant for routes to come."""
    for path, rule in rules(configuration.middleware):
        for index, name in enumerate(rule.routes):
            alone = rule.model_copy(update={"routes": (name,)})
            if _is_pattern(name) and not any(alone.applies_to(route.id) for route in configuration.routes.routes):
                yield Fault((*path, "routes", index), f"no route has an id like {name}")


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name
