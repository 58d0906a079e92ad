"""Names of headers that two settings use, or that backends do not get."""

from collections.abc import Iterable, Iterator
from itertools import chain

from gateway.config.models import Configuration, RouteConfig
from gateway.config.models.header_rules import HeaderRules, unknown_word, words
from gateway.config.problems import Fault, Path
from gateway.config.values.paths import captures
from gateway.http.fields import folded

_WITH_CLAIMS = ("jwt", "introspection")


def request_id_is_an_identity_header(configuration: Configuration) -> Iterator[Fault]:
    """A header for the id of a request that also says who calls."""
    names = configuration.auth.identity_headers
    taken = {folded(name.encode()) for name in (names.consumer, names.tenant, names.groups, names.scopes)}
    if folded(configuration.middleware.request_id.header.encode()) in taken:
        yield Fault(("request_id", "header"), "identity_headers of auth.yaml has this name for who calls; take another")


def unknown_variables(configuration: Configuration) -> Iterator[Fault]:
    """Variables that are none, and that none of the routes that a rule is for captures."""
    routes = configuration.routes.routes
    for name, rules in configuration.middleware.headers.items():
        captured: set[str] | None = None
        for place, text in _values(rules):
            for word in words(text):
                if unknown_word(word, ()) is not None and captured is None:
                    paths = chain.from_iterable(route.all_paths for route in routes if rules.applies_to(route.id))
                    captured = set(chain.from_iterable(map(captures, paths)))
                if (message := unknown_word(word, captured or ())) is not None:
                    yield Fault(("headers", name, *place), message, f" ({{{word}}})")


def unknown_claims(configuration: Configuration) -> Iterator[Fault]:
    """Claims that a route sets headers or parameters by, and that no scheme which it accepts brings."""
    auth = configuration.auth
    for index, route in enumerate(configuration.routes.routes):
        claims = [name for name, text in route.set.items() if any(word.startswith("claims.") for word in words(text))]
        names = auth.default if route.auth is None else route.auth
        known = any(auth.schemes[name].kind in _WITH_CLAIMS for name in names)
        if claims and not known and configuration.says_itself(index, "set"):
            remedy = "they are those of jwt and introspection"
            message = f"{', '.join(claims)}: no caller of the route has claims, so that this is never sent; {remedy}"
            yield Fault(("routes", index, "set"), message)


def _values(rules: HeaderRules) -> Iterator[tuple[Path, str]]:
    for direction in ("request", "response"):
        for key in ("set", "add"):
            for header, text in getattr(getattr(rules, direction), key).items():
                yield (direction, key, header), text


def added_beside_the_gateways_own(configuration: Configuration) -> Iterator[Fault]:
    """Headers of which the gateway writes a line of its own, so that a rule that adds one makes two."""
    message = "backends get a line of the gateway's own, too, and may take either; write set in place of add"
    for name, header_rules in configuration.middleware.headers.items():
        for header in header_rules.request.add:
            if header in ("x-forwarded-port", "x-forwarded-prefix"):
                yield Fault(("headers", name, "request", "add", header), message)


def dropped_but_matched(configuration: Configuration) -> Iterator[Fault]:
    """Headers that a route or its split decides by and that the backend does not get."""
    passing = configuration.middleware.limits.underscore_headers == "pass"
    for index, route in enumerate(configuration.routes.routes):
        for place, names in _matched(route):
            for name in names:
                if "." in name or ("_" in name and not passing):
                    remedy = "rename it" if "." in name else "write limits.underscore_headers: pass in middleware.yaml"
                    message = f"the backend does not get {name}, which some take for a name with hyphens; "
                    yield Fault(("routes", index, *place, name), f"{message}if it needs it, {remedy}")


def _matched(route: RouteConfig) -> Iterator[tuple[Path, Iterable[str]]]:
    yield ("headers",), route.headers
    for number, entry in enumerate(route.split):
        if entry.when is not None:
            yield ("split", number, "when", "header"), entry.when.header
