"""`auth_basic` and `auth_request`."""

from __future__ import annotations

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
    basic = location.one("auth_basic")
    if basic is not None and basic.argument != "off":
        _basic(basic, location, route)
    asked = location.one("auth_request")
    if asked is not None and asked.argument != "off":
        _forward_auth(asked, location, route, description)
    for directive in location.inherited("auth_request_set"):
        directive.said("response_headers of the forward_auth scheme")


def _basic(basic: Directive, location: Directive, route: Route) -> None:
    file = location.one("auth_basic_user_file")
    if file is not None:
        file.unsaid("the file is not read; make its users consumers with `basic`, by `gateway keys password`")
    basic.unsaid("passwords are in another file. Its routes refuse everybody until there are consumers for them")
    route.close()


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
    route.auth = [description.scheme("asked", {"forward_auth": settings})]
    asked.said(f"auth {route.auth[0]}")
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
