"""Settings of a route from directives around `proxy_pass`: timeouts, headers, limits, access."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.importing.description import Description, Policy, Route, Settings
from gateway.importing.nginx.directives import Directive
from gateway.importing.nginx.headers import request_headers, response_headers
from gateway.importing.report import WHOLE
from gateway.importing.values import network

LARGEST_BODY = "1000GB"
"""In place of no limit."""

_ADDRESSES = ("binary_remote_addr", "remote_addr", "http_x_forwarded_for", "proxy_add_x_forwarded_for")
_PLACES = ("server_name", "server_addr", "server_port", "host", "http_host", "uri", "document_uri", "request_uri")
"""Variables by which the requests of different routes are counted apart, or all of them together."""

_STORED = (
    "proxy_cache_key", "proxy_cache_use_stale", "proxy_cache_bypass", "proxy_no_cache", "proxy_cache_methods",
    "proxy_cache_min_uses",
)  # fmt: skip
_SIZES = {"k": "KiB", "m": "MiB", "g": "GiB", "": "B"}


@dataclass(slots=True)
class Shared:
    """Objects that several routes share."""

    description: Description
    zones: dict[str, Directive] = field(default_factory=dict)
    counted: dict[str, Settings] = field(default_factory=dict)
    """The limit that each zone had first."""

    def policy(self, directive: Directive, section: str, name: str, settings: Settings) -> Policy:
        """One rule for all routes that have these settings; those of a zone are counted together."""
        for policy in self.description.policies:
            if (policy.section, policy.settings) == (section, settings) and (
                policy.name == name or section != "rate_limits"
            ):
                return policy
        return self.description.policy(section, name, settings, directive.place)


def apply(location: Directive, route: Route, shared: Shared) -> None:
    """Add to a route all that holds for a location, from whichever level it comes."""
    timeout: Settings = {}
    for name, keys in (("proxy_connect_timeout", ("connect",)), ("proxy_read_timeout", ("response_header", "idle"))):
        if (directive := location.one(name)) is not None:
            timeout |= dict.fromkeys(keys, duration(directive.argument))
            directive.said(f"timeout.{keys[0]} of routes")
    if (send := location.one("proxy_send_timeout")) is not None:
        timeout.setdefault("idle", duration(send.argument))
        send.said("timeout.idle of routes")
    if timeout:
        route.settings["timeout"] = timeout
    _retries(location, route)
    if (size := location.one("client_max_body_size")) is not None:
        match = re.fullmatch(r"(\d+)([kmgKMG]?)", size.argument)
        if match is not None:
            unlimited = not int(match[1])
            route.settings["max_body"] = LARGEST_BODY if unlimited else f"{match[1]}{_SIZES[match[2].lower()]}"
        size.said("max_body of routes")
    else:
        route.settings["max_body"] = "1MiB"
        shared.description.report.said(WHOLE, "max_body 1MiB: nginx's own, where no client_max_body_size is written")
    request_headers(location, route, shared.policy, shared.description)
    response_headers(location, route, shared.policy, shared.description)
    _addresses(location, route)
    _limits(location, route, shared)
    encodings = [name for name, key in (("br", "brotli"), ("gzip", "gzip")) if location.value(key) == "on"]
    settings: Settings = {"encodings": encodings}
    if (types := location.one("gzip_types")) is not None and "*" not in types.arguments:
        settings["types"] = list(dict.fromkeys(["text/html", *types.arguments]))
        types.said("compression.types")
    if (length := location.one("gzip_min_length")) is not None and length.argument.isdigit() and int(length.argument):
        settings["min_size"] = int(length.argument)
        length.said("compression.min_size")
    if encodings and (compression := location.one("gzip") or location.one("brotli")) is not None:
        compression.said("compression")
        route.policies.append(shared.policy(compression, "compression", "", settings))
    _caching(location, route, shared)


def answered(location: Directive, route: Route, shared: Shared) -> None:
    """Add to a route that is answered here what holds for all answers."""
    response_headers(location, route, shared.policy, shared.description)


def duration(text: str) -> str:
    """A time of nginx (`1d`, `1m30s`, `500ms`, `60`) as ours."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "": 1}
    total = sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+)\s*(ms|[smhdw]?)", text))
    total = min(total, 366 * 86400)
    return f"{total * 1000:g}ms" if 0 < total < 1 else f"{total:.10g}s"


