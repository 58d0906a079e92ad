"""Certificates of clients: whose they are, from whom they are believed, and until when."""

from __future__ import annotations

import contextlib
import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.app.asgi import client_certificate
from gateway.auth.certificates import CertificateError, from_client_cert, from_envoy, from_nginx, from_pem
from gateway.auth.scheme import Scheme
from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.testing import make_exchange
from tests.auth.schemes_support import add, certificate, recognised, refused
from tests.auth.support import scheme
from tests.config.support import errors

from .rfc9421 import CLIENT_CERT

SPIFFE = "URI:spiffe://example.org/acme"


def mtls(source: str, *consumers: dict[str, Any], **settings: Any) -> Scheme:
    """The scheme `certs`; consumers are identified by certificates."""
    listed = [{"name": f"c{index}", "certificates": [wanted]} for index, wanted in enumerate(consumers)]
    auth = {"schemes": {"certs": {"mtls": {"source": source, **settings}}}, "consumers": listed}
    return scheme(json.dumps(auth), "certs")


def fingerprint(shown: x509.Certificate) -> str:
    """As openssl prints it."""
    return shown.fingerprint(hashes.SHA256()).hex(":").upper()


def pem(shown: x509.Certificate) -> str:
    """The certificate in PEM."""
    return shown.public_bytes(Encoding.PEM).decode()


def nginx(shown: x509.Certificate, *, trusted: bool = True, header: str = "x-ssl-client-cert") -> Exchange:
    """A request that came through nginx."""
    exchange = add(make_exchange(), header, quote(pem(shown), safe=""))
    exchange.peer_trusted = trusted
    return exchange


def envoy(value: str) -> Exchange:
    """A request that came through Envoy."""
    exchange = add(make_exchange(), "x-forwarded-client-cert", value)
    exchange.peer_trusted = True
    return exchange


async def test_a_certificate_is_known_by_fingerprint_subject_or_name() -> None:
    """By each property that identifies a consumer, in each notation."""
    shown = certificate("acme", sans=["DNS:Acme.example.com", SPIFFE, "email:a@example.com"])
    for wanted in (
        {"fingerprint": fingerprint(shown)},
        {"fingerprint": fingerprint(shown).replace(":", "").lower()},
        {"subject": "CN=acme,O=Acme"},
        {"san": "dns:acme.EXAMPLE.com"},
        {"san": SPIFFE},
        {"san": "email:a@example.com"},
        {"subject": "CN=acme,O=Acme", "san": SPIFFE},
    ):
        found = recognised(await mtls("x-ssl-client-cert", wanted).authenticate(nginx(shown)))
        assert found.identity.consumer == "c0"
        assert found.identity.fingerprint.startswith("certificate:")


async def test_all_that_is_asked_for_must_fit() -> None:
    """The right subject with another name, or another certificate of that name, is not recognised."""
    policy = mtls("x-ssl-client-cert", {"subject": "CN=acme,O=Acme", "san": SPIFFE})
    assert "no known consumer" in refused(await policy.authenticate(nginx(certificate("acme")))).detail
    assert "no known consumer" in refused(await policy.authenticate(nginx(certificate("other", sans=[SPIFFE])))).detail


async def test_only_a_trusted_proxy_is_believed() -> None:
    """The header of an untrusted client is ignored."""
    shown = certificate()
    policy = mtls("x-ssl-client-cert", {"fingerprint": fingerprint(shown)})
    assert await policy.authenticate(nginx(shown, trusted=False)) is None


async def test_only_the_configured_header_is_read() -> None:
    """A proxy that writes one header may let the others through from clients."""
    shown = certificate()
    policy = mtls("client-cert", {"fingerprint": fingerprint(shown)})
    assert await policy.authenticate(nginx(shown)) is None
    renamed = mtls("x-ssl-client-cert", {"fingerprint": fingerprint(shown)}, header="X-Cert")
    recognised(await renamed.authenticate(nginx(shown, header="x-cert")))
    assert renamed.locations.headers == {b"x-cert"}


