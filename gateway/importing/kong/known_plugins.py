"""The translation of each plugin of Kong."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.importing.description import Description, Settings, literal
from gateway.importing.headers import may_refuse
from gateway.importing.kong.effects import Effect, Handler
from gateway.importing.kong.rate_limiting import rate_limiting
from gateway.importing.kong.transformers import request_transformer, response_transformer
from gateway.importing.tree import Item
from gateway.importing.values import network

_AUTHENTICATION = {
    "hmac-auth": "signatures of Kong are a draft that RFC 9421 replaced; see `http_signature` of auth.yaml",
    "oauth2": "the gateway issues no tokens; see `jwt` and `introspection` of auth.yaml",
    "oauth2-introspection": "see `introspection` of auth.yaml",
    "openid-connect": "`jwt` of auth.yaml checks tokens of the issuer; the log-in of browsers is for a proxy in front",
    "ldap-auth": "there is no LDAP; see `forward_auth` of auth.yaml",
    "ldap-auth-advanced": "there is no LDAP; see `forward_auth` of auth.yaml",
    "mtls-auth": "see `mtls` of auth.yaml, with the certificates of each consumer",
    "jwt-signer": "see `jwt` of auth.yaml",
    "saml": "there is no SAML; see `forward_auth` of auth.yaml",
    "vault-auth": "see `api_key` of auth.yaml",
    "opa": "see `forward_auth` of auth.yaml, and conditions of `authorize`",
    "aws-lambda": "the gateway calls no functions; forward to a URL of the function",
    "azure-functions": "the gateway calls no functions; forward to a URL of the function",
}


_HARMLESS = ("session", "jwt-claims-headers", "websocket-size-limit", "grpc-gateway")


def closing(name: str, config: Item) -> str:
    """Why routes with this plugin may not be open without it; "" where they may."""
    if name in _AUTHENTICATION:
        return _AUTHENTICATION[name]
    if name not in PLUGINS and name not in _HARMLESS and may_refuse(name):
        return f"{name} may refuse requests, by its name; say in auth.yaml, or in a policy, who may call"
    code = name in ("pre-function", "post-function", "serverless-functions")
    if code and any(".exit" in text.own_text for key in config.keys() for text in config.items(key)):  # noqa: SIM118
        return "it is a program in Lua that may refuse requests; write it as a policy (docs/writing-middleware.md)"
    return ""


def _key_auth(config: Item, effect: Effect, description: Description) -> None:
    names = config.texts("key_names") or ["apikey"]
    hide = config.flag("hide_credentials")
    config.ignore_default("key_in_body", False)
    config.ignore_default("run_on_preflight", True)
    for index, name in enumerate(names):
        settings: Settings = {}
        if config.flag("key_in_header", True):
            settings["header"] = name
        if config.flag("key_in_query", True):
            settings["query"] = name
        if realm := config.text("realm"):
            settings["realm"] = realm
        wanted = "keys" if index == 0 else f"keys-{name}"
        effect.auth.append(description.scheme(wanted, {"api_key": settings | ({} if hide else {"forward": True})}))
    _anonymous(config, effect, description)


def _basic_auth(config: Item, effect: Effect, description: Description) -> None:
    settings: Settings = {} if config.flag("hide_credentials") else {"forward": True}
    if realm := config.text("realm"):
        settings["realm"] = realm
    config.ignore_default("brute_force_protection", None)
    effect.auth.append(description.scheme("basic", {"basic": settings}))
    _anonymous(config, effect, description)


def _jwt(config: Item, effect: Effect, description: Description) -> None:
    _anonymous(config, effect, description)
    config.ignore_keys("claims_to_verify", "run_on_preflight")
    config.ignore_default("maximum_expiration", 0)
    config.ignore_default("secret_is_base64", False)
    claim = config.text("key_claim_name", "iss")
    if claim != "iss" or not description.issuers:
        why = f"tokens name their key in the claim {claim}" if claim != "iss" else "no consumer has a key for tokens"
        effect.refuse(f"{why}; write `jwt` in auth.yaml by hand")
        return
    where: Settings = {}
    for key, ours in (("uri_param_names", "query"), ("cookie_names", "cookie"), ("header_names", "header")):
        names = [name for name in config.texts(key) if name.lower() != "authorization"]
        if key == "uri_param_names" and config.get(key) is None:
            names = ["jwt"]
        if names:
            where[ours] = names[0]
        if len(names) > 1:
            config.differs("a token is looked for in the first of these only", key)
    config.differs("tokens without `exp` are refused, and clocks may be off by 60 s")
    settings: Settings = {"issuers": description.issuers, **({"from": where} if where else {}), "forward": True}
    effect.auth.append(description.scheme("tokens", {"jwt": settings}))


def _anonymous(config: Item, effect: Effect, description: Description) -> None:
    if name := config.text("anonymous"):
        name = description.consumer_ids.get(name, name)
        if name in description.consumers:
            effect.anonymous.append(description.scheme("anonymous", {"anonymous": {"consumer": name}}))
        else:  # Kong answers 500 to all who bring no credential
            config.unsaid(
                "the file has no such consumer: who brings no credential is refused, until `anonymous` of auth.yaml "
                "names one",
                "anonymous",
            )


def _acl(config: Item, effect: Effect, description: Description) -> None:
    allow = config.texts("allow") or config.texts("whitelist")
    deny = config.texts("deny") or config.texts("blacklist")
    config.ignore_keys("hide_groups_header", "include_consumer_groups", "always_use_authenticated_groups")
    if allow:
        effect.authorize.append({"groups": allow})
    if deny:
        condition = " or ".join(f"{literal(group)} in groups" for group in deny)
        effect.authorize.append({"when": f"not ({condition})"})


def _cors(config: Item, effect: Effect, description: Description) -> None:
    origins = [origin for item in config.items("origins") if (origin := _origin(item))]
    if config.get("origins") is None:
        origins = ["*"]
    if not origins:
        return
    settings: Settings = {"origins": origins}
    if methods := [m for m in config.texts("methods") if m not in ("TRACE", "CONNECT")]:
        settings["methods"] = methods
    credentials = config.flag("credentials")
    headers = config.texts("headers")
    settings["headers"] = headers or ["*", "authorization"]
    if exposed := config.texts("exposed_headers"):
        settings["expose"] = exposed
    if (age := config.number("max_age")) is not None:
        settings["max_age"] = f"{age:.15g}s"
    if credentials and origins == ["*"]:
        config.unsaid(
            "credentials need named origins: name them, then set `credentials: true`",
            "credentials",
        )
    elif credentials:
        settings["credentials"] = True
        if not headers:
            settings["headers"] = ["accept", "authorization", "content-type", "x-requested-with"]
            config.differs("Kong takes every header; with credentials ours must be named, and these are the usual ones")
    config.ignore_default("preflight_continue", False)
    config.ignore_keys("private_network", "allow_origin_absent")
    effect.policy(description, "cors", f"cors-{effect.item.line}", settings)


def _origin(item: Item) -> str:
    text = item.own_text.strip()
    if text == "*" or re.fullmatch(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9.-]+(:\d+)?", text):
        return re.sub(r"^(http://.*):80$|^(https://.*):443$", r"\1\2", text)
    plain = re.sub(r"^\^|\$$", "", text).replace("\\.", ".").replace("\\/", "/")
    match = re.fullmatch(r"([a-z]+\??://)(?:\(?\.\*\)?|\[[^\]]+\][*+])\.([A-Za-z0-9.-]+)(:\d+)?", plain)
    if match and "?" not in match[1]:
        return f"{match[1]}*.{match[2]}{match[3] or ''}"
    item.unsaid("an origin is exact, or has `*.` at the front of its host: write out which are meant")
    return ""


def conditions_of(config: Item) -> list[str]:
    """The conditions of an ip-restriction on the client's address."""
    asked = ("{}", "allow", "whitelist"), ("not ({})", "deny", "blacklist")
    lists = ((form, config.texts(name) or config.texts(former)) for form, name, former in asked)
    networks = ((form, ", ".join(f'"{network(text)}"' for text in texts)) for form, texts in lists if texts)
    return [form.format(f"client in [{listed}]") for form, listed in networks]


