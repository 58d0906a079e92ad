"""Schemes that ask another service who calls: token introspection (RFC 7662), and forward_auth."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.config.models.base import Model, Section
from gateway.config.models.schemes import FORWARD, REALM, TOKEN_FROM, Claims, HttpUrl, Realm, TokenFrom
from gateway.config.values import addresses
from gateway.config.values.quantities import Duration, DurationOrZero, Kind, Several, Text, Unset, refuse

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
    claims: Claims = Field(Claims(), description="Which members of the answer say what.")
    cache: DurationOrZero = Field(
        60,
        description="How long an answer is believed, and never longer than the token holds. That is also how long "
        "a token still works after it was revoked.",
    )
    negative_cache: DurationOrZero = Field(10, description="How long it is believed that a token does not hold.")
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


class IdentityFrom(Section):
    """Which headers of the service's answer say who calls."""

    consumer: Unset[addresses.OwnHeader] = Field(
        None, description="The consumer's name. Unset, or not there: the name of the scheme."
    )
    tenant: Unset[addresses.OwnHeader] = Field(None, description="The tenant.")
    groups: Unset[addresses.OwnHeader] = Field(None, description="The groups, separated by commas.")
    scopes: Unset[addresses.OwnHeader] = Field(None, description="The scopes, separated by spaces.")


class ForwardAuthScheme(Model):
    """A service that is asked for every request, as `auth_request` of nginx and ForwardAuth of Traefik do.

    It gets a GET with `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`, and never the body. 2xx: the request
    may pass. 401, 403 and redirects are the caller's answer, as they are. Anything else is as if it had not answered.
    """

    url: HttpUrl = Field(description="What is asked.", examples=["http://auth:8080/verify"])
    request_headers: Several[addresses.HeaderName] = Field(
        ("authorization", "cookie"),
        description="Headers of the request that the service gets to see; `X-Forwarded-*`, and others by which proxies "
        "say where a request came from, only from `trusted_proxies`.",
    )
    from_: TokenFrom = TOKEN_FROM
    response_headers: Several[addresses.HeaderName] = Field(
        (),
        description="Headers of its answer that the backend gets to see. What clients send under these is removed, and "
        "so it is under those that say who calls. Those that the gateway writes itself are refused.",
    )
    client_response_headers: Several[addresses.HeaderName] = Field(
        (),
        description="Headers of its answer that the client gets, beside those of the backend, where it lets the "
        "request pass: `Set-Cookie` for a session that it renews.",
        examples=["set-cookie"],
    )
    identity: IdentityFrom = Field(IdentityFrom(), description="Which headers of its answer say who calls.")
    timeout: Duration = Field(2, description="To answer.")
    on_failure: Literal["unavailable", "forbidden"] = Field(
        "unavailable",
        description="What callers get where it does not answer: 503 (`unavailable`) or 403 (`forbidden`).",
    )