def _retries(location: Directive, route: Route) -> None:
    after = location.one("proxy_next_upstream")
    tries = location.one("proxy_next_upstream_tries")
    retry: Settings = {}
    if tries is not None and tries.argument.isdigit() and int(tries.argument):
        retry["attempts"] = min(int(tries.argument), 10)
        tries.said("retry.attempts of routes")
    if after is not None:
        known = {"error": ["connect", "reset"], "timeout": ["timeout"]}
        on: list[str | int] = [event for word in after.arguments for event in known.get(word, [])]
        on += [int(word[5:]) for word in after.arguments if re.fullmatch(r"http_\d{3}", word)]
        if "off" in after.arguments:
            retry = {"attempts": 1}
        elif on:
            retry["on"] = on
        if "non_idempotent" in after.arguments:
            after.differs("requests that are not idempotent are only sent again where no endpoint has seen them")
        after.said("retry of routes")
    if retry:
        route.settings["retry"] = retry


def _addresses(location: Directive, route: Route) -> None:
    """The first rule that fits counts; who fits none may pass."""
    rules = [rule for rule in location.inherited("allow", "deny") if not rule.argument.startswith("unix:")]
    if rules and location.value("satisfy") == "any":
        rules[0].differs("`satisfy any`: an address or a password; here both are asked for")
    condition: str | bool = True
    for rule in reversed(rules):
        fits = f'client in "{network(rule.argument)}"'
        if rule.argument == "all":
            condition = rule.name == "allow"
        elif rule.name == "allow" and condition is not True:
            condition = f"{fits} or ({condition})" if condition else fits
        elif rule.name == "deny" and condition is not False:
            condition = f"not ({fits})" if condition is True else f"not ({fits}) and ({condition})"
        rule.said("authorize of routes, by the client's address")
    if condition is False:
        route.authorize.append({"when": 'method == "-"'})
    elif condition is not True:
        route.authorize.append({"when": condition})


def _limits(location: Directive, route: Route, shared: Shared) -> None:
    dry = location.one("limit_req_dry_run")
    for limit in location.inherited("limit_req"):
        options = limit.options
        zone = shared.zones.get(options.get("zone", ""))
        if zone is None:
            limit.unsaid("unknown limit_req_zone")
            continue
        rate = re.search(r"rate=(\d+)r/([sm])", " ".join(zone.arguments))
        key = _counted_by(zone, shared.description)
        if rate is None or not key:
            limit.unsaid("the key of its zone is neither a header nor an address")
            continue
        burst = int(text) if (text := options.get("burst", "")).isdecimal() else 0
        settings: Settings = {"key": key, "limits": [f"{rate[1]}/{rate[2]}"], "burst": burst + 1}
        if dry is not None and dry.argument == "on":
            settings["mode"] = "shadow"
            dry.said("mode: shadow of rate_limits")
        name = options["zone"].partition(":")[0]
        if shared.counted.setdefault(name, settings) != settings:
            limit.differs("it is counted apart from limits of this zone with another burst")
        route.policies.append(shared.policy(limit, "rate_limits", name, settings))
        if "nodelay" not in options and burst:
            limit.differs("nothing is delayed: requests within the burst pass at once, others get a 429")
        else:
            status = next((each.argument for each in location.inherited("limit_req_status")), "503")
            if status != "429":
                limit.differs(f"requests beyond it get a 429, where nginx answers {status}")
        limit.said(f"rate_limits.{name}")
        zone.said(f"rate_limits.{name}")
    for name in ("limit_req_status", "limit_req_log_level", "limit_conn_status"):
        location.inherited(name)
    for limit in location.inherited("limit_conn"):
        limit.unsaid("connections of one address are not counted; see `limits` and `concurrency`")


def _counted_by(zone: Directive, description: Description) -> list[str]:
    """The parts of our key for the variables of a zone; none where one of them has no counterpart."""
    parts = []
    for variable in re.findall(r"\$\{?(\w+)", zone.argument) or ["server_name"]:
        header = variable.removeprefix("http_").replace("_", "-")
        if variable in _ADDRESSES:
            parts.append("address")
            if "forwarded_for" in variable and not description.auth.get("trusted_proxies"):
                zone.differs("who comes through a proxy is counted with all others of it, unless in `trusted_proxies`")
        elif variable.startswith("http_"):
            parts.append(f"header:{header}")
            zone.differs(f"requests without {header} are counted by their address; nginx lets them pass")
        elif variable in _PLACES:
            parts.append("route")
            zone.differs("requests are counted for each route by itself")
        else:
            return []
    return list(dict.fromkeys(parts))


def _caching(location: Directive, route: Route, shared: Shared) -> None:
    zone = location.one("proxy_cache")
    if zone is None or zone.argument == "off":
        return
    zone.differs("responses are kept as long as they say themselves (`Cache-Control`), not for `proxy_cache_valid`")
    zone.said("cache of routes")
    shared.description.middleware.setdefault("cache", {})
    route.policies.append(shared.policy(zone, "cache", "", {}))
    for name in ("proxy_cache_valid", "proxy_cache_lock", "proxy_cache_revalidate"):
        location.inherited(name)
    for name in _STORED:
        for directive in location.inherited(name):
            directive.unsaid("what is stored, for whom and how long, is said by the backend's Cache-Control and Vary")
