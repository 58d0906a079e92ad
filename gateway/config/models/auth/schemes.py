"""The schemes of auth.yaml, each of one kind, and those that need no file of their own."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.models.auth.consumers import Name
from gateway.config.models.auth.forward_auth import ForwardAuthScheme
from gateway.config.models.auth.http_signature import HttpSignatureScheme
from gateway.config.models.auth.introspection import IntrospectionScheme
from gateway.config.models.auth.jwt import JwtScheme
from gateway.config.models.auth.mtls import MtlsScheme
from gateway.config.models.auth.scheme_keys import FORWARD, REALM, CookieName, Realm
from gateway.config.models.base import Late, Model, Section
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Several, Text, Unset, as_list, or_empty, refuse

SomeFiles = Annotated[
    Several[Text],
    Kind("text, or list of texts"),
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
]


class ApiKeyScheme(Section):
    """API keys of consumers, in any of the places that are named here."""

    header: Unset[addresses.OwnHeader] = Field(None, description="Header that holds the key, such as `X-API-Key`.")
    query: Unset[Text] = Field(
        None,
        description="Query parameter that holds the key. Histories and logs of others keep it: better avoid it.",
    )
    cookie: Unset[CookieName] = Field(None, description="Cookie that holds the key.")
    directory: Unset[Text] = Field(
        None,
        description="Directory with keys beside those of `consumers`, such as a mounted Secret; relative to the "
        "configuration directory. The name of a file is that of the consumer, and in it are its keys or their hashes, "
        "one on each line; a key has at least 24 characters. Where `consumers` has no such name, there is no more to "
        "the consumer than its name. It is read again when it changes: a key that is gone no longer holds. Of a file "
        "that cannot be used no key holds, and all others do; `gateway status` names it.",
    )
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


class BasicScheme(Section):
    """User names and passwords of consumers, in `Authorization: Basic` (RFC 7617).

    A password is checked by scrypt, on two threads and within 64 MiB, in turns by address; what comes of it is
    remembered for 5 minutes. A wrong one costs the same for every name: once for each of the different parameters that
    the hashes have. So let all have the same.

    A user of `htpasswd` or `directory` is the consumer of the same name; where `consumers` has none, there is no more
    to it than its name. Users of `consumers` go before both. All is read again when it changes.
    """

    htpasswd: SomeFiles = Field(
        (),
        description="Files as Apache's `htpasswd` makes them (bcrypt, apr1, SHA), relative to the configuration "
        "directory: one, or a list. Of a name that is in them twice, the first counts. The user of a line that cannot "
        "be used cannot sign in, and all others can; `gateway status` names it.",
        examples=["users.htpasswd"],
    )
    directory: Unset[Text] = Field(
        None,
        description="Directory such as a mounted Secret, relative to the configuration directory: the name of a file "
        "is that of the user, and in it is the password or a hash of it. The user of a file that cannot be used cannot "
        "sign in, and all others can.",
    )

    realm: Realm = REALM
    forward: bool = FORWARD


class AnonymousScheme(Section):
    """Callers without a credential. A credential that is wrong is still refused."""

    consumer: Name = Field(
        "anonymous", description="Name of the consumer that all of them are; one of `consumers`, or only a name."
    )


class SchemeConfig(Model):
    """One way to prove who one is. Exactly one of the keys is needed: its kind."""

    api_key: Annotated[Late[ApiKeyScheme] | None, BeforeValidator(or_empty({}))] = Field(None, description="API keys.")
    jwt: Unset[Late[JwtScheme]] = Field(None, description="JSON Web Tokens.")
    basic: Annotated[Late[BasicScheme] | None, BeforeValidator(or_empty({}))] = Field(None, description="HTTP Basic.")
    http_signature: Annotated[Late[HttpSignatureScheme] | None, BeforeValidator(or_empty({}))] = Field(
        None, description="Signed requests (RFC 9421)."
    )
    introspection: Unset[Late[IntrospectionScheme]] = Field(
        None, description="Opaque tokens, of which another service knows whose they are (RFC 7662)."
    )
    mtls: Annotated[Late[MtlsScheme] | None, BeforeValidator(or_empty({}))] = Field(
        None, description="Certificates of clients (mutual TLS)."
    )
    forward_auth: Unset[Late[ForwardAuthScheme]] = Field(
        None, description="A service that is called for every request."
    )
    anonymous: Annotated[Late[AnonymousScheme] | None, BeforeValidator(or_empty({}))] = Field(
        None, description="Callers without a credential; the last of the schemes of a route."
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
        """The model below that key."""
        return getattr(self, self.kind)
