"""One location as a route: where it leads, and what is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gateway.importing.description import Path, Route, Settings, identifier
from gateway.importing.nginx import answers
from gateway.importing.nginx import settings as around
from gateway.importing.nginx.authentication import authenticate
from gateway.importing.nginx.backend_tls import tls_of
from gateway.importing.nginx.directives import Directive
from gateway.importing.nginx.locations import (
    Location,
    Locations,
    NeverAsked,
    is_refused,
    location_of,
    paths_at,
    prefix_patterns,
    with_uri,
)
from gateway.importing.nginx.refusals import other_methods, refuse_anywhere
from gateway.importing.nginx.settings import Shared
from gateway.importing.patterns import Pattern, covers, intersection
from gateway.importing.regexes import Unsayable, head_of
from gateway.importing.sending import replaced
from gateway.importing.values import NO_USER

_ELSEWHERE = ("fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass")
_STATIC = ("root", "alias", "try_files", "index", "autoindex", "empty_gif", "stub_status", "dav_methods")
_PASS = re.compile(r"(https?)://([^/?#]+)([/?#].*)?")


@dataclass(frozen=True, slots=True)
class Server:
    """One `server`. No hosts: it is the default. `rank` sorts servers, the first that fits the host is asked."""

    directive: Directive
    hosts: tuple[str, ...]
    rank: tuple[object, ...]

    @property
    def name(self) -> str:
        """The names of its routes."""
        return identifier(self.hosts[0].replace("*", "any")) if self.hosts else "default"


def routes_of(server: Server, shared: Shared) -> list[Route]:
    """The routes of all locations of a server, and of what it does outside of them."""
    made = _Routes(server, shared)
    found = [route for location in made.locations.all for route in made.of(location)]
    for location in made.locations.all:
        own = made.taking.get(location)
        guard = made.unsaid.get(location) or (own if own is not None and (own.keeps_out or own.conditions) else None)
        refuse_anywhere(location, made.locations, made.taking, guard)
    everything = [Path(Pattern((), True), (*server.rank, 0, 0))]
    found += _moved(server.directive, everything, f"{server.name}-moved", server)
    if (returned := server.directive.first("return")) is not None:
        whole = Route(server.name, returned.place, everything, hosts=server.hosts)
        if answers.returned(returned, whole):
            found = [whole]
    return [route for route in found if not _is_idle(route, found)]


class _Routes:
    """Makes the routes of the locations of a server. `taking`: the route of a location; `unsaid`: one without paths,
    of a location that lets in only some and that no path of ours expresses."""

    def __init__(self, server: Server, shared: Shared) -> None:
        self.locations = Locations(server.rank, [location_of(d) for d in _locations(server.directive)])
        self.taking: dict[Location, Route] = {}
        self.unsaid: dict[Location, Route] = {}
        self._server = server
        self._shared = shared
        self._named = {location.text: location for location in self.locations.all if location.kind == "@"}

    def of(self, location: Location) -> list[Route]:
        """The routes of a location, and of what it sends elsewhere."""
        directive, server = location.directive, self._server
        if location.kind == "@" or directive.first("internal"):
            directive.ignore()
            directive.said("used by others, no route of its own")
            if location.kind == "@":
                return []
            try:
                paths = self.locations.paths_of(location)
            except Unsayable:
                return []
            # Clients get no answer from it, whatever is around it.
            hidden = self._new(location, paths)
            hidden.settings = {"respond": _GONE}
            return [hidden]
        route = self._route(location)
        if route is None:
            return []
        if not route.paths:
            self.unsaid[location] = route
            return []
        self.taking[location] = route
        # Its own rewrites lead some of its paths elsewhere.
        moved = _moved(directive, route.paths, route.name, server)
        away = [path.pattern for other in moved for path in other.paths]
        route.paths = [path for path in route.paths if not any(covers(pattern, path.pattern) for pattern in away)]
        found = [route, *moved] if route.paths else moved
        if any(name in directive.by_name for name in _ELSEWHERE) and found[0].settings.get("respond") == _GONE:
            directive.unsaid("its requests get a 404")
        else:
            directive.said(f"route {found[0].name}")
        # nginx sends who asks for `/api` to `/api/`, where that is a prefix that is forwarded.
        bare = self.locations.without_slash(location)
        if bare and any(name.endswith("_pass") for name in directive.by_name):
            settings: Settings = {"redirect": {"to": location.text, "status": 301}}
            found.append(Route(f"{route.name}-slash", route.place, bare, hosts=server.hosts, settings=settings))
        return [*found, *other_methods(location, route)]

    def _route(self, location: Location) -> Route | None:
        """The route of a location by itself; None where no request comes to it, or it has no path of ours."""
        try:
            paths = self.locations.paths_of(location)
        except NeverAsked as why:
            location.directive.unsaid(str(why))
            return None
        except Unsayable as why:
            text = f"the expression has no path of ours: {why}"
            if head := head_of(location.text, anywhere=True):
                location.directive.unsaid(text)
                return self._below(head, location)
            guard = self._new(location, [])
            forwards = _action(location, guard, self._shared, self._named) and "target" in guard.settings
            for directive in (location.directive, *location.directive.walk()):
                directive.became = None  # it is not translated, after all
            if forwards and (guard.keeps_out or guard.conditions):
                location.directive.unsaid(text)
                return guard
            if not is_refused(location.directive):
                location.directive.unsaid(f"{text}. Its requests go where they would without it")
            return None
        route = self._new(location, paths)
        if not _action(location, route, self._shared, self._named):
            route.settings = {"respond": _GONE}
        return route

    def _below(self, head: str, location: Location) -> Route | None:
        """A route that refuses every path below `head`, if a location that restricts access cannot be translated."""
        prefix = replace(location, kind="", text=head)
        try:
            paths = self.locations.asked(location, paths_at(prefix, ()))
        except Unsayable:
            return None
        route = self._new(location, paths)
        acts = _action(prefix, route, self._shared, {})
        if not acts or not (route.keeps_out or route.settings.get("respond", _GONE)["status"] in (401, 403)):
            # With conditions on requests only, what its expression fits is refused, and no more.
            return replace(route, paths=[]) if acts and route.conditions else None
        location.directive.differs(f"every path below {head} is refused, until its paths are configured")
        for lookahead in re.findall(r"\(\?!([\w.-]+)", location.text):
            route.excluded += prefix_patterns(head + lookahead.replace("\\", ""))
        if "target" in route.settings:
            route.close()
        return route

    def _new(self, location: Location, paths: list[Path]) -> Route:
        text = "root" if location.text == "/" else identifier(location.text)
        name = identifier(f"{self._server.name}-{text}" if self._server.hosts else text)
        return Route(name, location.directive.place, paths, hosts=self._server.hosts)


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


def _action(location: Location, route: Route, shared: Shared, named: dict[str, Location]) -> bool:
    directive = location.directive
    if (first := directive.first("return")) is not None:
        around.answered(directive, route, shared)
        return answers.returned(first, route, location.text if location.is_expression else "")
    if (passed := directive.first("deny")) is not None and passed.argument == "all" and not directive.first("allow"):
        passed.said(f"route {route.name}")
        for other in directive.block:
            if other.name != "location":
                other.ignore()  # no request comes to it
        route.settings = {"respond": {"status": 403}}
        return True
    limited = directive.first("limit_except")
    if limited is not None:
        methods = {method.upper() for method in limited.arguments}
        route.methods = tuple(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        limited.differs("other methods get a 403, also for callers that may use the others")
        limited.ignore()
    for cached in directive.all("expires"):
        cached.unsaid("Cache-Control is for the backend to send; a rule of `headers` can set it for every response")
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
    for static in directive.all(*_STATIC, "add_header"):
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
    secure = protocol == "https"
    around_it = passed.above or location.directive
    if secure and not around_it.value("proxy_ssl_verify"):
        passed.differs(
            "the certificate of the backend is verified, which nginx does only with proxy_ssl_verify: see `tls.verify` "
            "of services"
        )
    user, _, address = host.rpartition("@")
    if user:
        passed.differs(NO_USER)
    if secure:
        address = f"https://{address}"
    elif not re.search(r":\d+$", address):
        address += ":80"
    tls = tls_of(around_it, host, shared.description) if secure else None
    route.settings["target"] = shared.description.target(host, address, secure=secure, tls=tls)
    uri = (uri or "").replace("$is_args$args", "").replace("?$args", "").replace("?$query_string", "")
    rewritten = _rewrites(location.directive, route)
    if uri and uri not in ("$request_uri", "$uri") and not rewritten:
        if "?" in uri:
            passed.unsaid("its own query is not sent: the query of the request is")
            uri = uri.partition("?")[0]
        try:
            uri = uri.replace("$request_uri", "").replace("$uri", "")
            route.paths = [new for path in route.paths for new in with_uri(location, path, uri)]
            if location.kind in ("", "^~") and uri.endswith("/") and not location.text.endswith("/"):
                passed.differs("nginx sends two slashes for one behind this location; here it is one")
        except Unsayable as why:
            passed.unsaid(f"the path is sent as it came: {why}")
    passed.said(f"target {route.settings['target']}" if route.settings else "")
    return True


def _resolved(url: str, directive: Directive) -> str:
    """The URL with the variables that `set` gave a value."""
    values: dict[str, str] = {}
    for assignment in [each for level in directive.levels() for each in level.all("set")]:
        if len(assignment.arguments) == 2:
            values.setdefault(assignment.arguments[0], assignment.arguments[1])
            assignment.said("part of a target")
    for name in sorted(values, key=len, reverse=True):
        url = re.sub(re.escape(name) + r"\b", values[name].replace("\\", ""), url)
    return url


def _rewrites_in(directive: Directive) -> list[Directive]:
    return [rewrite for rewrite in directive.all("rewrite") if len(rewrite.arguments) > 1]


def _leads_away(rewrite: Directive) -> bool:
    """Whether the answer is a redirect."""
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
            changes = [new for path in route.paths for new in replaced(path, expression, replacement)]
            route.paths = [replace(new, strip=None) if new.rewrite else new for new in changes]
        except Unsayable as why:
            rewrite.unsaid(f"{why}")
            continue
        changed = True
        rewrite.said(f"rewrite of route {route.name}")
        if flag == "last" or not flag:
            rewrite.differs("the new path goes to the target of this location; other locations are not asked again")
    return changed
