"""`auth_basic` and `auth_request`."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.importing.description import Description, Route
from gateway.importing.nginx.directives import Directive

_GUARDS = {
    "access_by_lua": "a program in Lua may refuse requests: write it as a policy (docs/writing-middleware.md)",
    "access_by_lua_block": "a program in Lua may refuse requests: write it as a policy (docs/writing-middleware.md)",
    "access_by_lua_file": "a program in Lua may refuse requests: write it as a policy (docs/writing-middleware.md)",
    "auth_jwt": "write a scheme `jwt` in auth.yaml, with the issuer of the tokens",
    "auth_digest": "there is no Digest authentication; take `basic` of auth.yaml, over TLS",
    "auth_pam": "see `forward_auth` of auth.yaml",
    "auth_ldap": "see `forward_auth` of auth.yaml",
    "js_access": "a program may refuse requests: write it as a policy (docs/writing-middleware.md)",
    "secure_link": "links are not signed; write it as a policy (docs/writing-middleware.md)",
    "valid_referers": "see `when` of `authorize`, with headers.referer",
}


def authenticate(location: Directive, route: Route, description: Description) -> None:
    """Add to a route who may call."""
    for guard in location.inherited(*_GUARDS):
        if guard.argument != "off":
            guard.unsaid(f"{_GUARDS[guard.name]}. Its routes refuse everybody until that is done")
            route.close()
    _conditions(location, route)
    if location.value("ssl_verify_client") == "on" and (certificate := location.one("ssl_verify_client")) is not None:
        certificate.unsaid(
            "clients must show a certificate: see `mtls` of auth.yaml. Its routes refuse everybody until then"
        )
        route.close()
    basic = location.one("auth_basic")
    if basic is not None and basic.argument != "off":
        _basic(basic, location, route, description)
    asked = location.one("auth_request")
    if asked is not None and asked.argument != "off":
        if route.auth and location.value("satisfy") != "any":
            asked.unsaid("schemes of a route are alternatives, and here callers must pass several. It is closed")
            route.close()
        _forward_auth(asked, location, route, description)
    for directive in location.inherited("auth_request_set"):
        directive.said("response_headers of the forward_auth scheme")


_OF_REQUESTS = re.compile(
    r"\$(?:host|http_host|scheme|https|server_\w+|request_\w+|uri|document_uri|args|is_args|http_user_agent|http_upgrade|"
    r"http_origin|http_x_forwarded_proto|http_accept\w*|http_referer|request|content_\w+|invalid_referer|\d)"
)
"""What says nothing of who is asking."""


def _conditions(location: Directive, route: Route) -> None:
    """Every `if` that holds for a location: methods that it refuses, and who must bring something."""
    level: Directive | None = location
    while level is not None:
        for condition in level.block:
            if condition.name == "if" and condition.became != "blocklist by user_agent" and _refuses(condition):
                _condition(condition, route)
        level = level.above
    for condition in location.all("if"):
        if condition.became == "":
            condition.unsaid(
                "conditions within a location are not translated; see predicates of routes and `authorize`"
            )


def _refuses(condition: Directive) -> bool:
    return any(
        (below.name == "return" and below.argument in ("401", "403", "404", "405", "410", "444"))
        or (below.name == "deny" and below.argument == "all")
        for below in condition.block
    )


def _condition(condition: Directive, route: Route) -> None:
    variable, operator, text = [*condition.arguments, "", "", ""][:3]
    methods = re.fullmatch(r"\^?\(?([A-Z]+(?:\|[A-Z]+)*)\)?\$?", text)
    if variable == "$request_method" and operator in ("!~", "!~*", "!=") and methods and route.methods is None:
        route.methods = tuple(sorted(methods[1].split("|")))
        condition.ignore()
        condition.said("methods of routes")
        condition.differs("other methods get a 405")
    elif not _OF_REQUESTS.fullmatch(variable) and variable.startswith("$") and _holds(condition):
        condition.unsaid(
            "callers must bring something that is compared here: say it in auth.yaml, or by `when` of `authorize`. Its "
            "routes refuse everybody until that is done"
        )
        route.close()


def _holds(condition: Directive) -> bool:
    """Whether it refuses who brings nothing: no such header, cookie, certificate or address."""
    variable, operator, text = [*condition.arguments, "", "", ""][:3]
    value = _usual(variable, condition)
    if operator in ("=", "!="):
        return (value == text) is (operator == "=")
    if operator in ("~", "~*", "!~", "!~*"):
        try:
            found = re.search(text, value, re.IGNORECASE if "*" in operator else 0) is not None
        except re.error:
            return True
        return found is not operator.startswith("!")
    return value not in ("", "0")


def _usual(variable: str, condition: Directive) -> str:
    """What a variable is where nothing else is said of it, by `set`, `map` or `geo`."""
    level = condition.above
    while level is not None:
        for directive in level.block:
            if directive.name == "set" and directive.arguments[:1] == (variable,):
                return "".join(directive.arguments[1:2])
            if directive.name in ("map", "geo") and directive.arguments[-1:] == (variable,):
                usual = [below.argument for below in directive.block if below.name == "default"]
                return usual[-1] if usual else ""
        level = level.above
    return ""


def _basic(basic: Directive, location: Directive, route: Route, description: Description) -> None:
    file = location.one("auth_basic_user_file")
    path = Path(file.argument) if file is not None else None
    if file is None or path is None or not path.is_file():
        where = f"{path} is not here" if path is not None else "there is no auth_basic_user_file"
        basic.unsaid(f"{where}: name it as `htpasswd` of a scheme `basic`. Its routes refuse everybody until then")
        route.close()
        return
    settings = {
        "htpasswd": str(path.absolute()),
        "realm": re.sub(r"[^ !#-\[\]-~]", "", basic.argument)[:100] or "gateway",
    }
    route.auth = [description.scheme("basic", {"basic": settings | {"forward": True}})]
    basic.said(f"auth {route.auth[0]}")
    file.said(f"htpasswd of the scheme {route.auth[0]}")


def _forward_auth(asked: Directive, location: Directive, route: Route, description: Description) -> None:
    url = _internal_url(asked.argument, location)
    if url is None:
        asked.unsaid("the location that it asks is not in this server. Its routes refuse everybody until that is said")
        route.close()
        return
    variables = {d.arguments[0]: d.arguments[1] for d in location.inherited("auth_request_set") if len(d.arguments) > 1}
    headers = []
    for directive in location.inherited("proxy_set_header"):
        source = variables.get(directive.arguments[1] if len(directive.arguments) > 1 else "", "")
        if source.startswith("$upstream_http_"):
            headers.append(source.removeprefix("$upstream_http_").replace("_", "-"))
            directive.became = "response_headers of the forward_auth scheme"
    settings = {"url": url} | ({"response_headers": headers} if headers else {})
    scheme = description.scheme("asked", {"forward_auth": settings})
    route.auth = [*(route.auth or []), scheme]
    asked.said(f"auth {scheme}")
    asked.differs("the service gets Authorization and Cookie; name other headers in `request_headers`")


def _internal_url(path: str, location: Directive) -> str | None:
    level: Directive | None = location
    while level is not None:
        for other in level.block:
            if other.name == "location" and other.arguments[-1:] == (path,):
                passed = other.first("proxy_pass")
                other.ignore()
                for below in other.block:
                    below.became = below.became or "part of the forward_auth scheme"
                if passed is not None and "$" not in passed.argument and "unix:" not in passed.argument:
                    return passed.argument
        level = level.above
    return None
