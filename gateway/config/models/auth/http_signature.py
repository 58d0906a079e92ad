"""Signed requests (RFC 9421), and the keys that consumers sign with."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from gateway.config.models.auth.scheme_keys import FORWARD, REALM, Realm
from gateway.config.models.base import Model, Section
from gateway.config.values.kinds import Kind, SomeOf, Text, Unset, refuse
from gateway.config.values.quantities import Duration, DurationOrZero

_DERIVED = frozenset({"@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"})
_FIELD: Final = r"[!#$%&'*+.^_`|~0-9a-z-]+"


def _check_component(text: str) -> str:
    name = text.lower()
    if name in _DERIVED or (not name.startswith("@") and re.fullmatch(_FIELD, name, re.ASCII)):
        return name
    raise refuse(f"expected the name of a header, or one of {', '.join(sorted(_DERIVED))}")


Component = Annotated[str, Kind("component"), AfterValidator(_check_component)]
SignatureAlgorithm = Literal[
    "hmac-sha256", "ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256"
]


class SignatureKeyConfig(Model):
    """A key that signs requests. Exactly one of secret, key and key_file is needed."""

    key_id: Text = Field(description="The `keyid` of its signatures, unique.", examples=["acme-2026"])
    algorithm: SignatureAlgorithm = Field(description="How it signs.", examples=["ed25519"])
    secret: Unset[Annotated[SecretStr, Kind("text")]] = Field(
        None,
        description="The secret that it shares with the gateway, at least 32 bytes, for hmac-sha256: "
        "`${file:/run/secrets/acme}`, not the text itself.",
    )
    key: Unset[str] = Field(None, description="Its public key in PEM.")
    key_file: Unset[Text] = Field(
        None, description="A file with its public key in PEM, relative to the configuration directory."
    )

    @field_validator("secret", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise refuse("expected a text")
        if len(value.encode()) < 32:
            raise refuse("the secret can be guessed; it needs at least 32 bytes, such as from `openssl rand -hex 32`")
        return SecretStr(value)

    @model_validator(mode="after")
    def _has_a_fitting_key(self) -> "SignatureKeyConfig":
        if sum(value is not None for value in (self.secret, self.key, self.key_file)) != 1:
            raise refuse("exactly one of secret, key and key_file is needed")
        if (self.secret is not None) != (self.algorithm == "hmac-sha256"):
            raise refuse("hmac-sha256 needs a secret, and the other algorithms a public key")
        return self


class HttpSignatureScheme(Section):
    """Requests that consumers sign (RFC 9421), with the keys in `signatures` of each consumer.

    `@path`, `@target-uri` and `@request-target` have the path as the client sent it, octet by octet (RFC 9421, 2.2.6).
    """

    components: SomeOf[Component] = Field(
        ("@method", "@authority", "@path", "@query"),
        description="The components that a signature must cover. `@target-uri` covers `@scheme`, `@authority`, `@path` "
        "and `@query`, too, and `@request-target` the last two.",
    )
    body: Literal["signed", "unsigned"] = Field(
        "signed",
        description="`signed`: a request with a body must have a `Content-Digest` (RFC 9530, sha-256 or sha-512) that "
        "is covered, and the body must be that one. `unsigned`: it may be changed on the way.",
    )
    max_age: Duration = Field(300, description="How long ago a signature may have been `created`, at most.")
    leeway: DurationOrZero = Field(30, description="How far the clocks of callers may be off.")
    replay: Literal["once", "window"] = Field(
        "once",
        description="`once`: a signed message is taken once by each process of the gateway; a caller that sends the "
        "same twice within a second adds a `nonce`, and one key can sign 200,000 messages in the time in which one is "
        "valid. What came is remembered over reloads, whatever they change, but not over a restart: messages that are "
        "still valid then can come once more. `window`: as often as it comes before it is too old.",
    )
    tag: Unset[Text] = Field(
        None, description="The `tag` that a signature must have; others are not looked at. Unset: any, or none."
    )
    realm: Realm = REALM
    forward: bool = FORWARD
