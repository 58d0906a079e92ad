"""One location as a route: where it leads, and what is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gateway.algorithms.linear_regex import LinearRegex
from gateway.importing.description import Path, Reference, Route, Settings, identifier
from gateway.importing.nginx import answers
from gateway.importing.nginx import settings as around
from gateway.importing.nginx.authentication import authenticate
from gateway.importing.nginx.directives import Directive
from gateway.importing.nginx.locations import (
    Location,
    location_of,
    longer_prefixes,
    paths_of,
    prefix_patterns,
    with_uri,
)
from gateway.importing.nginx.settings import Shared
from gateway.importing.patterns import Pattern, intersection, literal
from gateway.importing.regexes import Unsayable, anywhere, head_of
from gateway.importing.sending import replaced

_ELSEWHERE = ("fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass")
_STATIC = ("root", "alias", "try_files", "index", "autoindex", "expires", "empty_gif", "stub_status", "dav_methods")
_PASS = re.compile(r"(https?)://([^/?#]+)([/?#].*)?")


@dataclass(frozen=True, slots=True)
class Server:
    """One `server`. No hosts: it is the default. `rank` sorts servers, the first that fits the host is asked."""

    directive: Directive
    hosts: tuple[str, ...]
    rank: tuple[object, ...]

    @property
    def name(self) -> str:
        """What its routes are called."""
        return identifier(self.hosts[0].replace("*", "any")) if self.hosts else "default"


def routes_of(server: Server, shared: Shared) -> list[Route]:
    """The routes of all locations of a server, and of what it does outside of them."""
    locations = [location_of(d) for d in _locations(server.directive)]
    named = {location.text: location for location in locations if location.kind == "@"}
    found = []
    for number, location in enumerate(locations):
        if location.kind == "@" or location.directive.first("internal"):
            location.directive.ignore()
            location.directive.said("used by others, no route of its own")
            found += _internal(location, server, number)
            continue
        route = _route(location, server, shared, number, named)
        if route is None:
            continue
        route.excluded += longer_prefixes(location, locations)
        found += [route, *_moved(location.directive, route.paths, route.name, server)]
        found += _with_slash(location, route, locations, server)
        found += _other_methods(location, route)
        location.directive.said(f"route {route.name}")
    for number, location in enumerate(locations):
        _refuse_anywhere(location, (*server.rank, 2, number), found)
    everything = [Path(Pattern((), True), (*server.rank, 0, 0))]
    found += _moved(server.directive, everything, f"{server.name}-moved", server)
    whole = _outside(server, shared)
    if whole is not None:
        found = [whole]
    return [route for route in found if not _is_idle(route, found)]


def _refuse_anywhere(location: Location, rank: tuple[object, ...], routes: list[Route]) -> None:
    """An expression that refuses, wherever in a path it fits: a condition of all that nginx asks afterwards."""
    text = location.text
    if not location.is_expression or text.startswith("^") or not _is_refused(location.directive) or "'" in text:
        return
    expression = ("(?i)" if location.kind == "~*" else "") + anywhere(text)
    try:
        LinearRegex(expression)
    except ValueError:
        return
    condition = {"when": f"not path.matches('{expression}')"}
    later = [route for route in routes if "target" in route.settings and min(path.rank for path in route.paths) > rank]
    for route in later:
        route.authorize.append(condition)
    location.directive.said("authorize of the routes that are asked afterwards")


def _is_refused(directive: Directive) -> bool:
    returned, denied = directive.first("return"), directive.first("deny")
    if returned is not None:
        return returned.argument in ("401", "403", "404", "410", "444")
    return denied is not None and denied.argument == "all" and not directive.first("allow")


def _other_methods(location: Location, route: Route) -> list[Route]:
    """The methods that `limit_except` refuses: no location around this one takes them."""
    if location.directive.first("limit_except") is None or route.methods is None:
        return []
    paths = [replace(path, rank=(*path.rank, 1), rewrite=None, strip=None) for path in route.paths]
    settings: Settings = {"respond": {"status": 403}}
    return [Route(f"{route.name}-others", route.place, paths, hosts=route.hosts, settings=settings)]


def _internal(location: Location, server: Server, number: int) -> list[Route]:
    """What clients get of a location that is for nginx itself: nothing, whatever is around it."""
    if location.kind == "@":
        return []
    try:
        paths = paths_of(location, server.rank, number)
    except Unsayable:
        return []
    return [Route(_name(location, server), location.directive.place, paths, hosts=server.hosts, settings=_nothing())]


def _nothing() -> Settings:
    return {"respond": _GONE}


def _name(location: Location, server: Server) -> str:
    text = "root" if location.text == "/" else identifier(location.text)
    return identifier(text if not server.hosts else f"{server.name}-{text}")


def _with_slash(location: Location, route: Route, locations: list[Location], server: Server) -> list[Route]:
    """nginx sends who asks for `/api` to `/api/`, where that is a prefix that is forwarded."""
    bare = location.text.rstrip("/")
    taken = any(other.text == bare and not other.is_expression for other in locations)
    if (
        location.is_expression
        or location.kind == "="
        or bare in ("", location.text)
        or taken
        or "target" not in route.settings
    ):
        return []
    settings: Settings = {"redirect": {"to": location.text, "status": 301}}
    paths = [Path(literal(bare), (*server.rank, 0, 1))]
    return [Route(f"{route.name}-slash", route.place, paths, hosts=server.hosts, settings=settings)]


def _moved(directive: Directive, paths: list[Path], name: str, server: Server) -> list[Route]:
    """The routes of rewrites that lead clients elsewhere."""
    found = []
    for rewrite in _rewrites_in(directive):
        if _leads_away(rewrite):
            try:
                found.append(answers.moved(rewrite, paths, f"{name}-moved", server.hosts))
            except Unsayable as why:
                rewrite.unsaid(str(why))
        elif not rewrite.became and directive is server.directive:
            rewrite.unsaid("the path is changed by `rewrite` of routes, not before one is chosen")
    return found


def _locations(directive: Directive) -> list[Directive]:
    return [each for below in directive.all("location") for each in (below, *_locations(below))]


def _is_idle(route: Route, routes: list[Route]) -> bool:
    """Whether a route that only keeps requests from those that nginx asks later keeps none from any."""
    if route.settings.get("respond") != _GONE:
        return False
    others = [path for other in routes if other.settings.get("respond") != _GONE for path in other.paths]
    later = [(path, other) for path in route.paths for other in others if other.rank > path.rank]
    return not any(intersection(path.pattern, other.pattern) for path, other in later)


_GONE: Settings = {"status": 404, "body": "nothing serves this path here: it was served from files, or by FastCGI"}


def _outside(server: Server, shared: Shared) -> Route | None:
    """A server that returns, whatever is asked for."""
    returned = server.directive.first("return")
    if returned is None:
        return None
    route = Route(server.name, returned.place, [Path(Pattern((), True), (*server.rank, 0, 0))], hosts=server.hosts)
    return route if answers.returned(returned, route) else None


def _route(location: Location, server: Server, shared: Shared, number: int, named: dict[str, Location]) -> Route | None:
    directive = location.directive
    try:
        paths = paths_of(location, server.rank, number)
    except Unsayable as why:
        if not (head := head_of(location.text, anywhere=True)):
            directive.unsaid(f"the expression has no path of ours: {why}")
            return None
        location.directive.unsaid(f"the expression has no path of ours: {why}")
        # A route that refuses all that begins with `head`, where the location itself cannot be said but keeps out.
        prefix = replace(location, kind="", text=head)
        paths = [replace(path, rank=(*server.rank, 2, number)) for path in paths_of(prefix, server.rank, number)]
        route = Route(_name(location, server), location.directive.place, paths, hosts=server.hosts)
        if not _action(prefix, route, shared, {}) or not (
            route.keeps_out or route.settings.get("respond", _GONE)["status"] in (401, 403)
        ):
            return None
        location.directive.differs(f"all that begins with {head} is refused, until its paths are said")
        for lookahead in re.findall(r"\(\?!([\w.-]+)", location.text):
            route.excluded += prefix_patterns(head + lookahead.replace("\\", ""))
        if "target" in route.settings:
            route.close()
        return route
    route = Route(_name(location, server), directive.place, paths, hosts=server.hosts)
    if not _action(location, route, shared, named):
        route.settings = _nothing()
    return route


def _action(location: Location, route: Route, shared: Shared, named: dict[str, Location]) -> bool:
    directive = location.directive
    if (first := directive.first("return")) is not None:
        around.answered(directive, route, shared)
        return answers.returned(first, route, location.text if location.is_expression else "")
    if (passed := directive.first("deny")) is not None and passed.argument == "all" and not directive.first("allow"):
        passed.said(f"route {route.name}")
        route.settings = {"respond": {"status": 403}}
        return True
    limited = directive.first("limit_except")
    if limited is not None:
        methods = {method.upper() for method in limited.arguments}
        route.methods = tuple(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        limited.differs("other methods get a 403, whoever asks")
        limited.ignore()
    if (forward := _forwarding(directive, named)) is not None:
        for static in directive.all(*_STATIC):
            static.unsaid("files are not served: all requests go to the backend")
        if not _forward(forward, location, route, shared):
            return False
        around.apply(directive, route, shared)
        authenticate(directive, route, shared.description)
        return True
    for other in directive.all(*_ELSEWHERE):
        other.unsaid("backends speak HTTP; put a server that does in front of this one")
    for static in directive.all(*_STATIC):
        static.unsaid("files are not served; put a web server or a storage with HTTP there, and name it as the target")
    route.settings = {"respond": _GONE}
    return True


def _forwarding(directive: Directive, named: dict[str, Location]) -> Directive | None:
    """The `proxy_pass` of a location, or of the named one that it tries when there is no file."""
    if (found := directive.first("proxy_pass")) is not None:
        return found
    tried = directive.first("try_files")
    other = named.get(tried.arguments[-1]) if tried is not None and tried.arguments else None
    return None if other is None else other.directive.first("proxy_pass")


def _forward(passed: Directive, location: Location, route: Route, shared: Shared) -> bool:
    url = re.sub(r"(\$request_uri|\$uri)?(\$is_args\$args)?$", "", _resolved(passed.argument, passed))
    match = _PASS.fullmatch(url)
    if match is None or "unix:" in url or "$" in match[2]:
        passed.unsaid("a target is a host and port, or an upstream of the file, without variables; it is left out")
        return False
    protocol, host, uri = match.groups()
    route.settings["target"] = _target(protocol, host, passed, shared)
    uri = (uri or "").replace("$is_args$args", "").replace("?$args", "").replace("?$query_string", "")
    rewritten = _rewrites(location.directive, route)
    if uri and uri not in ("$request_uri", "$uri") and not rewritten:
        if "?" in uri:
            passed.unsaid("a query of its own is not sent: the query of the request is")
            uri = uri.partition("?")[0]
        try:
            route.paths = [
                with_uri(location, path, uri.replace("$request_uri", "").replace("$uri", "")) for path in route.paths
            ]
        except Unsayable as why:
            passed.unsaid(f"the path is sent as it came: {why}")
    passed.said(f"target {route.settings['target']}" if route.settings else "")
    return True


def _resolved(url: str, directive: Directive) -> str:
    """The URL with the variables that `set` gave a value."""
    level: Directive | None = directive.above
    values: dict[str, str] = {}
    while level is not None:
        for assignment in level.all("set"):
            if len(assignment.arguments) == 2:
                values.setdefault(assignment.arguments[0], assignment.arguments[1])
                assignment.said("part of a target")
        level = level.above
    for name in sorted(values, key=len, reverse=True):
        url = re.sub(re.escape(name) + r"\b", values[name].replace("\\", ""), url)
    return url


def _target(protocol: str, host: str, passed: Directive, shared: Shared) -> str:
    name = shared.description.upstreams.get(host)
    if protocol == "https":
        verify = passed.above.value("proxy_ssl_verify") if passed.above is not None else ""
        if verify != "on":
            passed.differs("the certificate of the backend is verified, which nginx does not do unless told to")
    if name is not None:
        if protocol == "https":
            shared.description.services[name]["protocol"] = "https"
        return name
    host = host.rpartition("@")[2]
    if protocol == "https":
        return f"https://{host}"
    text = host if re.search(r":\d+$", host) else f"{host}:80"
    return Reference(text) if "${" in text else text


def _rewrites_in(directive: Directive) -> list[Directive]:
    return [rewrite for rewrite in directive.all("rewrite") if len(rewrite.arguments) > 1]


def _leads_away(rewrite: Directive) -> bool:
    """Whether a client is told to ask elsewhere."""
    flag = rewrite.arguments[2:3]
    return flag in (("permanent",), ("redirect",)) or rewrite.arguments[1].startswith(("http", "$scheme"))


def _rewrites(directive: Directive, route: Route) -> bool:
    """Apply `rewrite` of a location; whether one changed the path."""
    changed = False
    for rewrite in _rewrites_in(directive):
        expression, replacement, *flags = rewrite.arguments
        flag = flags[0] if flags else ""
        replacement = replacement.replace("$is_args$args", "").partition("?")[0]
        if _leads_away(rewrite):
            continue
        try:
            if changed:
                raise Unsayable("the path was changed before")
            route.paths = [new for path in route.paths for new in _replaced(path, expression, replacement)]
        except Unsayable as why:
            rewrite.unsaid(f"{why}")
            continue
        changed = True
        rewrite.said(f"rewrite of route {route.name}")
        if flag == "last" or not flag:
            rewrite.differs("the new path goes to the target of this location; other locations are not asked again")
    return changed


def _replaced(path: Path, expression: str, replacement: str) -> list[Path]:
    made = replaced(path, expression, replacement)
    return [replace(each, strip=None) if each.rewrite else each for each in made]
