"""krakend.json, of version 3 and its predecessor: endpoints with one backend each."""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.importing.description import Description, Path, Policy, Route, Settings, identifier, literal
from gateway.importing.headers import cors_rule, may_refuse, security_headers, settable
from gateway.importing.krakend_backends import TO_BACKENDS, ignore_unasked, target_of
from gateway.importing.patterns import Pattern, is_literal
from gateway.importing.report import WHOLE
from gateway.importing.tree import Item
from gateway.importing.values import duration, rate, seconds_of
from gateway.importing.variables import filled_in

_OLD = {
    "github.com/devopsfaith/krakend-jose/validator": "auth/validator",
    "github.com/devopsfaith/krakend-ratelimit/juju/router": "qos/ratelimit/router",
    "github.com/devopsfaith/krakend-ratelimit/juju/proxy": "qos/ratelimit/proxy",
    "github.com/devopsfaith/krakend-circuitbreaker/gobreaker": "qos/circuit-breaker",
    "github.com/devopsfaith/krakend-httpcache": "qos/http-cache",
    "github.com/devopsfaith/krakend-cel": "validation/cel",
    "github.com/devopsfaith/krakend/http": "backend/http",
    "github_com/devopsfaith/krakend-cors": "security/cors",
    "github_com/devopsfaith/krakend-httpsecure": "security/http",
    "github_com/devopsfaith/krakend-ratelimit/juju/router": "qos/ratelimit/router",
    "github_com/devopsfaith/krakend-jose/validator": "auth/validator",
}
_OUTBOUND = ("auth/signer", "auth/client-credentials", "auth/gcp", "auth/aws-sigv4", "auth/ntlm", "auth/revoker")
"""Settings about tokens that it issues, about backends, or about revoked tokens."""
_NOTHING = ("$schema", "version", "name", "port", "listen_ip", "sequential_start")
_BODY = ("allow", "deny", "mapping", "group", "target", "is_collection", "blacklist", "whitelist")
_JSON = "bodies pass as they are: the backend has to answer in the form that clients need"


def read(root: Item) -> Description:
    """The description of a krakend.json."""
    description = Description(root.report)
    root.ignore_keys(*_NOTHING)
    root.ignore_keys("dns_cache_ttl", "max_idle_connections", "idle_connection_timeout", "plugin")
    if (agents := root.get("async_agent")) is not None:
        agents.unsaid("nothing is read from queues: the gateway only forwards requests")
    if (tls := root.get("tls")) is not None:
        tls.unsaid("TLS ends in front of the gateway (deploy/nginx): put the certificate there")
        if tls.flag("enable_mtls"):
            tls.unsaid(
                "clients must show a certificate: see `mtls` of auth.yaml. All routes refuse every request until then",
                "enable_mtls",
            )
    _read_settings(root, description)
    everywhere = _Extra(root, description)
    everywhere.closes |= tls is not None and tls.flag("enable_mtls")
    left_out: list[Route] = []
    for number, endpoint in enumerate(root.items("endpoints")):
        route = _read_endpoint(number, endpoint, root, everywhere, description)
        (left_out if "respond" in route.settings else description.routes).append(route)
    description.routes += [
        route
        for route in left_out
        if any(route.methods == other.methods and route.overlaps(other) for other in description.routes)
    ]
    ignore_unasked(root, description)
    if description.routes:
        root.differs(
            "KrakenD redirects a path with a slash too many or too few at its end to the endpoint; here it is a 404"
        )
        root.differs(
            "KrakenD passes on only what `input_headers` and `input_query_strings` name; here everything "
            "passes, but for those that `headers` of middleware.yaml removes"
        )
    return description


def _read_settings(root: Item, description: Description) -> None:
    """Time limits, and what is not translated: of the whole file."""
    timeout = root.text("timeout")
    description.middleware["timeouts"] = {"total": duration(timeout or "2s")}
    if not timeout:
        root.report.said(WHOLE, "timeouts.total 2s: KrakenD's own, where no timeout is written")
    for key, ours in (
        ("read_timeout", "stall"),
        ("read_header_timeout", "header_timeout"),
        ("idle_timeout", "keep_alive"),
    ):
        if text := root.text(key):
            description.middleware.setdefault("limits", {})[ours] = duration(text)
    for key, path in (("debug_endpoint", "/__debug/"), ("echo_endpoint", "/__echo/")):
        if root.flag(key):
            root.unsaid(f"{path} is not answered: see `gateway explain` and `gateway last`", key)
    if (ttl := root.get("cache_ttl")) is not None:
        ttl.differs(
            "answers get no Cache-Control of the gateway's: it is for the backend to say, or a rule of `headers`"
        )
        ttl.ignore()
    root.ignore_keys("write_timeout", "output_encoding", "disable_rest", "disable_keep_alives", "host")


