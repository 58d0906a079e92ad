"""Makes the schemes of auth.yaml. `KINDS` has one line for each kind of scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.auth.anonymous import Anonymous
from gateway.auth.api_key import KeyRing, api_keys, key_paths
from gateway.auth.context import AuthContext
from gateway.auth.key_files import KeyFiles
from gateway.auth.scheme import Scheme
from gateway.auth.token_times import SERVICE as TOKEN_TIMES
from gateway.auth.token_times import TokenTimes
from gateway.config.models import Consumer
from gateway.config.models.auth.jwt import JwtScheme
from gateway.config.models.auth.schemes import AnonymousScheme, ApiKeyScheme, BasicScheme
from gateway.config.problems import ConfigError
from gateway.context import Context


def schemes_of(context: Context) -> Mapping[str, Scheme]:
    """The schemes of a configuration, by name, made once. Raises ConfigError where files that they need are unfit."""
    return context.once("schemes", lambda: _build(context))


def _build(context: Context) -> Mapping[str, Scheme]:
    auth = AuthContext(context)
    built: dict[str, Scheme] = {}
    for name, config in context.configuration.auth.schemes.items():
        built[name] = KINDS[config.kind](auth, name, config.settings)
    if auth.problems:
        raise ConfigError(auth.problems)
    if auth.unusable:
        from gateway.auth.mounted import UnusableCredentials  # noqa: PLC0415

        texts = tuple(text for _, text in auth.unusable)
        auth.plan.need(("unusable-credentials", texts), lambda: UnusableCredentials(texts), ("auth.yaml", ("schemes",)))
    return built


def _api_keys(auth: AuthContext, name: str, config: ApiKeyScheme) -> Scheme:
    consumers, base = auth.config.consumers, auth.base
    paths = key_paths(consumers, base)
    files = auth.plan.need(("key-files", paths), lambda: KeyFiles(paths), ("auth.yaml", ("consumers",)))
    for error in files.read():
        auth.problem(auth.place_of_key_file(error.path), str(error))
    mounted: Mapping[bytes, Consumer] = {}
    if config.directory is not None:
        from gateway.auth.mounted import mounted_keys  # noqa: PLC0415

        mounted = mounted_keys(auth, name, config)
    ring = KeyRing(consumers, lambda who, print_: auth.identities.of_consumer(who, name, print_), files, base, mounted)
    return api_keys(name, config, ring)


def _basic(auth: AuthContext, name: str, config: BasicScheme) -> Scheme:
    from gateway.auth.basic import Basic, users  # noqa: PLC0415
    from gateway.auth.mounted import mounted_users  # noqa: PLC0415
    from gateway.auth.password_checks import PasswordChecks  # noqa: PLC0415

    checks = auth.plan.need(("password-checks",), PasswordChecks, ("auth.yaml", ("schemes", name)))
    known = mounted_users(auth, name, config) | users(name, auth)
    return Basic(name, known, checks, config.realm, forward=config.forward)


def _anonymous(auth: AuthContext, name: str, config: AnonymousScheme) -> Scheme:
    return Anonymous(name, auth.identities.named(config.consumer, name))


# What follows needs cryptography or an HTTP client: megabytes, for those who use it.


def _jwt(auth: AuthContext, name: str, config: JwtScheme) -> Scheme:
    from gateway.auth.issuers import issuer  # noqa: PLC0415
    from gateway.auth.jwt import Jwt  # noqa: PLC0415
    from gateway.auth.subjects import SubjectMapper  # noqa: PLC0415
    from gateway.auth.token_locations import token_locations  # noqa: PLC0415

    places = [("schemes", name, "jwt", "issuers", index) for index in range(len(config.issuers))]
    issuers = {found.issuer: issuer(auth, found, place) for found, place in zip(config.issuers, places, strict=True)}
    subjects = SubjectMapper(auth.config.consumers, auth.identities)
    times = auth.plan.need(TOKEN_TIMES, TokenTimes, ("auth.yaml", ("schemes", name)))
    return Jwt(
        name, issuers, subjects, config.realm, times, forward=config.forward, locations=token_locations(config.from_)
    )


def _http_signature(auth: AuthContext, name: str, config: Any) -> Scheme:
    from gateway.auth.http_signature import http_signature  # noqa: PLC0415

    return http_signature(auth, name, config)


def _introspection(auth: AuthContext, name: str, config: Any) -> Scheme:
    from gateway.auth.introspection import introspection  # noqa: PLC0415

    return introspection(auth, name, config)


def _mtls(auth: AuthContext, name: str, config: Any) -> Scheme:
    from gateway.auth.mtls import mtls  # noqa: PLC0415

    return mtls(auth, name, config)


def _forward_auth(auth: AuthContext, name: str, config: Any) -> Scheme:
    from gateway.auth.forward_auth import forward_auth  # noqa: PLC0415

    return forward_auth(auth, name, config)


KINDS: Mapping[str, Callable[[AuthContext, str, Any], Scheme]] = {
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
