"""Middlewares of Traefik: what each does to the routes whose routers name it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from gateway.importing.description import Description, Policy, Route, Settings
from gateway.importing.headers import cors_rule, header_value, may_refuse, security_headers
from gateway.importing.sending import behind, instead, replaced, without
from gateway.importing.tree import Item
from gateway.importing.users import add_users
from gateway.importing.values import duration, network, rate, seconds_of

Apply = Callable[[Item, Route, "Middlewares"], None]


class Middlewares:
    """The middlewares of a file by their names."""

    def __init__(self, http: Item, description: Description) -> None:
        below = http.get("middlewares")
        self._items = dict(below.pairs()) if below is not None else {}
        self.description = description
        self._policies: dict[str, Policy] = {}
        self._used: set[str] = set()

    def redirects_to_https(self, names: list[str]) -> bool:
        """Whether one of them sends clients to https, and does nothing else."""
        items = [self._items[name] for name in names if name in self._items]
        return any(item.get("redirectScheme") is not None for item in items)

    def lead_elsewhere(self, names: list[str]) -> bool:
        """Whether one of them sends clients to another address."""
        items = [self._items[name] for name in names if name in self._items]
        return any(item.get("redirectRegex") is not None for item in items)

    def used(self, names: list[str]) -> None:
        """These were dealt with."""
        for name in names:
            if (item := self._items.get(name)) is not None:
                self._used.add(name)
                item.ignore()

    def apply(self, names: list[str], route: Route, within: tuple[str, ...] = ()) -> None:
        """Add to a route what these do, in their order. Raises Unsayable where the path cannot be written."""
        for name in names:
            item = self._items.get(name)
            if name in within:
                self.description.report.unsaid(
                    route.place, f"the chain {name} names itself. The route refuses every request"
                )
                route.close()
                continue
            if item is None:
                self.description.report.unsaid(
                    route.place,
                    f"the middleware {name} is not in this file. The route refuses every request until then",
                )
                route.close()
                continue
            self._used.add(name)
            for key, below in item.pairs():
                kind = key.lower()
                if kind == "chain":
                    item.said("the middlewares that it names")
                    below_ = [text.removesuffix("@file") for text in below.texts("middlewares")]
                    self.apply(below_, route, (*within, name))
                elif (apply := _KNOWN.get(kind)) is not None:
                    apply(below, route, self)
                    item.said(f"{name}: {kind}")
                elif kind in _CLOSING:
                    below.unsaid(f"{_CLOSING[kind]}. Its routes refuse every request until that is done")
                    route.close()
                elif kind == "plugin" and may_refuse(*below.keys()):
                    below.unsaid(
                        "it may refuse requests, by its name. Its routes refuse every request until it is configured"
                    )
                    route.close()
                else:
                    below.unsaid(f"there is nothing like {kind}")

    def unused(self) -> None:
        """Name the middlewares that no router has."""
        for name, item in self._items.items():
            if name not in self._used:
                item.unsaid("no router of this file uses it")

    def policy(self, item: Item, section: str, settings: Settings, router: str = "") -> Policy:
        """The rule of middleware.yaml that this stands for, one for all routes, or for those of one router."""
        name = str(item.path[-2])
        key = f"{section}.{name}.{router}"
        if key not in self._policies:
            self._policies[key] = Policy(section, "" if section == "compression" else name, settings, item.place)
        return self._policies[key]


_CLOSING = {"digestauth": "there is no Digest authentication; take `basic` of auth.yaml, over TLS"}


def _strip_prefix(item: Item, route: Route, made: Middlewares) -> None:
    item.ignore_keys("forceSlash")
    prefixes = item.texts("prefixes")
    route.paths = [changed for path in route.paths for changed in without(path, prefixes)]


def _strip_regex(item: Item, route: Route, made: Middlewares) -> None:
    for expression in item.texts("regex"):
        body = expression.removeprefix("^").removesuffix("$")
        route.paths = [p for path in route.paths for p in replaced(path, f"^{body.rstrip('/')}/(.*)$", "/$1")]


def _add_prefix(item: Item, route: Route, made: Middlewares) -> None:
    route.paths = [behind(path, item.text("prefix")) for path in route.paths]


def _replace_path(item: Item, route: Route, made: Middlewares) -> None:
    item.differs("X-Replaced-Path is not sent; X-Forwarded-Prefix and the access log have the path that was asked for")
    route.paths = [instead(path, item.text("path")) for path in route.paths]


def _replace_regex(item: Item, route: Route, made: Middlewares) -> None:
    expression, replacement = item.text("regex"), item.text("replacement")
    route.paths = [p for path in route.paths for p in replaced(path, expression, replacement)]


def _rate_limit(item: Item, route: Route, made: Middlewares) -> None:
    average = int(item.number("average", 0) or 0)
    seconds = seconds_of(item.text("period", "1s"))
    criterion = item.get("sourceCriterion")
    key = ["address"]
    if criterion is not None and (header := criterion.text("requestHeaderName")):
        key = [f"header:{header}"]
    if criterion is not None and (strategy := criterion.get("ipStrategy")) is not None:
        _proxies(strategy)
    burst = int(item.number("burst", 1) or 1)
    if average > 0 and seconds > 0:
        settings = {"key": key, "limits": [rate(average, seconds)], "burst": burst}
        # Each router has a counter of its own, unless they are in Redis.
        if (shared := item.get("redis")) is not None:
            shared.unsaid("counters are in the gateway; with `store: redis` and `redis` of middleware.yaml there")
        router = route.name if shared is None else ""
        route.policies.append(made.policy(item, "rate_limits", settings, router))


def _proxies(item: Item) -> None:
    item.unsaid("trusted addresses are set once, for all: `trusted_proxies` of auth.yaml")


def _authenticated(item: Item, route: Route, scheme: str) -> None:
    if route.auth:
        item.unsaid("schemes of a route are alternatives, and here callers must pass several. It is closed")
        route.close()
    route.auth = list(dict.fromkeys([*(route.auth or []), scheme]))


def _basic_auth(item: Item, route: Route, made: Middlewares) -> None:
    if item.text("headerField"):
        item.differs("the name of the caller is in X-Consumer-Name", "headerField")
    settings: Settings = {} if item.flag("removeHeader") else {"forward": True}
    if (file := item.get("usersFile")) is not None:
        path = item.report.directory / file.own_text
        if path.is_file():
            settings["htpasswd"] = str(path.absolute())
        else:
            file.unsaid("the file is not here: once it is, name it as `htpasswd` of the scheme")
    names = add_users(item.items("users"), made.description)
    if not names and "htpasswd" not in settings:
        item.unsaid("it has no users left. Its routes refuse every request until there are users")
        route.close()
        return
    if realm := item.text("realm"):
        settings["realm"] = realm
    _authenticated(item, route, made.description.scheme(str(item.path[-2]), {"basic": settings}))
    if "htpasswd" not in settings:
        route.authorize.append({"consumers": names})


def _forward_auth(item: Item, route: Route, made: Middlewares) -> None:
    settings: Settings = {"url": item.text("address")}
    if headers := item.texts("authRequestHeaders"):
        settings["request_headers"] = headers
    else:
        item.differs("the service gets Authorization and Cookie; name others in `request_headers`")
    if headers := item.texts("authResponseHeaders"):
        settings["response_headers"] = headers
    item.ignore_default("trustForwardHeader", False, True)
    for key in ("authResponseHeadersRegex", "addAuthCookiesToResponse", "forwardBody", "tls", "headerField"):
        item.ignore_default(key, False, None)
    item.ignore_keys("maxBodySize", "preserveLocationHeader", "preserveRequestMethod")
    _authenticated(item, route, made.description.scheme(str(item.path[-2]), {"forward_auth": settings}))


def _ip_allow(item: Item, route: Route, made: Middlewares) -> None:
    if (strategy := item.get("ipStrategy")) is not None:
        _proxies(strategy)
    item.ignore_default("rejectStatusCode", 403)
    route.policies.append(
        made.policy(item, "ip_allow", {"networks": [network(text) for text in item.texts("sourceRange")]})
    )


def _redirect_scheme(item: Item, route: Route, made: Middlewares) -> None:
    item.unsaid("TLS ends in front of the gateway (deploy/nginx): let that send clients to https")


_OF_HOST = re.compile(
    r"\^?(?:https?\??|(?P<scheme>\(https\?\)|\(http\|https\)|http\(s\?\)))://"
    r"(?P<host>[\w-]+(?:\\?\.[\w-]+)+)(?:/\(\.[*+]\)|/?\(\.\*\)|\(/\.\*\)|/?)?\$?"
)


def _redirect_regex(item: Item, route: Route, made: Middlewares) -> None:
    """One host that is led to another: a route of its own, in front of this one."""
    match = _OF_HOST.fullmatch(item.text("regex"))
    number = 2 if match and match["scheme"] else 1
    target = re.fullmatch(rf"(https?://[\w.-]+(?::\d+)?)/?(?:\$\{{?{number}\}}?)?", item.text("replacement"))
    status = 301 if item.flag("permanent") else 302
    if match is None or target is None or any(path.pattern.segments for path in route.paths):
        item.unsaid("write it as a route with `redirect`, for the host and path that are meant")
        return
    host = match["host"].replace("\\", "")
    kept = "$" in item.text("replacement")
    settings: Settings = {"redirect": {"to": target[1] + ("/$1" if kept else "/"), "status": status}}
    if not route.hosts or host in route.hosts:
        paths = [replace(path, rank=(*path.rank[:1], "", 0)) for path in route.paths]
        moved = Route(f"{route.name}-moved", item.place, paths, hosts=(host,), settings=settings)
        made.description.routes.append(moved)


def _retry(item: Item, route: Route, made: Middlewares) -> None:
    item.ignore_keys("initialInterval")
    route.settings["retry"] = {"attempts": max(1, min(int(item.number("attempts", 3) or 1), 10))}


def _breaker(item: Item, route: Route, made: Middlewares) -> None:
    expression = item.text("expression")
    settings: Settings = {}
    for function, bound in re.findall(r"(\w+)\([^)]*\)\s*>=?\s*([\d.]+)", expression):
        if function == "LatencyAtQuantileMS":
            settings |= {"slow": f"{float(bound):.15g}ms", "slow_ratio": "50%"}
        else:
            settings["error_ratio"] = f"{float(bound) * 100:.15g}%"
    for key, ours in (("fallbackDuration", "open"), ("recoveryDuration", "ramp")):
        if text := item.text(key):
            settings[ours] = duration(text)
    item.ignore_keys("checkPeriod")
    item.ignore_default("responseCode", 503)
    item.differs("it opens by the share of failed calls in a window of 30 s, from 20 calls on")
    route.settings["breaker"] = settings


def _buffering(item: Item, route: Route, made: Middlewares) -> None:
    if (size := item.number("maxRequestBodyBytes")) is not None and size > 0:
        route.settings["max_body"] = min(int(size), route.settings.get("max_body", int(size)))
    item.ignore_keys("memRequestBodyBytes", "memResponseBodyBytes")
    for key in ("maxResponseBodyBytes", "retryExpression"):
        item.ignore_default(key, 0, None)


def _compress(item: Item, route: Route, made: Middlewares) -> None:
    settings: Settings = {"encodings": item.texts("encodings") or ["zstd", "br", "gzip"]}
    if (size := item.number("minResponseBodyBytes")) is not None:
        settings["min_size"] = int(size)
    if types := item.texts("includedContentTypes"):
        settings["types"] = types
    if item.get("excludedContentTypes") is not None:
        item.unsaid("`types` of `compression` are those that are compressed", "excludedContentTypes")
    item.ignore_keys("defaultEncoding")
    route.policies.append(made.policy(item, "compression", settings))


def _in_flight(item: Item, route: Route, made: Middlewares) -> None:
    amount = int(item.number("amount", 0) or 0)
    service = made.description.services.get(str(route.settings.get("target")))
    if item.get("sourceCriterion") is not None or service is None:
        item.unsaid("the number of requests at once is bounded for a whole service: `concurrency` under `services`")
        return
    item.differs("it holds for the service, whichever route leads to it; beyond it is a 503")
    service["concurrency"] = amount


def _headers(item: Item, route: Route, made: Middlewares) -> None:
    sides: Settings = {}
    for key, side in (("customRequestHeaders", "request"), ("customResponseHeaders", "response")):
        below = item.get(key)
        for name, value in below.pairs() if below is not None else ():
            if not value.own_text:
                sides.setdefault(side, {}).setdefault("remove", []).append(name)
            elif name.lower() == "host" and side == "request":
                value.unsaid("the Host of a request is the target's, or with `preserve_host` the client's")
            elif (text := header_value(name, value.own_text, value, made.description)) is not None:
                sides.setdefault(side, {}).setdefault("set", {})[name] = text
    fixed = security_headers(item, str)
    if fixed:
        response = sides.setdefault("response", {})
        response["set"] = fixed | response.get("set", {})
    item.ignore_default("allowedHosts", None)
    for key in ("sslRedirect", "sslHost", "sslForceHost", "sslTemporaryRedirect"):
        if (moved := item.get(key)) is not None and moved.value:
            moved.unsaid("TLS ends in front of the gateway (deploy/nginx): clients are led to https there")
    item.ignore_keys("hostsProxyHeaders", "sslProxyHeaders", "forceSTSHeader", "isDevelopment")
    if sides:
        route.policies.append(_headers_of(route, item, sides, made))
    if cors := _cors(item):
        route.policies.append(made.policy(item, "cors", cors))


def _headers_of(route: Route, item: Item, sides: Settings, made: Middlewares) -> Policy:
    """The rule for these. A request gets the header of the last middleware that sets it, a response that of the first:
    where another one of the route has it, too, this is a rule of the router's own, behind that."""
    earlier = [policy.settings for policy in route.policies if policy.section == "headers"]
    before = {side: {name for each in earlier for name in _names(each.get(side, {}))} for side in sides}
    if not any(before[side] & _names(sides[side]) for side in sides):
        return made.policy(item, "headers", sides)
    own = dict(sides)
    if "response" in own:
        response = own["response"]
        kept = {name: text for name, text in response.get("set", {}).items() if name.lower() not in before["response"]}
        removed = [name for name in response.get("remove", []) if name.lower() not in before["response"]]
        own["response"] = ({"set": kept} if kept else {}) | ({"remove": removed} if removed else {})
    return made.policy(item, "headers", own, route.name)