def _read_endpoint(number: int, item: Item, root: Item, everywhere: _Extra, description: Description) -> Route:
    text = filled_in(item.get("endpoint"), description)
    backends = item.items("backend")
    item.ignore_keys("@comment", "input_headers", "input_query_strings", "headers_to_pass", "querystring_params")
    method = item.text("method", "GET").upper()
    path, names = _path(text, number)
    pattern = path.pattern
    route = Route(identifier(f"{method.lower()}-{text.strip('/') or 'root'}"), item.place, [path])
    route.methods = (method,)
    if len(backends) != 1:
        for backend in backends:
            backend.ignore()
        why = "the answers of several backends are not merged: have one service do it, and make this a route to it"
        item.unsaid(why if backends else "it has no backend")
        return _gone(route)
    backend = backends[0]
    target = target_of(backend, root, route, description)
    if target is None:
        item.unsaid("its backend has no host that could be named")
        return _gone(route)
    route.settings = {"target": target}
    sent, parameters, unknown = _sent(filled_in(backend.get("url_pattern"), description) or text, names, pattern.rest)
    if parameters:
        route.settings["set"] = parameters
    if unknown:
        backend.unsaid(f"{unknown} is no parameter of the endpoint; the path is sent without it", "url_pattern")
    route.paths = [replace(path, rewrite=None if sent == pattern.text else sent)]
    if (timeout := item.text("timeout")) != "":
        route.settings["timeout"] = duration(timeout)
    _unchanged(item, backend, method)
    route.policies += everywhere.policies
    route.authorize += everywhere.authorize
    if everywhere.closes:
        route.close()
    _Extra(item, description, route)
    _Extra(backend, description, route)
    item.said(f"route {route.name}")
    return route


def _gone(route: Route) -> Route:
    """A route that keeps its requests from those of others, such as of an endpoint with `*`."""
    route.settings = {"respond": {"status": 404}}
    return route


def _path(text: str, number: int) -> tuple[Path, list[str]]:
    """The path of an endpoint, and its parameters. KrakenD's router prefers literal segments, then parameters, then
    `*`."""
    rest = text.endswith("/*")
    body = text.removesuffix("/*").lstrip("/")
    segments = [re.sub(r"^:(\w+)$", r"{\1}", segment) for segment in body.split("/")] if body or not rest else []
    names = [name for segment in segments for name in re.findall(r"\{(\w+)\}", segment)]
    rank = (*(int(not is_literal(segment)) for segment in segments), *([2] if rest else []))
    return Path(Pattern(tuple(segments), rest, rest), (rank, number)), names


def _sent(url_pattern: str, names: list[str], rest: bool) -> tuple[str, Settings, str]:
    """The rewrite, the query parameters that are set, and what has no value here."""
    path, _, query = url_pattern.partition("?")
    path = "/" + path.lstrip("/")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    unknown = [found for found in re.findall(r"\{([^{}]*)\}", url_pattern) if found not in names]
    pairs = [pair for pair in pairs if not any("{" + name + "}" in pair[2] for name in unknown)]
    for name in unknown:
        path = path.replace("{" + name + "}", "")
    if rest:  # what `*` took is put behind, also where that is not written
        path = path.removesuffix("/*").rstrip("/") + f"/${len(names) + 1}"
    return re.sub("/+", "/", path), {f"query.{name}": value for name, _, value in pairs}, ", ".join(unknown)


def _unchanged(item: Item, backend: Item, method: str) -> None:
    """Report changes of a body or method, which are not supported here."""
    item.ignore_keys("output_encoding")
    item.ignore_default("concurrent_calls", 1)
    for key in _BODY:
        if key == "is_collection":
            backend.ignore_default(key, False, None)
        elif (below := backend.get(key)) is not None:
            below.unsaid(_JSON)
    encoding = backend.text("encoding", "json").replace("_", "-")
    if encoding not in ("json", "no-op", "safejson", "fast-json"):
        backend.differs(f"a body of type {encoding} is passed on as it is, not as JSON", "encoding")
    other = backend.text("method")
    if other and other.upper() != method:
        backend.unsaid(f"the backend gets {method}, as the client sent it", "method")
    if (ttl := item.get("cache_ttl")) is not None:
        ttl.unsaid("Cache-Control is for the backend to say; or set it by a rule of `headers`")


