"""Do the rules of middleware.yaml name routes that there are? One that is for no route protects nothing."""

from collections.abc import Iterator

from gateway.config.group_names import COSTS, LISTS, ROUTES, rules
from gateway.config.models import Configuration
from gateway.config.problems import Fault, Path, format_path, suggest
from gateway.config.values.paths import slug
from gateway.config.yaml.document import Mapping, Sequence


def unknown(configuration: Configuration) -> Iterator[Fault]:
    """Ids of routes that are not there, of rules that would be for none."""
    return (fault for fault in _unknown(configuration) if ROUTES in fault.path)


def unknown_exceptions(configuration: Configuration) -> Iterator[Fault]:
    """Ids of routes that are not there, where only exceptions are made for them."""
    return (fault for fault in _unknown(configuration) if ROUTES not in fault.path)


def _unknown(configuration: Configuration) -> Iterator[Fault]:
    ids = [*(route.id for route in configuration.routes.routes), *configuration.groups]
    for path, name in _all_named(configuration):
        if name not in ids:
            likely = suggest(name, ids)
            remedy = f'; did you mean "{likely}"?' if likely else "; gateway routes lists them"
            yield Fault(path, f"no route has this id{remedy}")


def _all_named(configuration: Configuration) -> Iterator[tuple[Path, str]]:
    """Names of single routes and groups in rules, and their places; not the routes of a named group."""
    document = configuration.documents["middleware.yaml"]
    for path, rule in rules(configuration.middleware):
        for key in LISTS:
            written = document.find((*path, key)).node
            count = len(written.items) if isinstance(written, Sequence) else 0
            named = enumerate(getattr(rule, key, ())[:count])
            yield from (((*path, key, index), name) for index, name in named if not _is_pattern(name))
        written = document.find((*path, COSTS)).node if hasattr(rule, COSTS) else None
        names = written.entries if isinstance(written, Mapping) else ()
        yield from (((*path, COSTS, name), name) for name in names if name in getattr(rule, COSTS))


def taken_by_another_file(configuration: Configuration) -> Iterator[Fault]:
    """Rules that name a route which has no id of its own, while a route or group of another file has that name: the
    rule would apply to that one only."""
    return _ambiguous(configuration, same_file=False)


def taken_by_another_route(configuration: Configuration) -> Iterator[Fault]:
    """The same of one file."""
    return _ambiguous(configuration, same_file=True)


def _ambiguous(configuration: Configuration, *, same_file: bool) -> Iterator[Fault]:
    document = configuration.documents["routes.yaml"]
    named = {name: path for path, name in _all_named(configuration)}
    owners = {route.id: document.find(("routes", index)) for index, route in enumerate(configuration.routes.routes)}
    owners |= {
        group.id: document.find(("groups", index))
        for index, group in enumerate(configuration.routes.groups)
        if group.id is not None
    }
    for index, route in enumerate(configuration.routes.routes):
        wanted = slug(route.all_paths[0])
        if wanted == route.id or wanted not in named or document.find(("routes", index, "id")).path[2:]:
            continue
        owner, place = owners[wanted], document.find(("routes", index))
        if (owner.file == place.file) is same_file:
            what = (
                f"{format_path(place.shown)} of {place.file} on line {place.line}, whose path is {route.all_paths[0]},"
            )
            taken = f"{format_path(owner.shown)} of {owner.file} on line {owner.line}"
            yield Fault(named[wanted], f"{what} is called {route.id}, as {taken} has this id; give both an id", "")


def idle_patterns(configuration: Configuration) -> Iterator[Fault]:
    """Patterns of ids that fit none, which may be meant for routes to come."""
    for path, rule in rules(configuration.middleware):
        for index, name in enumerate(rule.routes):
            alone = rule.model_copy(update={"routes": (name,)})
            if _is_pattern(name) and not any(alone.applies_to(route.id) for route in configuration.routes.routes):
                yield Fault((*path, "routes", index), f"no route has an id like {name}")


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name
