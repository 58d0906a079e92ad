"""`auth_basic` and `auth_request`."""

from __future__ import annotations

import re

from gateway.importing.description import Description, Route
from gateway.importing.headers import may_refuse
from gateway.importing.nginx import backend_tls
from gateway.importing.nginx.conditions import refuse_by_conditions
from gateway.importing.nginx.directives import NOT_HERE, Directive

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
            guard.unsaid(f"{_GUARDS[guard.name]}. Its routes refuse every request until that is done")
            route.close()
    refuse_by_conditions(location, route)
    for missing in [below for level in location.levels() for below in level.block if below.name == NOT_HERE]:
        if may_refuse(missing.argument) or _KEEPING_OUT.search(missing.argument):
            missing.unsaid("it may refuse requests, by its name. Its routes refuse every request until it is read, too")
            route.close()
    if location.value("ssl_verify_client") == "on" and (certificate := location.one("ssl_verify_client")) is not None:
        certificate.unsaid(
            "clients must show a certificate: see `mtls` of auth.yaml. Its routes refuse every request until then"
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


_KEEPING_OUT = re.compile(r"restrict|protect|htpasswd|internal|private|vpn|access(?![-_]?log)", re.IGNORECASE)


def _basic(basic: Directive, location: Directive, route: Route, description: Description) -> None:
    file = location.one("auth_basic_user_file")
    path = location.report.directory / file.argument if file is not None else None
    if file is None or path is None or not path.is_file():
        where = f"{path} is not here" if path is not None else "there is no auth_basic_user_file"
        basic.unsaid(f"{where}: name it as `htpasswd` of a scheme `basic`. Its routes refuse every request until then")
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
    url = _internal_url(asked.argument, location, description)
    if url is None:
        asked.unsaid("the location that it calls is not in this server. Its routes refuse every request until then")
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


def _internal_url(path: str, location: Directive, description: Description) -> str | None:
    """The address of the service behind an internal location; an upstream, whose name means nothing here, stands for
    its first endpoint."""
    for other in [below for level in location.levels() for below in level.block if below.name == "location"]:
        if other.arguments[-1:] == (path,):
            passed = other.first("proxy_pass")
            other.ignore()
            for below in other.block:
                if below.name in backend_tls.NAMES:
                    below.unsaid(
                        "the service of a forward_auth scheme is verified by what the system trusts, and shown none"
                    )
                below.became = below.became or "part of the forward_auth scheme"
            if passed is not None and "$" not in passed.argument and "unix:" not in passed.argument:
                scheme, _, rest = passed.argument.partition("://")
                host, slash, uri = rest.partition("/")
                if (name := description.upstreams.get(host)) is not None:
                    endpoint = description.services[name]["endpoints"][0]
                    host = endpoint if isinstance(endpoint, str) else endpoint["address"]
                return f"{scheme}://{host}" + (slash + uri if slash else path)
    return None
