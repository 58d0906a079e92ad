"""When certificates in files end: those of trusted authorities, and those that this gateway shows to backends."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from gateway.config.models import Configuration
from gateway.config.problems import Fault
from gateway.config.regular_files import read_regular
from gateway.config.values.instants import format_instant
from gateway.upstream.tls import MAX_BYTES

EXPIRING_SECONDS: Final = 14 * 86400.0  # before its end, from which on a certificate should be renewed

Ends = Iterator[tuple[str, float]]


def of_authorities(base: Path, names: Iterable[str]) -> Ends:
    """The first end (Unix time) among the certificates of each file. Unreadable files are reported elsewhere."""
    for name in names:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(base / name)
        except (OSError, ValueError):
            continue
        found = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
        if found:
            yield name, min(found)


def of_own(base: Path, names: Iterable[str]) -> Ends:
    """The end of the certificates that this gateway shows, each the first of its file."""
    if names:
        from cryptography import x509  # noqa: PLC0415  megabytes, for those who show certificates
    for name in names:
        try:
            content = read_regular(base / name, MAX_BYTES)
            yield name, x509.load_pem_x509_certificate(content).not_valid_after_utc.timestamp()
        except (OSError, ValueError):
            continue


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Services whose certificates are not verified, and certificates that have ended or will soon."""
    now = time.time()
    ways: tuple[tuple[str, Callable[[Path, Iterable[str]], Ends]], ...] = (
        ("ca", of_authorities),
        ("certificate_file", of_own),
    )
    for name, service in configuration.routes.services.items():
        if service.protocol != "https":
            continue
        if not service.tls.verify:
            message = "anyone on the way to it can answer in its place; remove it, and name the issuer in `ca`"
            yield Fault(("services", name, "tls", "verify"), message)
        for key, ends_of in ways:
            file = getattr(service.tls, key)
            for _, ends in ends_of(configuration.base, [file] if file else []):
                if ends - now < EXPIRING_SECONDS:
                    has = "has ended" if ends <= now else "ends"
                    message = f"a certificate in {file} {has} at {format_instant(ends)}; renew it"
                    yield Fault(("services", name, "tls", key), message)
