"""What consumers prove with that they have a key: certificates, and keys that sign requests."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from gateway.config.models.base import Model
from gateway.config.values.quantities import Kind, Text, Unset, refuse, shorthand

SignatureAlgorithm = Literal[
    "hmac-sha256", "ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256"
]

_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)


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


class CertificateConfig(Model):
    """A certificate of the consumer. All that is given must fit. A bare text is the same as `fingerprint`."""

    fingerprint: Unset[Text] = Field(
        None,
        description="SHA-256 of the certificate in hexadecimal digits, with or without colons, as "
        "`openssl x509 -noout -fingerprint -sha256` prints it.",
    )
    subject: Unset[Text] = Field(
        None, description="Its subject in the form of RFC 4514: `CN=acme,O=Acme Corp`.", examples=["CN=acme"]
    )
    san: Unset[Text] = Field(
        None,
        description="A name that it must have as a subject alternative name: `DNS:host`, `URI:spiffe://...`, or "
        "`email:...`.",
    )

    @field_validator("fingerprint")
    @classmethod
    def _is_hash(cls, text: str) -> str:
        digits = text.replace(":", "").lower()
        if _FINGERPRINT.fullmatch(digits) is None:
            raise refuse("expected the 64 hexadecimal digits of a SHA-256")
        return digits

    @field_validator("subject")
    @classmethod
    def _is_name(cls, text: str) -> str:
        from cryptography import x509  # noqa: PLC0415  megabytes, for those whose callers show certificates

        try:
            return x509.Name.from_rfc4514_string(text).rfc4514_string()
        except ValueError:
            raise refuse("expected a name in the form of RFC 4514, such as CN=acme,O=Acme Corp") from None

    @field_validator("san")
    @classmethod
    def _is_san(cls, text: str) -> str:
        kind, colon, name = text.partition(":")
        if not colon or not name or kind.lower() not in ("dns", "uri", "email"):
            raise refuse("expected DNS:, URI: or email: and a name, such as URI:spiffe://example.org/acme")
        return f"{kind.lower()}:{name.lower() if kind.lower() == 'dns' else name}"

    @model_validator(mode="after")
    def _names_something(self) -> "CertificateConfig":
        if self.fingerprint is None and self.subject is None and self.san is None:
            raise refuse("at least one of fingerprint, subject and san is needed")
        return self


Certificate = Annotated[
    CertificateConfig,
    Kind("fingerprint, or keys below"),
    BeforeValidator(shorthand("fingerprint"), json_schema_input_type=str | CertificateConfig),
]