def _ip_restriction(config: Item, effect: Effect, description: Description) -> None:
    allow = config.texts("allow") or config.texts("whitelist")
    deny = config.texts("deny") or config.texts("blacklist")
    config.ignore_default("status", 403)
    config.ignore_default("message")
    if allow:
        settings = {"networks": [network(text) for text in allow]}
        effect.policy(description, "ip_allow", f"addresses-{effect.item.line}", settings)
    if deny:
        networks = ", ".join(f'"{network(text)}"' for text in deny)
        effect.authorize.append({"when": f"not (client in [{networks}])"})


def _size_limiting(config: Item, effect: Effect, description: Description) -> None:
    unit = {"kilobytes": "KiB", "bytes": "B"}.get(config.text("size_unit"), "MiB")
    effect.settings["max_body"] = f"{config.number('allowed_payload_size', 128):.15g}{unit}"
    config.ignore_keys("require_content_length")


def _termination(config: Item, effect: Effect, description: Description) -> None:
    status = int(config.number("status_code", 503) or 503)
    answer: Settings = {"status": status}
    body, message = config.get("body"), config.get("message")
    if body is not None:
        answer["body"] = body.own_text
        answer["headers"] = {"content-type": config.text("content_type", "application/json; charset=utf-8")}
    elif message is not None:
        quoted = message.own_text.replace("\\", "\\\\").replace('"', '\\"')
        answer |= {"body": f'{{"message":"{quoted}"}}', "headers": {"content-type": "application/json; charset=utf-8"}}
    config.ignore_default("echo", False)
    config.ignore_default("trigger", None)
    effect.settings["respond"] = answer


