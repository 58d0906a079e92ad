"""How callers prove who they are: the schemes of auth.yaml."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from gateway.config.models.base import Model, Section
from gateway.config.models.consumers import Name
from gateway.config.values import addresses
from gateway.config.values.quantities import (
    Duration,
    DurationOrZero,
    Kind,
    Several,
    SomeOf,
    Text,
    Unset,
    as_list,
    refuse,
)

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]

_SCHEME_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}", re.ASCII)
_REALM = re.compile(r"[ -~]{1,100}", re.ASCII)
_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_URL = re.compile(r"https?://[^/?#\s@\\]+(/[^\s#\\]*)?", re.ASCII)
_KEYS = ("jwks_url", "discovery", "key", "key_file", "secret")


def _check_scheme_name(text: str) -> str:
    if _SCHEME_NAME.fullmatch(text) is None:
        raise refuse("the name of a scheme is a letter, then letters, digits, hyphens and underscores, at most 63")
    return text


def _check_realm(text: str) -> str:
    if _REALM.fullmatch(text) is None or '"' in text or "\\" in text:
        raise refuse("a realm is 1 to 100 plain characters, without quotes and backslashes")
    return text


def _check_cookie(text: str) -> str:
    if _COOKIE.fullmatch(text) is None:
        raise refuse("the name of a cookie is letters, digits and hyphens")
    return text


def _check_protocol(text: str) -> str:
    if _COOKIE.fullmatch(text) is None or len(text) > 60:
        raise refuse(
            "a WebSocket subprotocol begins with letters, digits, dots and hyphens, at most 60: such as bearer"
        )
    return text


def _check_url(text: str) -> str:
    if _URL.fullmatch(text) is None:
        raise refuse("expected a URL such as https://login.example.com/keys, without a user and without a fragment")
    return text


SchemeName = Annotated[str, Kind("scheme name", "^[A-Za-z][A-Za-z0-9_-]{0,62}$"), AfterValidator(_check_scheme_name)]
Realm = Annotated[str, Kind("text"), AfterValidator(_check_realm)]
ProtocolName = Annotated[str, Kind("text"), AfterValidator(_check_protocol)]
CookieName = Annotated[str, Kind("cookie name"), AfterValidator(_check_cookie)]
HttpUrl = Annotated[str, Kind("URL", "^https?://"), AfterValidator(_check_url)]

SchemeNames = Annotated[
    Several[SchemeName],
    Kind("scheme name, or list of them"),
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
]

REALM = Field("gateway", description="The realm that a 401 names.")
FORWARD = Field(
    False,
    description="Let the backend see the credential, too. Off: it ends here; the backend is told who it is.",
)


class ApiKeyScheme(Section):
    """API keys of consumers, in any of the places that are named here."""

    header: Unset[addresses.OwnHeader] = Field(None, description="Header that holds the key, such as `X-API-Key`.")
    query: Unset[Text] = Field(
        None,
        description="Query parameter that holds the key. Histories and logs of others keep it: better avoid it.",
    )
    cookie: Unset[CookieName] = Field(None, description="Cookie that holds the key.")
    realm: Realm = REALM
    forward: bool = FORWARD

    @model_validator(mode="before")
    @classmethod
    def _has_a_place(cls, value: Any) -> Any:
        """A scheme that names no place looks for the key where most do."""
        places = ("header", "query", "cookie")
        if isinstance(value, dict) and not any(place in value for place in places):
            return {"header": "X-API-Key", **value}
        return {"header": "X-API-Key"} if value is None else value


class Claims(Section):
    """Which claims say what. A claim within another is written with a dot: `realm_access.roles`."""

    consumer: Text = Field("sub", description="The name of the consumer.")
    tenant: Unset[Text] = Field(None, description="The tenant.")
    groups: Unset[Text] = Field(None, description="The groups: a list of texts, or one text.")
    scopes: Text = Field("scope", description="The scopes: a text with spaces between them, or a list of texts.")


class IssuerConfig(Model):
    """Somebody whose tokens are believed. Exactly one of jwks_url, discovery, key, key_file and secret is needed."""

    issuer: Text = Field(
        description="The claim `iss` of its tokens, character by character.", examples=["https://login.example.com/"]
    )
    audiences: Several[Text] = Field(
        description="One of these must be in the claim `aud`. `[]`: it is not looked at, which is right only where "
        "every token of the issuer is meant for this gateway.",
        examples=[["orders-api"]],
    )
    algorithms: SomeOf[Algorithm] = Field(
        description="How its tokens may be signed. HS* only with `secret`, the others only with public keys.",
        examples=[["RS256"]],
    )
    jwks_url: Unset[HttpUrl] = Field(None, description="Where its keys are (a JSON Web Key Set). Use https.")
    discovery: Unset[HttpUrl] = Field(
        None,
        description="Where it says where its keys are (OpenID Connect Discovery), such as "
        "`https://login.example.com/.well-known/openid-configuration`.",
    )
    key: Unset[str] = Field(None, description="Its public keys in PEM, one after the other.")
    key_file: Unset[Text] = Field(
        None,
        description="A file with its public keys, in PEM or as a JSON Web Key Set, relative to the configuration "
        "directory. It is read when the configuration is.",
    )
    secret: Unset[Annotated[SecretStr, Kind("text")]] = Field(
        None, description="The secret that it shares with the gateway, for HS*: `${JWT_SECRET}`, not the text itself."
    )
    leeway: DurationOrZero = Field(60, description="How far its clock may be off, for `exp`, `nbf` and `iat`.")
    required_claims: Several[Text] = Field((), description="Claims that must be there, beside `iss` and `exp`.")
    claims: Claims = Field(Claims(), description="Which claims say what.")
    refresh: Duration = Field(
        600,
        description="How old its keys grow before they are fetched again beside the traffic; less if it says so.",
    )
    stale: Duration = Field(
        86400, description="How long its keys still hold when they cannot be fetched again, counted from the last time."
    )

    @field_validator("audiences", mode="before")
    @classmethod
    def _one_audience(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("leeway")
    @classmethod
    def _is_short(cls, leeway: float) -> float:
        if leeway > 600:
            raise refuse("a leeway of more than 10m would let expired tokens live on; set the clocks right")
        return leeway

    @field_validator("secret", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return SecretStr(value)
        raise refuse("expected a text")

    @field_validator("stale")
    @classmethod
    def _outlives_refresh(cls, stale: float, info: ValidationInfo) -> float:
        if stale < info.data.get("refresh", 0):
            raise refuse("stale is counted from the last fetch: it must not be less than refresh")
        return stale

    @model_validator(mode="after")
    def _has_fitting_keys(self) -> "IssuerConfig":
        if sum(getattr(self, name) is not None for name in _KEYS) != 1:
            raise refuse(f"exactly one of {', '.join(_KEYS[:-1])} and {_KEYS[-1]} is needed")
        symmetric = [name.startswith("HS") for name in self.algorithms]
        if self.secret is not None and not all(symmetric):
            raise refuse("a secret is for HS256, HS384 and HS512 only; the other algorithms need a public key")
        if self.secret is None and any(symmetric):
            raise refuse("HS256, HS384 and HS512 need a secret: with a public key as the secret anybody could sign")
        if self.secret is not None:
            _check_secret(self.secret.get_secret_value(), self.algorithms)
        return self


def _check_secret(secret: str, algorithms: tuple[Algorithm, ...]) -> None:
    needed = max(int(name[2:]) // 8 for name in algorithms)
    if len(secret.encode()) < needed:
        raise refuse(f"the secret is shorter than the {needed} bytes that RFC 7518, 3.2 asks for; make a longer one")
    if "-----BEGIN" in secret:
        raise refuse("this is a key in PEM, not a secret; use key or key_file, and the algorithm of the key")


class TokenFrom(Section):
    """Where a token may be, beside `Authorization: Bearer`, which browsers do not send on WebSockets and event streams.

    What is found there ends at the gateway, and is in no log. Two places with different tokens are a 400.
    """

    header: Unset[addresses.OwnHeader] = Field(
        None, description="Another header that holds the token, with or without `Bearer` in front."
    )
    cookie: Unset[CookieName] = Field(
        None,
        description="Cookie that holds the token. Other sites can make browsers send it: give it `SameSite=Strict`, or "
        "check `Origin`.",
    )
    query: Unset[Text] = Field(
        None,
        description="Query parameter that holds the token. Histories of browsers and logs of others keep it: such "
        "tokens should be short-lived.",
    )
    websocket_protocol: Unset[ProtocolName] = Field(
        None,
        description="How an entry of `Sec-WebSocket-Protocol` begins that holds the token: with `bearer`, the "
        "browser's `new WebSocket(url, ['bearer.' + token, 'chat'])`. The backend gets the other entries, of which it "
        "must select one; a browser that offers nothing but the token gives up.",
    )


TOKEN_FROM = Field(TokenFrom(), alias="from", description="Where a token may be, beside `Authorization: Bearer`.")


class JwtScheme(Model):
    """JSON Web Tokens in `Authorization: Bearer`, or where `from` says."""

    issuers: SomeOf[IssuerConfig] = Field(
        description="Whose tokens are believed.",
        examples=[[{"issuer": "https://login.example.com/", "audiences": ["api"], "algorithms": ["RS256"]}]],
    )
    from_: TokenFrom = TOKEN_FROM
    realm: Realm = REALM
    forward: bool = FORWARD

    @field_validator("issuers")
    @classmethod
    def _differ(cls, issuers: tuple[IssuerConfig, ...]) -> tuple[IssuerConfig, ...]:
        if len({issuer.issuer for issuer in issuers}) < len(issuers):
            raise refuse("an issuer is there twice; remove one of them")
        return issuers


class BasicScheme(Section):
    """User names and passwords of consumers, in `Authorization: Basic` (RFC 7617).

    A password is checked by scrypt, on two threads and within 64 MiB, in turns by address; what comes of it is
    remembered for 5 minutes. A wrong one costs the same for every name: once for each of the different parameters that
    the hashes have. So let all have the same.
    """

    realm: Realm = REALM
    forward: bool = FORWARD


class AnonymousScheme(Section):
    """Whoever comes without a credential. A credential that is wrong is refused all the same."""

    consumer: Name = Field(
        "anonymous", description="Name of the consumer that all of them are; one of `consumers`, or only a name."
    )
