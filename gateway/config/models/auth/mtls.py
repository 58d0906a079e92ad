"""Certificates of clients (mutual TLS)."""

import re
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from gateway.config.models.auth.scheme_keys import FORWARD
from gateway.config.models.base import Model, Section
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Text, Unset, refuse, shorthand

_FINGERPRINT: Final = r"[0-9a-f]{64}"


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
        if re.fullmatch(_FINGERPRINT, digits, re.ASCII) is None:
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
CertificateSource = Literal["connection", "x-ssl-client-cert", "x-forwarded-client-cert", "client-cert"]


class MtlsScheme(Section):
    """Certificates of clients (mutual TLS). They are verified where the TLS connection ends."""

    source: CertificateSource = Field(
        "connection",
        description="Where the certificate is: that of the TLS `connection` to the gateway; or the header of one of "
        "`trusted_proxies`: `x-ssl-client-cert` (URL-encoded PEM, as nginx writes `$ssl_client_escaped_cert`), "
        "`x-forwarded-client-cert` (Envoy), `client-cert` (RFC 9440). The proxy must refuse certificates that it "
        "cannot verify, and remove the header from what clients send. (Envoy writes URIs of a certificate as they are: "
        "a CA that signs URIs with a comma or semicolon in them lets their holders say what they like; have Envoy pass "
        "on the certificate itself, `cert: true`.)",
    )
    header: Unset[addresses.OwnHeader] = Field(
        None, description="Another name of that header, such as `X-Client-Cert`, where the proxy writes it so."
    )
    forward: bool = FORWARD

    @field_validator("header")
    @classmethod
    def _is_of_a_proxy(cls, header: str, info: ValidationInfo) -> str:
        if info.data.get("source", "connection") == "connection":
            raise refuse("a connection has no header; name the source, such as x-ssl-client-cert, or remove this")
        return header