async def test_certificates_hold_for_their_time() -> None:
    """One that has expired, or does not hold yet, is refused, also when it was known before."""
    for shown, reason in (
        (certificate(begins=-3, days=-1), "has expired"),
        (certificate(begins=1, days=2), "not hold yet"),
    ):
        policy = mtls("x-ssl-client-cert", {"fingerprint": fingerprint(shown)})
        for _ in range(2):
            assert reason in refused(await policy.authenticate(nginx(shown))).detail


async def test_two_certificates_are_ambiguous() -> None:
    """A second header is refused, whatever it holds."""
    shown = certificate()
    exchange = add(nginx(shown), "x-ssl-client-cert", "x")
    outcome = await mtls("x-ssl-client-cert", {"fingerprint": fingerprint(shown)}).authenticate(exchange)
    assert refused(outcome).kind is ErrorKind.AMBIGUOUS_CREDENTIALS


async def test_two_certificates_in_one_header_are_ambiguous() -> None:
    """What a proxy joined with a comma, and whatever else stands beside a certificate, is refused; a chain is not."""
    shown, other = certificate(), certificate("other")
    policy = mtls("x-ssl-client-cert", {"fingerprint": fingerprint(shown)})
    for text in (f"{pem(shown)}, {pem(other)}", pem(shown) + "x", pem(shown) + "\0", "x\n" + pem(shown)):
        exchange = add(make_exchange(), "x-ssl-client-cert", quote(text, safe=""))
        exchange.peer_trusted = True
        assert "not PEM" in refused(await policy.authenticate(exchange)).detail
    chain = add(make_exchange(), "x-ssl-client-cert", quote(pem(shown) + pem(other), safe=""))
    chain.peer_trusted = True
    recognised(await policy.authenticate(chain))
    empty = add(nginx(shown), "x-ssl-client-cert", "")
    assert refused(await policy.authenticate(empty)).kind is ErrorKind.AMBIGUOUS_CREDENTIALS


def test_the_chain_of_rfc_9440_ends_here_too() -> None:
    """No client can tell a backend of certificates that it did not show."""
    policy = mtls("client-cert", {"subject": "CN=acme"})
    assert policy.locations.headers == {b"client-cert", b"client-cert-chain"}


async def test_a_certificate_of_two_consumers_is_refused() -> None:
    """No consumer is guessed."""
    shown = certificate(sans=[SPIFFE, "DNS:a.example"])
    policy = mtls("x-ssl-client-cert", {"san": SPIFFE}, {"san": "DNS:a.example"})
    assert refused(await policy.authenticate(nginx(shown))).kind is ErrorKind.FORBIDDEN


async def test_the_certificate_of_the_connection() -> None:
    """Where TLS ends here, no header is looked at."""
    shown = certificate()
    policy = mtls("connection", {"fingerprint": fingerprint(shown)})
    assert await policy.authenticate(nginx(shown)) is None
    exchange = make_exchange()
    exchange.certificate = pem(shown).encode()
    recognised(await policy.authenticate(exchange))


def test_a_server_hands_over_the_certificate_of_its_connection() -> None:
    """The ASGI extension `tls`: the first of the chain, and only if the server could verify it."""
    tls = {"client_cert_chain": ["first", "second"], "client_cert_error": None}
    assert client_certificate({"extensions": {"tls": tls}}) == b"first"
    assert client_certificate({"extensions": {"tls": {**tls, "client_cert_error": "expired"}}}) is None
    assert client_certificate({"extensions": {"tls": {}}}) is client_certificate({}) is None


async def test_envoy_puts_the_client_last() -> None:
    """What the proxy next to us appended counts, not what came before it."""
    shown = certificate(sans=[SPIFFE])
    digits = fingerprint(shown).replace(":", "").lower()
    policy = mtls("x-forwarded-client-cert", {"fingerprint": digits})
    other = "0" * 64
    cert = f'Hash={digits};Cert="{quote(pem(shown), safe="")}"'
    recognised(await policy.authenticate(envoy(f'By=spiffe://mesh/gw;Hash={other};Subject="CN=x, y",{cert}')))
    recognised(await policy.authenticate(envoy(f'Hash={digits.upper()};Subject="";URI=')))
    assert "no known consumer" in refused(await policy.authenticate(envoy(f"{cert},Hash={other}"))).detail
    lying = envoy(f'Hash={digits};Cert="{quote(pem(certificate()), safe="")}"')
    assert "no known consumer" in refused(await policy.authenticate(lying)).detail


