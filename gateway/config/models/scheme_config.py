"""The schemes of auth.yaml, each of one kind."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.models.asking_schemes import ForwardAuthScheme, IntrospectionScheme
from gateway.config.models.base import Model
from gateway.config.models.proof_schemes import HttpSignatureScheme, MtlsScheme
from gateway.config.models.schemes import AnonymousScheme, ApiKeyScheme, BasicScheme, JwtScheme
from gateway.config.values.quantities import Unset, or_empty, refuse


class SchemeConfig(Model):
    """One way to prove who one is. Exactly one of the keys is needed: its kind."""

    api_key: Annotated[ApiKeyScheme | None, BeforeValidator(or_empty({}))] = Field(None, description="API keys.")
    jwt: Unset[JwtScheme] = Field(None, description="JSON Web Tokens.")
    basic: Annotated[BasicScheme | None, BeforeValidator(or_empty({}))] = Field(None, description="HTTP Basic.")
    http_signature: Annotated[HttpSignatureScheme | None, BeforeValidator(or_empty({}))] = Field(
        None, description="Signed requests (RFC 9421)."
    )
    introspection: Unset[IntrospectionScheme] = Field(
        None, description="Opaque tokens, of which another service knows whose they are (RFC 7662)."
    )
    mtls: Annotated[MtlsScheme | None, BeforeValidator(or_empty({}))] = Field(
        None, description="Certificates of clients (mutual TLS)."
    )
    forward_auth: Unset[ForwardAuthScheme] = Field(None, description="A service that is asked for every request.")
    anonymous: Annotated[AnonymousScheme | None, BeforeValidator(or_empty({}))] = Field(
        None, description="Whoever comes without a credential; the last of the schemes of a route."
    )

    @model_validator(mode="after")
    def _is_one(self) -> "SchemeConfig":
        if len(self.model_fields_set) != 1:
            raise refuse(f"exactly one key is needed: {', '.join(type(self).model_fields)}")
        return self

    @property
    def kind(self) -> str:
        """Which of the keys it has."""
        return next(iter(self.model_fields_set))

    @property
    def settings(self) -> Any:
        """What is below that key."""
        return getattr(self, self.kind)