def _correlation(config: Item, effect: Effect, description: Description) -> None:
    name = config.text("header_name", "Kong-Request-ID")
    config.ignore_keys("generator")
    ids: Settings = {"header": name.lower(), "trust": "always"}
    if config.flag("echo_downstream"):
        ids["echo"] = True
    description.middleware["request_id"] = ids
    effect.sections.append("request_id")
    if len(effect.item.path) > 2:
        config.differs("every request has an id, of every route")


def _cache(config: Item, effect: Effect, description: Description) -> None:
    config.ignore_keys("strategy", "content_type", "response_code", "request_method", "memory", "cache_control")
    config.ignore_keys("vary_headers", "vary_query_params", "storage_ttl", "ignore_uri_case")
    config.differs(
        "responses are kept as long as they say themselves (`Cache-Control`), not for `cache_ttl`: have backends say it"
    )
    config.ignore_keys("cache_ttl")
    description.middleware.setdefault("cache", {})
    effect.policy(description, "cache", "", {})


def _bots(config: Item, effect: Effect, description: Description) -> None:
    config.ignore_keys("allow", "whitelist")
    for item in (*config.items("deny"), *config.items("blacklist")):
        word = re.fullmatch(r"\(?([\w /.-]+)\)?", item.own_text)
        if word is None:
            item.unsaid("a user agent is blocked by a pattern with `*`: see `blocklist` of middleware.yaml")
            continue
        blocklist: Settings = description.middleware.setdefault("blocklist", {"entries": []})
        blocklist["entries"].append({"user_agent": f"*{word[1]}*", "reason": "as bot-detection had it"})
        effect.sections.append("blocklist")
    config.differs("only what is named here is refused; Kong has a list of its own beside it")
    if len(effect.item.path) > 2:
        config.differs("the blocklist is for all routes")


def _file_log(config: Item, effect: Effect, description: Description) -> None:
    path = config.text("path")
    config.ignore_keys("reopen", "custom_fields_by_lua")
    description.middleware["access_log"] = {"output": "stdout" if path in ("", "/dev/stdout") else path}
    if path.startswith("/dev/stderr"):
        description.middleware["access_log"] = {"output": "stderr"}
    effect.sections.append("access_log")
    if len(effect.item.path) > 2:
        config.differs("the access log has every request, of every route")


def _prometheus(config: Item, effect: Effect, description: Description) -> None:
    config.ignore()
    effect.item.differs("metrics are always there, at /metrics of the admin port, under names of their own")


PLUGINS: Mapping[str, Handler] = {
    "acl": _acl,
    "basic-auth": _basic_auth,
    "bot-detection": _bots,
    "correlation-id": _correlation,
    "cors": _cors,
    "file-log": _file_log,
    "ip-restriction": _ip_restriction,
    "jwt": _jwt,
    "key-auth": _key_auth,
    "key-auth-enc": _key_auth,
    "prometheus": _prometheus,
    "proxy-cache": _cache,
    "proxy-cache-advanced": _cache,
    "rate-limiting": rate_limiting,
    "rate-limiting-advanced": rate_limiting,
    "request-size-limiting": _size_limiting,
    "request-termination": _termination,
    "request-transformer": request_transformer,
    "request-transformer-advanced": request_transformer,
    "response-transformer": response_transformer,
    "response-transformer-advanced": response_transformer,
}

_SHIPPED = "the access log goes to standard output or a file (`access_log`): have an agent ship it from there"
_TRACED = "traces go where `telemetry: {otlp: ...}` says, as many as `trace: {sample: ...}` does"
ELSEWHERE: Mapping[str, str] = dict.fromkeys(
    ("http-log", "tcp-log", "udp-log", "syslog", "loggly", "statsd", "datadog"), _SHIPPED
) | dict.fromkeys(("zipkin", "opentelemetry"), _TRACED)
"""Plugins that are not translated, with what does the same here."""
