"""From auth.yaml to the schemes that are in it. `KINDS` has one line for each kind of scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.auth.anonymous import Anonymous
from gateway.auth.api_key import api_keys
from gateway.auth.basic import Basic, users
from gateway.auth.key_files import KeyFiles
from gateway.auth.key_ring import KeyRing, key_paths
from gateway.auth.outcome import Scheme
from gateway.auth.password_checks import PasswordChecks
from gateway.auth.workshop import Workshop
from gateway.config.models import AuthFile
from gateway.config.models.auth.jwt import JwtScheme
from gateway.config.models.auth.schemes import AnonymousScheme, ApiKeyScheme, BasicScheme
from gateway.config.problems import ConfigError
from gateway.context import Context


def schemes_of(context: Context) -> Mapping[str, Scheme]:
    """The schemes of a configuration, by name, made once. Raises ConfigError where files that they need are unfit."""
    return context.once("schemes", lambda: _build(context))


def _build(context: Context) -> Mapping[str, Scheme]:
    shop = Workshop(context)
    built: dict[str, Scheme] = {}
    for name, config in context.configuration.auth.schemes.items():
        built[name] = KINDS[config.kind](shop, name, config.settings)
    if shop.problems:
        raise ConfigError(shop.problems)
    return built


def _api_keys(shop: Workshop, name: str, config: ApiKeyScheme) -> Scheme:
    consumers, base = shop.auth.consumers, shop.context.base
    paths = key_paths(consumers, base)
    files = shop.context.plan.need(("key-files", paths), lambda: KeyFiles(paths), ("auth.yaml", ("consumers",)))
    for error in files.read():
        shop.problem(shop.place_of_key_file(error.path), str(error))
    ring = KeyRing(consumers, lambda who, print_: shop.identities.of_consumer(who, name, print_), files, base)
    return api_keys(name, config, ring)


def _basic(shop: Workshop, name: str, config: BasicScheme) -> Scheme:
    checks = shop.context.plan.need(("password-checks",), PasswordChecks, ("auth.yaml", ("schemes", name)))
    return Basic(name, users(name, shop), checks, config.realm, forward=config.forward)


def _anonymous(shop: Workshop, name: str, config: AnonymousScheme) -> Scheme:
    return Anonymous(name, shop.identities.named(config.consumer, name))


# What follows needs cryptography or an HTTP client: megabytes, for those who use it.


def _jwt(shop: Workshop, name: str, config: JwtScheme) -> Scheme:
    from gateway.auth.bearers import Bearers  # noqa: PLC0415
    from gateway.auth.issuers import issuer  # noqa: PLC0415
    from gateway.auth.jwt import Jwt  # noqa: PLC0415
    from gateway.auth.token_places import token_places  # noqa: PLC0415

    places = [("schemes", name, "jwt", "issuers", index) for index in range(len(config.issuers))]
    issuers = {found.issuer: issuer(shop, found, place) for found, place in zip(config.issuers, places, strict=True)}
    bearers = Bearers(shop.auth.consumers, shop.identities)
    return Jwt(name, issuers, bearers, config.realm, forward=config.forward, places=token_places(config.from_))


def _http_signature(shop: Workshop, name: str, config: Any) -> Scheme:
    from gateway.auth.http_signature import http_signature  # noqa: PLC0415

    return http_signature(shop, name, config)


def _introspection(shop: Workshop, name: str, config: Any) -> Scheme:
    from gateway.auth.introspection import introspection  # noqa: PLC0415

    return introspection(shop, name, config)


def _mtls(shop: Workshop, name: str, config: Any) -> Scheme:
    from gateway.auth.mtls import mtls  # noqa: PLC0415

    return mtls(shop, name, config)


def _forward_auth(shop: Workshop, name: str, config: Any) -> Scheme:
    from gateway.auth.forward_auth import forward_auth  # noqa: PLC0415

    return forward_auth(shop, name, config)


KINDS: Mapping[str, Callable[[Workshop, str, Any], Scheme]] = {
    "api_key": _api_keys,
    "jwt": _jwt,
    "basic": _basic,
    "http_signature": _http_signature,
    "introspection": _introspection,
    "mtls": _mtls,
    "forward_auth": _forward_auth,
    "anonymous": _anonymous,
}
"""How each kind of scheme is made of its settings: what SchemeConfig has as keys."""


def secret_parameters(auth: AuthFile) -> frozenset[bytes]:
    """The query parameters that hold credentials of whatever scheme."""
    names = [getattr(scheme.settings, "query", None) for scheme in auth.schemes.values()]
    names += [scheme.settings.from_.query for scheme in auth.schemes.values() if hasattr(scheme.settings, "from_")]
    return frozenset(name.encode() for name in names if name)
