"""Headers that nginx sets on the way to a backend and on the way back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gateway.importing.description import Description, Policy, Route, Settings
from gateway.importing.headers import cors_methods, escaped, is_secret, settable
from gateway.importing.nginx.directives import Directive

Make = Callable[[Directive, str, str, Settings], Policy]

_OWN: Mapping[str, tuple[str, ...]] = {
    "x-real-ip": ("$remote_addr", "$realip_remote_addr"),
    "x-forwarded-for": ("$proxy_add_x_forwarded_for", "$remote_addr", "$http_x_forwarded_for"),
    "x-forwarded-proto": ("$scheme", "$http_x_forwarded_proto"),
    "x-forwarded-host": ("$host", "$http_host", "$server_name", "$host:$server_port", "$http_x_forwarded_host"),
    "x-forwarded-port": ("$server_port", "$http_x_forwarded_port"),
    "x-request-id": ("$request_id", "$http_x_request_id"),
    "forwarded": ("$http_forwarded",),
}
"""Headers that the gateway sends itself, and the values of nginx that mean the same."""

_HOP = ("upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "te")
_VARIABLES = {
    "$remote_addr": "{client}",
    "$realip_remote_addr": "{client}",
    "$host": "{host}",
    "$http_host": "{host}",
    "$scheme": "{scheme}",
    "$request_id": "{request_id}",
    "$request_method": "{method}",
    "$remote_user": "{consumer}",
    "$uri": "{original_path}",
}


def request_headers(location: Directive, route: Route, make: Make, description: Description) -> None:
    """`proxy_set_header`: what the gateway does itself, `preserve_host`, and rules of `headers`."""
    changes: Settings = {}
    found = location.inherited("proxy_set_header")
    for directive in found:
        name, value = directive.argument, directive.arguments[1] if len(directive.arguments) > 1 else ""
        lower = name.lower()
        if lower == "host":
            _host(directive, value, route)
        elif lower in _HOP or value in _OWN.get(lower, ()):
            directive.said("the gateway sends this itself")
        elif lower in _OWN and not settable(name):
            directive.unsaid("the gateway sends what it knows of the client and of `trusted_proxies`, not this value")
        elif not value:
            changes.setdefault("remove", []).append(name)
            directive.said("headers: removed")
        elif value == "$http_" + lower.replace("-", "_") or lower == "accept-encoding":
            directive.said("the header passes as it is")
        elif (text := _value(name, value, directive, description)) is not None:
            side = "set" if lower not in _names(changes.get("set", {})) else "add"
            if lower in _names(changes.get("add", {})):
                directive.unsaid("a header is sent twice at most")
                continue
            changes.setdefault(side, {})[name] = text
            directive.said(f"headers: {side}")
    for directive in location.inherited("proxy_pass_request_headers"):
        if directive.argument == "off":
            directive.unsaid("all headers of requests are passed on, but for those that `headers` removes")
    if changes:
        route.policies.append(make(found[0], "headers", f"request-{found[0].place.line}", {"request": changes}))


def _host(directive: Directive, value: str, route: Route) -> None:
    target = str(route.settings.get("target", "")).removeprefix("https://").partition(":")[0]
    if value in ("$host", "$http_host", "$host:$server_port", "$http_host:$server_port", "$server_name"):
        route.settings["preserve_host"] = True
        directive.said("preserve_host of routes")
    elif value in ("$proxy_host", "$proxy_host:$proxy_port", target):
        directive.said("the Host is the target's")
    else:
        directive.unsaid("the Host that backends get is the client's (`preserve_host`) or the target's")


def _value(name: str, value: str, directive: Directive, description: Description) -> str | None:
    if not settable(name):
        directive.unsaid(f"the gateway sets {name} itself")
        return None
    text = escaped(value).replace("$http_host", "$host")
    text = re.sub(r"\$http_([a-z0-9_]+)", lambda match: "{headers." + match[1].replace("_", "-") + "}", text)
    text = re.sub(r"\$arg_(\w+)", r"{query.\1}", text)
    for variable in sorted(_VARIABLES, key=len, reverse=True):
        text = text.replace(variable, _VARIABLES[variable])
    if re.search(r"\$\{?[a-z]", text):
        directive.unsaid(
            "a variable in it has no counterpart; see `headers` in docs/configuration.md for those there are"
        )
        return None
    if not text.isascii() or not text.isprintable():
        directive.unsaid("the value of a header is printable ASCII")
        return None
    if is_secret(name) and "{" not in text:
        return description.secret(f"HEADER_{name}", directive.place)
    return text


def _names(headers: Mapping[str, str]) -> set[str]:
    return {name.lower() for name in headers}


def response_headers(location: Directive, route: Route, make: Make, description: Description) -> None:
    """`add_header`, `proxy_hide_header` and CORS."""
    rules: list[Settings] = [{}]
    cors: dict[str, tuple[str, Directive]] = {}
    found = location.inherited("add_header", "more_set_headers")
    for directive in found:
        name, value = directive.argument, directive.arguments[1] if len(directive.arguments) > 1 else ""
        if name.lower() == "content-type" and "target" not in route.settings:
            continue  # that of the answer
        if name.lower().startswith("access-control-"):
            cors[name.lower()] = value, directive
        elif value and (text := _value(name, value, directive, description)) is not None:
            rule = next((rule for rule in rules if name.lower() not in _names(rule.get("add", {}))), None)
            if rule is None:
                rules.append(rule := {})
            rule.setdefault("add", {})[name] = text
            directive.said("headers: added to responses")
            if directive.name == "add_header" and "target" in route.settings and "always" not in directive.arguments:
                directive.differs("it is added to every answer; without `always` nginx leaves errors as they are")
    hidden = location.inherited("proxy_hide_header")
    for directive in hidden:
        rules[0].setdefault("remove", []).append(directive.argument)
        directive.said("headers: removed from responses")
    for changes in filter(None, rules):
        first = [*found, *hidden][0]
        route.policies.append(make(first, "headers", f"response-{first.place.line}", {"response": changes}))
    if cors:
        _cors(cors, location, route, make)


def _cors(cors: dict[str, tuple[str, Directive]], location: Directive, route: Route, make: Make) -> None:
    origin, first = cors.get("access-control-allow-origin", ("", next(iter(cors.values()))[1]))
    if not re.fullmatch(r"\*|https?://[\w.-]+(:\d+)?", origin):
        for _, directive in cors.values():
            directive.unsaid("which origins are meant is decided by a variable: name them in `cors` of middleware.yaml")
        return
    settings: Settings = {"origins": [origin]}
    for header, key in (("methods", "methods"), ("headers", "headers"), ("expose", "expose")):
        name = "access-control-expose-headers" if header == "expose" else f"access-control-allow-{header}"
        words = [word.strip() for word in cors[name][0].split(",") if word.strip()] if name in cors else []
        words = cors_methods(words) if key == "methods" else words
        if words and not any("$" in word for word in words):
            settings[key] = words
    if (age := cors.get("access-control-max-age", ("", first))[0]).isdigit():
        settings["max_age"] = f"{age}s"
    if cors.get("access-control-allow-credentials", ("", first))[0] == "true":
        if "*" in [origin, *settings.get("headers", []), *settings.get("expose", [])]:
            first.unsaid("credentials need named origins: name them, then set `credentials: true`")
        else:
            settings["credentials"] = True
    for _, directive in cors.values():
        directive.said("cors")
    for condition in location.all("if"):
        if condition.arguments[:2] == ("$request_method", "=") and condition.arguments[2:3] == ("OPTIONS",):
            condition.ignore()
            condition.said("cors answers preflight requests")
        else:
            condition.became = None
    route.policies.append(make(first, "cors", f"cors-{first.place.line}", settings))
