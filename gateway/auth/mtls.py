"""Certificates of clients (mutual TLS). What ended the TLS connection has verified them; here they get a name.

The certificate is that of the connection to this gateway, or is in a header of a trusted proxy. From any other client
that header means nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.algorithms.byte_cache import ByteCache
from gateway.auth.certificates import FORMATS, MAX_BYTES, Certificate, CertificateError, from_pem
from gateway.auth.context import AuthContext
from gateway.auth.credentials import has_two
from gateway.auth.scheme import AuthResult, Locations, Recognised, Refused
from gateway.config.models import Consumer
from gateway.config.models.auth.mtls import CertificateConfig, MtlsScheme
from gateway.errors import ErrorKind
from gateway.http import Exchange

REMEMBERED = 4 * 1024**2  # bytes of certificates, and of whose they are

TWO_HEADERS = Refused("the request carries more than one client certificate", ErrorKind.AMBIGUOUS_CREDENTIALS)
TOO_LARGE = Refused("the client certificate is too large")
TOO_EARLY = Refused("the client certificate does not hold yet")
EXPIRED = Refused("the client certificate has expired")
UNKNOWN = Refused("the client certificate belongs to no known consumer")
SEVERAL = Refused("the client certificate is of several consumers", ErrorKind.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class Holder:
    """The required properties of this consumer's certificates, and the identity of their holders."""

    wanted: CertificateConfig
    consumer: str
    recognised: Callable[[str], Recognised]

    def fits(self, certificate: Certificate) -> bool:
        """Whether all fits that is asked for."""
        wanted = self.wanted
        return (
            (wanted.fingerprint is None or wanted.fingerprint == certificate.fingerprint)
            and (wanted.subject is None or wanted.subject == certificate.subject)
            and (wanted.san is None or wanted.san in certificate.sans)
        )


class Holders:
    """Finds whose a certificate is, in a few look-ups however many consumers there are."""

    def __init__(self, holders: Iterable[Holder]) -> None:
        self._by_mark: dict[str, list[Holder]] = {}
        for holder in holders:
            self._by_mark.setdefault(_mark(holder.wanted), []).append(holder)

    def find(self, certificate: Certificate) -> AuthResult:
        """The one consumer that it fits."""
        marks = (f"#{certificate.fingerprint}", f"={certificate.subject}", *certificate.sans)
        found = [holder for mark in marks for holder in self._by_mark.get(mark, ()) if holder.fits(certificate)]
        if not found:
            return UNKNOWN
        if any(holder.consumer != found[0].consumer for holder in found):
            return SEVERAL
        return found[0].recognised(f"certificate:{certificate.fingerprint[:12]}")


def _mark(wanted: CertificateConfig) -> str:
    """The most specific of the configured properties."""
    if wanted.fingerprint is not None:
        return f"#{wanted.fingerprint}"
    return wanted.san if wanted.san is not None else f"={wanted.subject}"


@dataclass(frozen=True, slots=True)
class Mtls:
    """The scheme of kind `mtls`. `header` None: the certificate of the connection."""

    name: str
    holders: Holders
    header: bytes | None
    read: Callable[[bytes], Certificate]
    locations: Locations
    forward: bool
    _known: ByteCache[bytes, tuple[Certificate, AuthResult]] = field(default_factory=lambda: ByteCache(REMEMBERED))

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """Whose certificate it is."""
        if self.header is None:
            value = exchange.certificate
        else:
            value = exchange.fields.get(self.header) if exchange.peer_trusted else None
            if value is not None and has_two(exchange, self.header):
                return TWO_HEADERS
        if not value:
            return None
        if len(value) > MAX_BYTES:
            return TOO_LARGE
        known = self._known.get(value)
        if known is None:
            try:
                known = self._remember(value)
            except CertificateError as error:
                return Refused(str(error))
        return _in_time(known[0]) or known[1]

    def _remember(self, value: bytes) -> tuple[Certificate, AuthResult]:
        certificate = self.read(value)
        known = certificate, self.holders.find(certificate)
        self._known.put(value, known)
        return known

    def challenge(self, refused: Refused | None) -> bytes:
        """There is no registered scheme for certificates, which are asked for by TLS itself."""
        return b"Certificate"


def _in_time(certificate: Certificate) -> Refused | None:
    now = time.time()
    if now > certificate.not_after:
        return EXPIRED
    return TOO_EARLY if now < certificate.not_before else None


# From auth.yaml.


def _holder(auth: AuthContext, scheme: str, consumer: Consumer, wanted: CertificateConfig) -> Holder:
    return Holder(wanted, consumer.name, lambda print_: auth.identities.of_consumer(consumer, scheme, print_))


def mtls(auth: AuthContext, name: str, config: MtlsScheme) -> Mtls:
    """The scheme that auth.yaml describes."""
    holders = Holders(
        _holder(auth, name, consumer, wanted) for consumer in auth.config.consumers for wanted in consumer.certificates
    )
    if config.source == "connection":
        return Mtls(name, holders, None, from_pem, Locations(), config.forward)
    header = (config.header or config.source).encode()
    hidden = {header.replace(b"_", b"-")}
    if config.source == "client-cert":
        hidden.add(b"client-cert-chain")  # RFC 9440, 4: clients must not be able to make up this one either
    return Mtls(name, holders, header, FORMATS[config.source], Locations(frozenset(hidden)), config.forward)
