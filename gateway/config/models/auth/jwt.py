"""JSON Web Tokens, and who issues them."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from gateway.config.models.auth.scheme_keys import FORWARD, REALM, TOKEN_FROM, Claims, Realm, TokenFrom
from gateway.config.models.base import Model
from gateway.config.values.addresses import HttpUrl
from gateway.config.values.kinds import Kind, Several, SomeOf, Text, Unset, refuse
from gateway.config.values.quantities import Duration, DurationOrZero

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
_KEYS = ("jwks_url", "discovery", "key", "key_file", "secret")


class IssuerConfig(Model):
    """An issuer whose tokens are accepted. Exactly one of jwks_url, discovery, key, key_file and secret is needed."""

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
    required_claims: Several[Text] = Field((), description="Required claims, beside `iss` and `exp`.")
    claims: Claims = Field(Claims.unset(), description="Which claims say what.")
    refresh: Duration = Field(
        600,
        description="The age of its keys after which they are fetched again in the background; less if it says so.",
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
            raise refuse("HS256, HS384 and HS512 need a secret: with a public key as the secret any client could sign")
        if self.secret is not None:
            secret = self.secret.get_secret_value()
            needed = max(int(name[2:]) // 8 for name in self.algorithms)
            if len(secret.encode()) < needed:
                raise refuse(
                    f"the secret is shorter than the {needed} bytes that RFC 7518, 3.2 asks for; make a longer one"
                )
            if "-----BEGIN" in secret:
                raise refuse("this is a key in PEM, not a secret; use key or key_file, and the algorithm of the key")
        return self


class JwtScheme(Model):
    """JSON Web Tokens in `Authorization: Bearer`, or where `from` says."""

    issuers: SomeOf[IssuerConfig] = Field(
        description="The issuers whose tokens are accepted.",
        examples=[[{"issuer": "https://login.example.com/", "audiences": ["api"], "algorithms": ["RS256"]}]],
    )
    from_: TokenFrom = TOKEN_FROM
    realm: Realm = REALM
    forward: bool = FORWARD

    @field_validator("issuers")
    @classmethod
    def _differ(cls, issuers: tuple[IssuerConfig, ...]) -> tuple[IssuerConfig, ...]:
        if len({issuer.issuer for issuer in issuers}) < len(issuers):
            raise refuse("an issuer is duplicated; remove one of them")
        return issuers