@pytest.mark.parametrize(
    ("name", "common_name"),
    [
        ("acme,O=Acme", r"CN=acme\,O=Acme"),
        (r"acme\,O=Acme", r"CN=acme\\\,O=Acme"),
        ('#ève "x" ', r"CN=\#\C3\A8ve \"x\"\ "),
    ],
)
async def test_a_comma_in_a_name_is_part_of_it(name: str, common_name: str) -> None:
    """A common name that looks like the rest of a subject does not match another consumer."""
    value = f'Hash={"a" * 64};Subject="{common_name}";URI='  # as Envoy writes it
    policy = mtls("x-forwarded-client-cert", {"subject": "CN=acme,O=Acme"})
    assert "no known consumer" in refused(await policy.authenticate(envoy(value))).detail
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]).rfc4514_string()
    recognised(await mtls("x-forwarded-client-cert", {"subject": subject}).authenticate(envoy(value)))


async def test_envoy_may_send_only_the_names() -> None:
    """Without the certificate itself, its subject and names are taken from the header."""
    value = f'Hash={"a" * 64};Subject="CN=acme,O=Acme";URI=spiffe://example.org/acme;DNS=A.example'
    for wanted in ({"subject": "CN=acme,O=Acme"}, {"san": SPIFFE}, {"san": "DNS:a.example"}):
        recognised(await mtls("x-forwarded-client-cert", wanted).authenticate(envoy(value)))


def test_the_certificate_of_rfc_9440_is_read() -> None:
    """The example of its appendix A, as Client-Cert carries it."""
    found = from_client_cert(CLIENT_CERT.encode())
    assert (found.subject, found.sans) == ("CN=BC", frozenset({"email:bdc@example.com"}))


@pytest.mark.parametrize(
    "value", [b"", b"x", b"::", b":YQ==:", b":*:", b"-----BEGIN CERTIFICATE-----", b"%FF%00", b"a=b", b'Hash="']
)
def test_what_is_no_certificate_is_refused(value: bytes) -> None:
    """Nothing but the one error is raised, whatever a proxy passes on."""
    for read in (from_pem, from_nginx, from_client_cert, from_envoy):
        with pytest.raises(CertificateError):
            read(value)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_certificate_with_any_changed_byte_is_read_or_refused() -> None:
    """Nothing but the one error is raised, wherever it is malformed."""
    der = certificate(sans=[SPIFFE]).public_bytes(Encoding.DER)
    for at in range(len(der)):
        for value in (0, der[at] ^ 1, 0x16, 0xFF):
            changed = b64encode(der[:at] + bytes([value]) + der[at + 1 :])
            with contextlib.suppress(CertificateError):
                from_client_cert(b":" + changed + b":")


def test_what_cannot_be_a_certificate_is_reported() -> None:
    """Errors name what is expected."""

    def wrong(wanted: Any) -> str:
        return errors(auth=json.dumps({"consumers": [{"name": "a", "certificates": [wanted]}]}))[0]

    assert "64 hexadecimal digits" in wrong("abc")
    assert "RFC 4514" in wrong({"subject": "acme"})
    assert "expected DNS:, URI: or email:" in wrong({"san": "acme"})
    assert "at least one of" in wrong({})
    assert "a connection has no header" in errors(auth="schemes: {c: {mtls: {header: X-Cert}}}\n")[0]
    twice = {"consumers": [{"name": name, "certificates": [{"subject": "CN=a"}]} for name in ("a", "b")]}
    assert "already" in errors(auth=json.dumps(twice))[0]


def test_a_der_certificate_is_no_pem() -> None:
    """The forms are not mixed up."""
    der = certificate().public_bytes(Encoding.DER)
    with pytest.raises(CertificateError):
        from_pem(der)
    assert from_client_cert(b":" + b64encode(der) + b":").subject == "CN=acme,O=Acme"
