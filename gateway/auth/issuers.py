"""Makes the keys of an issuer and the rules for its tokens from auth.yaml."""

from __future__ import annotations

from gateway.auth.claims import ClaimRules
from gateway.auth.context import AuthContext
from gateway.auth.jwk import OTHER_PURPOSES, Key, KeyUnfitError, from_jwks, from_pem, from_secret
from gateway.auth.jwks import JwksSettings, PublishedKeys
from gateway.auth.jwt import Issuer
from gateway.auth.key_set import FixedKeys, KeySource
from gateway.auth.token import load_json
from gateway.config.models.auth.jwt import IssuerConfig
from gateway.config.problems import Path as Place
from gateway.config.regular_files import read_secret, to_mend


def issuer(auth: AuthContext, config: IssuerConfig, place: Place) -> Issuer:
    """The issuer; what is wrong with its keys is a problem of `auth`."""
    rules = ClaimRules(frozenset(config.audiences), config.leeway, config.required_claims)
    return Issuer(frozenset(config.algorithms), _keys(auth, config, place), rules, config.claims)


def _keys(auth: AuthContext, config: IssuerConfig, place: Place) -> KeySource:
    url = config.jwks_url or config.discovery
    if url is not None:
        settings = JwksSettings(config.issuer, url, config.discovery is not None, config.refresh, config.stale)
        return auth.plan.need(("jwks", settings), lambda: PublishedKeys(settings), ("auth.yaml", place))
    if config.secret is not None:
        return FixedKeys([from_secret(config.secret.get_secret_value().encode())])
    where = "key" if config.key is not None else "key_file"
    try:
        keys = from_pem(config.key) if config.key is not None else _in_file(auth, config.key_file or "")
    except KeyUnfitError as error:
        auth.problem((*place, where), str(error))
        return FixedKeys(())
    fitting = [key for key in keys if not key.algorithms.isdisjoint(config.algorithms)]
    if not fitting:
        allowed = ", ".join(sorted(set().union(*(key.algorithms for key in keys))))
        auth.problem((*place, "algorithms"), f"no key is for any of these algorithms; they are for {allowed}")
    return FixedKeys(fitting)


def _in_file(auth: AuthContext, name: str) -> list[Key]:
    try:
        text = read_secret(auth.base / name)
    except OSError as error:
        raise KeyUnfitError(f"the file cannot be read: {error.strerror}; {to_mend(error)}") from None
    except UnicodeDecodeError:
        raise KeyUnfitError("the file is not UTF-8") from None
    except ValueError as error:
        raise KeyUnfitError(f"the file cannot be used: {error}") from None
    if not text.lstrip().startswith("{"):
        return from_pem(text)
    # The keys of a JSON Web Key Set in a file: there, each must be fit that is for verifying signatures.
    try:
        keys, wrong = from_jwks(load_json(text.encode()))
    except (ValueError, RecursionError) as error:
        raise KeyUnfitError(f"the file is not a JSON Web Key Set: {error}") from None
    if not keys or not all(reason.endswith(OTHER_PURPOSES) for reason in wrong):
        raise KeyUnfitError(f"the file has keys that cannot be used: {'; '.join(wrong[:5]) or 'it has none'}")
    return keys
