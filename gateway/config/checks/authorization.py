"""Routes and rules of `authorize` that are probably a mistake, although they can be served."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from gateway.algorithms.conditions import compile_condition
from gateway.config.models import Configuration, RouteConfig, SchemeConfig
from gateway.config.models.auth.authorization import NOT_TRANSLATED, Authorize
from gateway.config.models.splits import SplitWhen
from gateway.config.problems import Fault, Path, suggest
from gateway.plurals import counted

NAMED = 20  # routes in one message
WHAT = ("scopes", "groups", "tenants", "consumers")


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Routes open to every client, entries of `authorize` that miss some methods, and what no caller meets."""
    # What consumers of auth.yaml have.
    known = {
        "scopes": {scope for consumer in configuration.auth.consumers for scope in consumer.scopes},
        "groups": {group for consumer in configuration.auth.consumers for group in consumer.groups},
        "tenants": {consumer.tenant for consumer in configuration.auth.consumers if consumer.tenant is not None},
        "consumers": {consumer.name for consumer in configuration.auth.consumers},
    }
    for index, route in enumerate(configuration.routes.routes):
        names = configuration.auth.default if route.auth is None else route.auth
        schemes = [configuration.auth.schemes[name] for name in names]
        if configuration.auth.schemes and route.auth is None and not schemes:
            lists = configuration.middleware.ip_allow.values()
            if not route.answered_here and not any(
                allow.applies_to(route.id) and allow.mode == "enforce" for allow in lists
            ):
                remedy = "name schemes in auth, or in default of auth.yaml; write auth: [] where that is meant"
                yield Fault(
                    ("routes", index), f'nothing protects the route "{route.id}": every client may call it; {remedy}'
                )
        yield from _unsaid(index, route, schemes)
        for number, entry in enumerate(route.authorize):
            yield from _about(entry, schemes, known, ("routes", index, "authorize", number))
        for number, each in enumerate(route.split):
            if each.when is not None:
                yield from _about_split(each.when, schemes, known, ("routes", index, "split", number, "when"))


def left_closed(configuration: Configuration) -> Iterator[Fault]:
    """All routes that an import has closed, at the first of them."""
    found = [
        (("routes", index, "authorize", number, "when"), route.id)
        for index, route in enumerate(configuration.routes.routes)
        for number, entry in enumerate(route.authorize)
        if entry.when == NOT_TRANSLATED and entry.mode == "enforce"
    ]
    if found:
        ids = list(dict.fromkeys(id_ for _, id_ in found))
        names = ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
        message = (
            f"{counted(len(ids), 'route')} of gateway import or gateway init without access rules, which refuse every "
            f"request: {names}; say in auth and authorize who may call, then remove this. import-report.md, where "
            "there is one, says what the original asks for"
        )
        yield Fault(found[0][0], message)


def _unsaid(index: int, route: RouteConfig, schemes: list[SchemeConfig]) -> Iterator[Fault]:
    """Methods that no entry is for. An entry for POST does not mean that only POST may pass."""
    if not route.authorize or any(entry.methods is None for entry in route.authorize):
        return
    said = {method for entry in route.authorize for method in _answered(entry.methods or ())}
    rest = None if route.methods is None else sorted(_answered(route.methods) - said)
    if rest == []:
        return
    who = "every authenticated caller" if schemes else "every client"
    remedy = "add an entry for them, or one without methods"
    methods = "other methods" if rest is None else ", ".join(rest)
    message = f"no entry says anything of {methods}: {who} may send them; {remedy}"
    yield Fault(("routes", index, "authorize"), message)


def _answered(methods: Collection[str]) -> frozenset[str]:
    """GET is for HEAD, too."""
    return frozenset(methods) | ({"HEAD"} if "GET" in methods else frozenset())


def _about(entry: Authorize, schemes: list[SchemeConfig], known: dict[str, set[str]], place: Path) -> Iterator[Fault]:
    asks_who = entry.when is not None and compile_condition(entry.when).about_caller
    if not schemes and (asks_who or any(getattr(entry, what) for what in WHAT)):
        yield Fault(
            place, "no request can pass: it requires a caller, and the route accepts no schemes; name them in auth"
        )
        return
    for what in WHAT:
        yield from _held_by_none(what, getattr(entry, what) or (), schemes, known, (*place, what))


def _about_split(
    when: SplitWhen, schemes: list[SchemeConfig], known: dict[str, set[str]], place: Path
) -> Iterator[Fault]:
    wanted = {"groups": when.group, "consumers": when.consumer, "tenants": when.tenant}
    asks_who = when.condition is not None and compile_condition(when.condition).about_caller
    if not schemes and (asks_who or any(wanted.values())):
        yield Fault(
            place, "no request matches: it requires a caller, and the route accepts no schemes; name them in auth"
        )
        return
    for what, names in wanted.items():
        yield from _held_by_none(what, names or (), schemes, known, (*place, what.removesuffix("s")))


def _held_by_none(
    what: str, wanted: Sequence[str], schemes: list[SchemeConfig], known: dict[str, set[str]], place: Path
) -> Iterator[Fault]:
    """Names of what no consumer of auth.yaml has, where callers of a route cannot have it from elsewhere."""
    if any(_brings(scheme, what) for scheme in schemes):
        return
    some = set(known[what])
    if what == "consumers":
        some |= {scheme.settings.consumer for scheme in schemes if scheme.kind == "anonymous"}
    for number, name in enumerate(wanted):
        if name not in some:
            likely = suggest(name, sorted(some))
            hint = f'; did you mean "{likely}"?' if likely else "; give it to one, or remove it"
            yield Fault((*place, number), f'no consumer has the {what.removesuffix("s")} "{name}"{hint}')


def _brings(scheme: SchemeConfig, what: str) -> bool:
    """Whether callers can have what the configuration does not show, such as the scopes of their token."""
    key = what if what in ("scopes", "groups") else what.removesuffix("s")
    if scheme.kind == "jwt":
        return any(getattr(issuer.claims, key) for issuer in scheme.settings.issuers)
    if scheme.kind == "introspection":
        return bool(getattr(scheme.settings.claims, key))
    if scheme.kind == "forward_auth":
        return what == "consumers" or bool(getattr(scheme.settings.identity, key))
    if scheme.kind == "basic":
        return what == "consumers" and bool(scheme.settings.htpasswd or scheme.settings.directory)
    if scheme.kind == "api_key":
        return what == "consumers" and scheme.settings.directory is not None
    return False
