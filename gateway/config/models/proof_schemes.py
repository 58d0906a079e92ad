"""Schemes by which a caller proves that it has a key: signed requests (RFC 9421), and certificates (mutual TLS)."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gateway.config.models.base import Section
from gateway.config.models.schemes import FORWARD, REALM, Realm
from gateway.config.values import addresses
from gateway.config.values.quantities import Duration, DurationOrZero, Kind, SomeOf, Text, Unset, refuse

_DERIVED = frozenset({"@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"})
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)


def _check_component(text: str) -> str:
    name = text.lower()
    if name in _DERIVED or (not name.startswith("@") and _FIELD.fullmatch(name)):
        return name
    raise refuse(f"expected the name of a header, or one of {', '.join(sorted(_DERIVED))}")


Component = Annotated[str, Kind("component"), AfterValidator(_check_component)]


class HttpSignatureScheme(Section):
    """Requests that consumers sign (RFC 9421), with the keys in `signatures` of each consumer.

    `@path`, `@target-uri` and `@request-target` have the path as the client sent it, octet by octet (RFC 9421, 2.2.6).
    """

    components: SomeOf[Component] = Field(
        ("@method", "@authority", "@path", "@query"),
        description="What a signature must cover, at least. `@target-uri` covers `@scheme`, `@authority`, `@path` and "
        "`@query`, too, and `@request-target` the last two.",
    )
    body: Literal["signed", "unsigned"] = Field(
        "signed",
        description="`signed`: a request with a body must have a `Content-Digest` (RFC 9530, sha-256 or sha-512) that "
        "is covered, and the body must be that one. `unsigned`: anybody on the way may change it.",
    )
    max_age: Duration = Field(300, description="How long ago a signature may have been `created`, at most.")
    leeway: DurationOrZero = Field(30, description="How far the clocks of callers may be off.")
    replay: Literal["once", "window"] = Field(
        "once",
        description="`once`: a signed message is taken once by each process of the gateway; a caller that sends the "
        "same twice within a second adds a `nonce`, and one key can sign 200,000 messages in the time in which one is "
        "valid. What came is remembered over reloads, but not over a restart: messages that are still valid then can "
        "come once more. `window`: as often as it comes before it is too old.",
    )
    tag: Unset[Text] = Field(
        None, description="The `tag` that a signature must have; others are not looked at. Unset: any, or none."
    )
    realm: Realm = REALM
    forward: bool = FORWARD


CertificateSource = Literal["connection", "x-ssl-client-cert", "x-forwarded-client-cert", "client-cert"]


class MtlsScheme(Section):
    """Certificates of clients (mutual TLS). Whoever ends the TLS connection has verified them."""

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