def _names(side: Settings) -> set[str]:
    return {name.lower() for name in (*side.get("set", {}), *side.get("remove", []))}


def _cors(item: Item) -> Settings:
    origins = item.texts("accessControlAllowOriginList")
    for below in item.items("accessControlAllowOriginListRegex"):
        match = re.fullmatch(r"\^?(https?)(\??)://\(?(?:\.[+*]|\[[^\]]+\]\+)\)?\\?\.([\w.\\-]+)\$?", below.own_text)
        if match is None:
            below.unsaid("an origin is exact, or has `*.` at the front of its host")
            continue
        origins += [
            f"{scheme}://*.{match[3].replace(chr(92), '')}" for scheme in (match[1], *["http"] * bool(match[2]))
        ]
    if not origins:
        item.ignore_keys("addVaryHeader")
        for key in (f"accessControl{each}" for each in ("AllowMethods", "AllowHeaders", "AllowCredentials", "MaxAge")):
            if (alone := item.get(key)) is not None:
                alone.unsaid("no origin is allowed with it, so that pages of others get nothing: see `cors`")
        return {}
    item.ignore_keys("addVaryHeader")
    return cors_rule(
        item,
        origins,
        methods="accessControlAllowMethods",
        headers="accessControlAllowHeaders",
        expose="accessControlExposeHeaders",
        credentials="accessControlAllowCredentials",
        max_age="" if (age := item.number("accessControlMaxAge")) is None else f"{age:.15g}s",
    )


MIDDLEWARES: dict[str, Apply] = {
    "addPrefix": _add_prefix,
    "basicAuth": _basic_auth,
    "buffering": _buffering,
    "circuitBreaker": _breaker,
    "compress": _compress,
    "forwardAuth": _forward_auth,
    "headers": _headers,
    "inFlightReq": _in_flight,
    "ipAllowList": _ip_allow,
    "ipWhiteList": _ip_allow,
    "rateLimit": _rate_limit,
    "redirectRegex": _redirect_regex,
    "redirectScheme": _redirect_scheme,
    "replacePath": _replace_path,
    "replacePathRegex": _replace_regex,
    "retry": _retry,
    "stripPrefix": _strip_prefix,
    "stripPrefixRegex": _strip_regex,
}

_KNOWN = {name.lower(): apply for name, apply in MIDDLEWARES.items()}
