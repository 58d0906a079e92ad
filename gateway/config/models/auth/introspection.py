"""Opaque tokens, of which their issuer says whose they are (RFC 7662)."""

from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.config.models.auth.scheme_keys import FORWARD, REALM, TOKEN_FROM, Claims, Realm, TokenFrom
from gateway.config.models.base import Model
from gateway.config.values.addresses import HttpUrl
from gateway.config.values.kinds import Kind, Several, Text, Unset, refuse
from gateway.config.values.quantities import Duration, DurationOrZero

Secret = Annotated[SecretStr, Kind("text")]


class IntrospectionScheme(Model):
    """Opaque tokens, of which their issuer says whose they are (RFC 7662)."""

    url: HttpUrl = Field(
        description="The introspection endpoint. Use https.", examples=["https://login.example.com/introspect"]
    )
    client_id: Unset[Text] = Field(None, description="The name by which the gateway calls itself there.")
    client_secret: Unset[Secret] = Field(
        None, description="Its secret: `${INTROSPECTION_SECRET}`, not the text itself. Together with `client_id`."
    )
    token: Unset[Secret] = Field(None, description="Instead of both: a bearer token that the gateway shows there.")
    issuer: Unset[Text] = Field(None, description="The `iss` that answers must have, if they have one. Unset: any.")
    audiences: Several[Text] = Field((), description="One of these must be in `aud`. None: it is not looked at.")
    claims: Claims = Field(Claims.unset(), description="Which members of the answer say what.")
    cache: DurationOrZero = Field(
        60,
        description="How long an answer is reused, and never longer than the token is valid. That is also how long "
        "a token still works after it was revoked.",
    )
    negative_cache: DurationOrZero = Field(10, description="How long the answer that a token is not valid is reused.")
    timeout: Duration = Field(2, description="To answer; later is a 503 for the caller.")
    from_: TokenFrom = TOKEN_FROM
    realm: Realm = REALM
    forward: bool = FORWARD

    @field_validator("client_secret", "token", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if isinstance(value, str) and value.isascii() and value.isprintable():
            return SecretStr(value)
        raise refuse("expected a text of plain characters")

    @model_validator(mode="after")
    def _has_credentials(self) -> "IntrospectionScheme":
        if (self.client_id is None) != (self.client_secret is None):
            raise refuse("client_id and client_secret belong together; add the other one")
        if self.token is not None and self.client_id is not None:
            raise refuse("token and client_id exclude each other; remove one of them")
        return self
