"""A client's certificate, as a TLS connection or a trusted proxy hands it over. Pure."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

MAX_BYTES = 32 * 1024  # of a header

_ELEMENT = re.compile(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,"]*)(;|,|$)')
_PEM = re.compile(rb"\s*(?:-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+")
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


class CertificateError(ValueError):
    """The value is not a certificate; the text says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The properties of a certificate. Names as `CertificateConfig` writes them; times in seconds since 1970."""

    fingerprint: str
    subject: str | None
    sans: frozenset[str]
    not_before: float = float("-inf")
    not_after: float = float("inf")


def from_pem(data: bytes) -> Certificate:
    """One in PEM; of several, the first, which is the client's. Raises CertificateError.

    Nothing else may stand there: where a proxy joined two headers into one, with a comma, it is unknown which is whose.
    """
    if _PEM.fullmatch(data) is None:
        raise CertificateError("the certificate is not PEM")
    try:
        return _read(x509.load_pem_x509_certificate(data))
    except Exception:  # a malformed certificate raises many kinds of errors
        raise CertificateError("the certificate is not PEM") from None


def from_der(data: bytes) -> Certificate:
    """One in DER. Raises CertificateError."""
    try:
        return _read(x509.load_der_x509_certificate(data))
    except Exception:  # a malformed certificate raises many kinds of errors
        raise CertificateError("the certificate is not DER") from None


def _read(found: x509.Certificate) -> Certificate:
    return Certificate(
        fingerprint=sha256(found.public_bytes(Encoding.DER)).hexdigest(),
        subject=found.subject.rfc4514_string(),
        sans=frozenset(_alternative_names(found)),
        not_before=found.not_valid_before_utc.timestamp(),
        not_after=found.not_valid_after_utc.timestamp(),
    )


def _alternative_names(found: x509.Certificate) -> Iterator[str]:
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in extension.get_values_for_type(x509.DNSName):
        yield f"dns:{name.lower()}"
    for name in extension.get_values_for_type(x509.UniformResourceIdentifier):
        yield f"uri:{name}"
    for name in extension.get_values_for_type(x509.RFC822Name):
        yield f"email:{name}"


# Headers of proxies.


def from_nginx(value: bytes) -> Certificate:
    """`$ssl_client_escaped_cert`: PEM, percent-encoded. Raises CertificateError."""
    return from_pem(unquote_to_bytes(value))


def from_client_cert(value: bytes) -> Certificate:
    """`Client-Cert` of RFC 9440, 2.2: DER as a byte sequence. Raises CertificateError."""
    if len(value) < 2 or value[:1] != b":" or value[-1:] != b":":
        raise CertificateError("Client-Cert is not a byte sequence (RFC 9440)")
    try:
        return from_der(b64decode(value[1:-1], validate=True))
    except binascii.Error:
        raise CertificateError("Client-Cert is not base64") from None


def from_envoy(value: bytes) -> Certificate:
    """`X-Forwarded-Client-Cert`: of several elements the last, which the proxy next to us wrote.

    Raises CertificateError.
    """
    pairs = _last_element(value.decode("latin-1"))
    whole = next((text for key, text in pairs if key == "cert"), None)
    if whole is not None:
        return from_nginx(whole.encode("latin-1"))
    fingerprint = next((text.lower() for key, text in pairs if key == "hash"), "")
    if _HASH.fullmatch(fingerprint) is None:
        raise CertificateError("X-Forwarded-Client-Cert has neither Cert nor Hash")
    subject = next((text for key, text in pairs if key == "subject"), "")
    sans = {f"uri:{text}" for key, text in pairs if key == "uri" and text}
    sans |= {f"dns:{text.lower()}" for key, text in pairs if key == "dns" and text}
    return Certificate(fingerprint, _canonical(subject), frozenset(sans))


def _last_element(text: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _ELEMENT.match(text, at)
        if match is None:
            raise CertificateError("X-Forwarded-Client-Cert cannot be read")
        quoted = match[2].startswith('"')
        pairs.append((match[1].lower(), match[2][1:-1] if quoted else match[2]))
        at = match.end()
        if match[3] == ",":
            at += len(text[at:]) - len(text[at:].lstrip(" "))
            pairs = []
    return pairs


def _canonical(subject: str) -> str | None:
    """A subject as Envoy writes it: its backslashes are those of RFC 4514; a comma behind one is part of a name."""
    try:
        return x509.Name.from_rfc4514_string(subject).rfc4514_string() if subject else None
    except (ValueError, TypeError):
        return None


FORMATS: Mapping[str, Callable[[bytes], Certificate]] = {
    "x-ssl-client-cert": from_nginx,
    "x-forwarded-client-cert": from_envoy,
    "client-cert": from_client_cert,
}
"""How each header is read."""
