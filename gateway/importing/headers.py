"""Values of headers as ours: variables, secrets, and what cannot be a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from gateway.config.models.header_rules import PIECES, RequestHeaders
from gateway.http.fields import folded
from gateway.importing.description import Description, Settings
from gateway.importing.tree import Item
from gateway.importing.variables import filled_in

_SECRET = re.compile(r"authori[sz]ation|token|secret|api[-_]?key|password|cookie|credential|signature", re.IGNORECASE)


_GUARDS = re.compile(
    r"auth|oidc|jwt|token|saml|ldap|keycloak|rbac|acl|opa|session|bouncer|block|waf|allow|deny|fail2ban|signature|vault|ip-?filter|whitelist|firewall|guard",
    re.IGNORECASE,
)


def may_refuse(*names: str) -> bool:
    """Whether a plugin of this name probably restricts access."""
    return any(_GUARDS.search(name) for name in names)


def cors_methods(methods: Iterable[str]) -> list[str]:
    """Those that pages may use: CONNECT and TRACE are never forwarded, and `*` is said by saying none."""
    return [method for method in methods if method.upper() not in ("CONNECT", "TRACE", "*")]


def cors_rule(
    item: Item, origins: list[str], *, methods: str, headers: str, expose: str, credentials: str, max_age: str
) -> Settings:
    """A rule of `cors`. `max_age` is a duration or empty; the others are the keys that the original has for it."""
    lists = {"methods": cors_methods(item.texts(methods)), "headers": item.texts(headers), "expose": item.texts(expose)}
    settings: Settings = {"origins": origins} | {key: texts for key, texts in lists.items() if texts}
    if max_age:
        settings["max_age"] = max_age
    if item.flag(credentials):
        if "*" in [*origins, *lists["headers"], *lists["expose"]]:
            item.unsaid("credentials are not for everything: name what `*` means", credentials)
        else:
            settings["credentials"] = True
    return settings


_SECURITY = {
    "frameDeny": ("X-Frame-Options", "DENY"),
    "contentTypeNosniff": ("X-Content-Type-Options", "nosniff"),
    "browserXssFilter": ("X-XSS-Protection", "1; mode=block"),
}
_TEXTS = {
    "customFrameOptionsValue": "X-Frame-Options",
    "customBrowserXSSValue": "X-XSS-Protection",
    "contentSecurityPolicy": "Content-Security-Policy",
    "contentSecurityPolicyReportOnly": "Content-Security-Policy-Report-Only",
    "referrerPolicy": "Referrer-Policy",
    "permissionsPolicy": "Permissions-Policy",
    "featurePolicy": "Feature-Policy",
    "publicKey": "Public-Key-Pins",
}


def security_headers(item: Item, spelled: Callable[[str], str]) -> dict[str, str]:
    """Headers of responses that Traefik and KrakenD have keys for. `spelled`: the original's form of a key of
    Traefik."""
    found = {header: text for key, (header, text) in _SECURITY.items() if item.flag(spelled(key))}
    found |= {header: text for key, header in _TEXTS.items() if (text := item.text(spelled(key)))}
    if (seconds := item.number(spelled("stsSeconds"))) is not None and seconds > 0:
        parts = [f"max-age={seconds:.15g}"]
        parts += ["includeSubDomains"] * item.flag(spelled("stsIncludeSubdomains"))
        parts += ["preload"] * item.flag(spelled("stsPreload"))
        found["Strict-Transport-Security"] = "; ".join(parts)
    item.ignore_keys(spelled("stsIncludeSubdomains"), spelled("stsPreload"))
    return found


def is_secret(name: str) -> bool:
    """Whether the value of this name is probably a secret."""
    return _SECRET.search(name) is not None


def header_value(name: str, value: str, item: Item, description: Description) -> str | None:
    """The value as it is written in middleware.yaml; None, and said in the report, where it cannot be one."""
    if not settable(name):
        item.unsaid(f"the gateway sets {name} itself")
        return None
    if not value.isascii() or not value.isprintable():
        item.unsaid("the value of a header is printable ASCII")
        return None
    if isinstance(filled := filled_in(item, description), str) and filled != item.own_text:
        return type(filled)(filled.partition(":")[2].strip() if filled.startswith(name) else filled)
    if value and is_secret(name):
        return description.secret(f"HEADER_{folded(name.encode()).decode()}", item.place)
    if "$(" in value:
        return _of_template(value, item)
    return escaped(value)


_TEMPLATE = re.compile(r"""\$\((headers|query_params)(?:\.|\[["'])([\w-]+)(?:["']\])?\)""")


def _of_template(value: str, item: Item) -> str | None:
    """A template of Kong, with our variables."""
    if "$(" in _TEMPLATE.sub("", value):
        item.unsaid("only headers and query parameters of the request are taken into a value; see `set` of routes")
        return None

    def variable(match: re.Match[str]) -> str:
        of_headers = match[1] == "headers"
        return "{headers." + match[2].replace("_", "-") + "}" if of_headers else "{query." + match[2] + "}"

    return _TEMPLATE.sub(variable, value)


def escaped(value: str) -> str:
    """A value in which braces stand for themselves."""
    return PIECES.sub(lambda match: "{" + match[0] + "}" if match[2] else match[0], value)


def settable(name: str) -> bool:
    """Whether a rule of `headers` may set this header of a request."""
    try:
        RequestHeaders(set={name: "x"})
    except ValueError:
        return False
    return True