class _Extra:
    """`extra_config` of the file, of an endpoint or of a backend; what it says of an endpoint is added to its route."""

    def __init__(self, owner: Item, description: Description, route: Route | None = None) -> None:
        self.policies: list[Policy] = []
        self.authorize: list[Settings] = []
        self.closes = False
        self._description = description
        self._route = route
        config = owner.get("extra_config")
        pairs = config.pairs() if config is not None else ()
        for name, item in [pair for pair in pairs if pair[0] != TO_BACKENDS]:
            match _OLD.get(name, name):
                case "auth/validator":
                    self._validator(item)
                case "qos/ratelimit/router" | "qos/ratelimit/service":
                    self._rate_limit(item)
                case "qos/ratelimit/proxy":
                    item.unsaid(_BACKEND_LIMIT)
                case "qos/circuit-breaker":
                    self._breaker(item)
                case "qos/http-cache":
                    item.ignore_keys("shared", "max_items", "max_size")
                    description.middleware.setdefault("cache", {})
                    self._policy(item, "cache", "", {})
                    item.said("cache of the route")
                case "security/cors":
                    self._cors(item)
                case "security/http" if self._route is None:
                    self._security(item)
                case "backend/http":  # status and body of errors pass unchanged, which most of its settings request
                    item.ignore_keys("return_error_code")
                    if item.get("return_error_details") is not None:
                        item.differs(
                            "the error itself is what clients get, not an entry of this name", "return_error_details"
                        )
                    item.said("the status of the backend passes")
                case known if known in _CLOSING or _may_refuse(known, item):
                    item.unsaid(
                        "write the access rules in auth.yaml by hand. Its routes refuse every request until then"
                    )
                    self._close()
                case known:
                    item.unsaid(_LOGS if _ABOUT_LOGS.search(known) else f"there is nothing like {name}")

    def _policy(self, item: Item, section: str, name: str, settings: Settings) -> None:
        policy = Policy(section, name, settings, item.place)
        (self.policies if self._route is None else self._route.policies).append(policy)

    def _close(self) -> None:
        self.closes = True
        if self._route is not None:
            self._route.close()

    def _validator(self, item: Item) -> None:
        issuer, keys = item.text("issuer"), item.text("jwk_url")
        algorithm = item.text("alg", "RS256")
        if not issuer or not keys or algorithm.startswith("HS") or self._route is None:
            item.unsaid(
                "a token is checked by its issuer, with public keys from a URL: `issuer` and `jwk_url` are needed. "
                "Its routes refuse every request until `jwt` in auth.yaml says it"
            )
            self._close()
            return
        roles_key, roles, scopes = item.text("roles_key", "roles"), item.texts("roles"), item.texts("scopes")
        trusted: Settings = {"issuer": issuer, "audiences": item.texts("audience"), "algorithms": [algorithm]}
        trusted["jwks_url"] = keys
        claims: Settings = {"groups": roles_key} if roles else {}
        if item.get("scopes_key") is not None:
            claims["scopes"] = item.text("scopes_key")
        if claims:
            trusted["claims"] = claims
        settings: Settings = {"issuers": [trusted]}
        header = item.text("auth_header_name")
        places = {"cookie": item.text("cookie_key"), "header": "" if header.lower() == "authorization" else header}
        if any(places.values()):
            settings["from"] = {place: name for place, name in places.items() if name}
        item.ignore_keys("cache", "cache_duration", "disable_jwk_security", "propagate_token", "roles_key_is_nested")
        item.ignore_keys("operation_debug", "key_identify_strategy", "cipher_suites")
        if item.get("jwk_fingerprints") is not None:
            item.unsaid("the certificate of the address of keys is verified, but not pinned", "jwk_fingerprints")
        self._propagate(item, self._route)
        self._route.auth = [self._description.scheme("tokens", {"jwt": settings | {"forward": True}})]
        if roles:
            self._route.authorize.append({"groups": roles})
        if scopes:
            if item.text("scopes_matcher", "any") != "all" and len(scopes) > 1:
                item.differs("a caller must have all of these scopes, not one of them", "scopes")
            self._route.authorize.append({"scopes": scopes})
        item.said(f"auth {self._route.auth[0]}")

    def _propagate(self, item: Item, route: Route) -> None:
        """Claims that the backend gets as headers; what a client sends under these names does not get through."""
        for pair in item.items("propagate_claims"):
            claim, name = ([below.own_text for below in pair.items()] + ["", ""])[:2]
            if not re.fullmatch(r"[^{}\s]+", claim) or not settable(name):
                pair.unsaid("a claim becomes a header by `set` of routes: this cannot. Its route refuses every request")
                route.close()
            else:
                route.settings.setdefault("set", {})[name] = "{claims." + claim + "}"

    def _rate_limit(self, item: Item) -> None:
        seconds = seconds_of(item.text("every", "1s")) or 1.0
        name = self._route.name if self._route is not None else "all"
        if (most := item.number("max_rate")) and most > 0:
            limits: Settings = {"key": ["route"], "limits": [rate(most, seconds)]}
            if (capacity := item.number("capacity")) is not None:
                limits["burst"] = max(1, int(capacity))
            self._policy(item, "rate_limits", f"{name}-together", limits)
            if self._route is None:
                item.differs("requests are counted for each route, not for all of them together", "max_rate")
        if (most := item.number("client_max_rate")) and most > 0:
            header = item.text("key") if item.text("strategy") == "header" else ""
            own: Settings = {"key": [f"header:{header}" if header else "address"], "limits": [rate(most, seconds)]}
            if item.text("strategy", "ip") not in ("ip", "header"):
                item.differs("clients are distinguished by their address, or a header", "strategy")
            if (capacity := item.number("client_capacity")) is not None:
                own["burst"] = max(1, int(capacity))
            self._policy(item, "rate_limits", f"{name}-each", own)
        item.text("strategy")
        item.said("rate_limits")

    def _breaker(self, item: Item) -> None:
        settings: Settings = {}
        if (count := item.number("max_errors")) is not None:
            settings |= {"minimum": max(1, int(count)), "error_ratio": "100%"}
        for key, ours in (("interval", "window"), ("timeout", "open")):
            if (seconds := item.number(key)) is not None and seconds > 0:
                settings[ours] = f"{seconds:.15g}s"
        item.ignore_keys("name", "log_status_change")
        item.differs("it opens by the share of failed calls, not by errors in a row")
        if self._route is not None:
            self._route.settings["breaker"] = settings
        item.said("breaker of the route")

    def _security(self, item: Item) -> None:
        """Headers of all responses, and the hosts that clients may name."""
        if headers := security_headers(item, _snake):
            self._policy(item, "headers", "security", {"response": {"set": headers}})
        if hosts := item.texts("allowed_hosts"):
            named = ", ".join(literal(host) for host in hosts)
            self.authorize.append({"when": f"headers.host in [{named}]"})
            item.differs("requests to other hosts get a 403", "allowed_hosts")
        if item.flag("ssl_redirect"):
            item.unsaid("TLS ends in front of the gateway: clients are led to https there", "ssl_redirect")
        item.ignore_keys("ssl_host", "host_proxy_headers", "ssl_proxy_headers", "is_development")
        item.said("headers: set on responses")

    def _cors(self, item: Item) -> None:
        rule = cors_rule(
            item,
            item.texts("allow_origins") or ["*"],
            methods="allow_methods",
            headers="allow_headers",
            expose="expose_headers",
            credentials="allow_credentials",
            max_age=duration(text) if (text := item.text("max_age")) else "",
        )
        item.ignore_keys("debug", "options_passthrough", "allow_private_network", "options_success_status")
        self._policy(item, "cors", "cors", rule)
        item.said("cors")


_BACKEND_LIMIT = "requests of clients are limited (`rate_limits`), or how many a service has at once (`concurrency`)"
_CLOSING = ("validation/cel", "auth/api-keys", "auth/basic", "security/policies")
_ABOUT_LOGS = re.compile("^telemetry/|logging|metrics|opencensus|influx")
_LOGS = "logs and metrics are always there: `access_log` of middleware.yaml, /metrics of the admin port"


def _snake(name: str) -> str:
    """`stsSeconds` as `sts_seconds`."""
    return re.sub("(?<=[a-z])[A-Z]+", lambda match: f"_{match[0].lower()}", name)


def _may_refuse(name: str, item: Item) -> bool:
    """Whether an unknown setting probably restricts access."""
    if name.startswith("modifier/lua"):
        code = " ".join(item.text(key) for key in ("pre", "post"))
        return "custom_error" in code or may_refuse(*item.texts("sources"))
    if name.startswith("plugin/"):
        return may_refuse(*item.texts("name"))
    return name.startswith("auth/") and name not in _OUTBOUND
