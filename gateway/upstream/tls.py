"""TLS to endpoints: whom to trust, what they are shown, and why a handshake fails."""

from __future__ import annotations

import ssl
from asyncio import BaseTransport
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, NoReturn

from gateway.config.regular_files import read_regular, to_mend

MAX_BYTES: Final = 1024**2  # of each file

FileKey = Literal["certificate_file", "key_file"]

_CERTIFICATE: Final = ("CERTIFICATE-----", "certificate")  # how one begins, and what it is
_PRIVATE_KEY: Final = ("PRIVATE KEY-----", "private key")
Named = Literal["service", "target", "base_url", "url"]
"""What of the files leads to an endpoint: a service, or an address in a route, a provider, or an MCP server."""

_PLAIN: Final[dict[Named, str]] = {
    "service": "set `protocol: http`",
    "target": "write `http://` in the target",
    "base_url": "write `http://` in `base_url`",
    "url": "write `http://` in `url`",
}
_OF_SERVICE: Final[dict[Named, str]] = {
    "service": "of the service",
    "target": "of a service, and lead to that with `target`",
    "base_url": "of a service, and name that as `service` of the provider",
    "url": "of a service, and name that as `service` of the server",
}

_NO_AUTHORITY: Final = "it has no whole certificate in PEM; put in those of the authorities that are to be trusted"
_OTHER_KEY: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_OF_CLIENTS: Final = ("UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR", "HANDSHAKE_FAILURE")
_ISSUER_UNKNOWN: Final = (2, 18, 19, 20, 21)  # X509_V_ERR_*, as of the next ones
_NOT_YET, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64


class UnusableFile(ValueError):
    """A file of the client certificate cannot be used. `key`: which; the text says why, and what to do."""

    def __init__(self, key: FileKey, message: str) -> None:
        super().__init__(message)
        self.key: FileKey = key


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What endpoints are shown that ask for a certificate. Of the contents it has only what identifies them."""

    certificate: Path
    key: Path
    digest: bytes  # of both contents: renewed files are another certificate

    @staticmethod
    def read(certificate: Path, key: Path) -> ClientCertificate:
        """Those of two files in PEM. Raises UnusableFile."""
        chain = _read("certificate_file", certificate, *_CERTIFICATE)
        secret = _read("key_file", key, *_PRIVATE_KEY)
        client = ClientCertificate(certificate, key, sha256(chain).digest() + sha256(secret).digest())
        client.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return client

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have a context show it. Raises UnusableFile, also where a file is another one by now."""
        try:
            context.load_cert_chain(self.certificate, self.key, _no_password)  # without which it asks the terminal
        except OSError as error:  # an ssl.SSLError is one
            raise self._why(error) from None

    def _why(self, error: OSError) -> UnusableFile:
        chain = _read("certificate_file", self.certificate, *_CERTIFICATE)
        _read("key_file", self.key, *_PRIVATE_KEY)
        if not isinstance(error, ssl.SSLError):
            return UnusableFile("certificate_file", "it or its key was away for a moment; reload")
        if error.reason in _OTHER_KEY:
            return UnusableFile("key_file", f"it is not the key of {self.certificate.name}; name the one of it")
        return UnusableFile(_broken(chain), "it is damaged; write it anew, in PEM")


def _read(key: FileKey, path: Path, mark: str, what: str) -> bytes:
    try:
        content = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise UnusableFile(key, f"{error.strerror}; {to_mend(error)}") from None
    except ValueError as error:
        raise UnusableFile(key, str(error)) from None
    if mark.encode() not in content:
        raise UnusableFile(key, f"it has no {what} in PEM; put one there")
    return content


def _no_password() -> NoReturn:
    raise UnusableFile("key_file", "its key is encrypted; name a file without a password (openssl pkey decrypts it)")


def _broken(chain: bytes) -> FileKey:
    """The one of both that cannot be parsed."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=_ascii(chain.decode(errors="replace")))
    except (ssl.SSLError, ValueError):
        return "certificate_file"
    return "key_file"


def _ascii(pem: str) -> str:
    """As `ssl` takes it, which refuses other characters, also in what stands between the certificates."""
    return pem.encode("ascii", "replace").decode()


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How an https endpoint proves who it is, and how this gateway does."""

    ca: str | None = None  # certificates in PEM; None: what the system trusts
    server_name: str | None = None  # None: the host of the address
    verify: bool = True
    client: ClientCertificate | None = None
    named: Named = field(default="service", compare=False)  # for remedies

    def context(self) -> ssl.SSLContext:
        """A client context. Raises UnusableFile; other ValueErrors, or OSError, are of `ca`."""
        # To `ssl` an empty text is none at all, which means what the system trusts.
        if self.ca is not None and "-----BEGIN" not in self.ca:
            raise ValueError(_NO_AUTHORITY)
        try:
            context = ssl.create_default_context(cadata=None if self.ca is None else _ascii(self.ca))
        except ssl.SSLError:
            raise ValueError(_NO_AUTHORITY) from None
        if self.ca is not None and not context.cert_store_stats()["x509"]:
            raise ValueError("it has no certificate that can be trusted; put in those of the authorities")
        context.set_alpn_protocols(["http/1.1"])
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client is not None:
            self.client.load_into(context)
        return context


@dataclass(frozen=True, slots=True)
class EndpointTls:
    """What connections need to speak TLS, and to say what to do where that fails."""

    context: ssl.SSLContext
    named: Named = "service"


def certificate_refused(error: ssl.SSLError, transport: BaseTransport | None) -> bool:
    """Whether the endpoint has ended the handshake of TLS 1.3 because of the certificate that it was shown, or for want
    of one.

    A client has finished its part of the handshake by then, and may have sent a request. The endpoint reads none of it
    before it accepts the certificate. (With earlier versions it may ask again when it has read a request.)
    """
    cipher = None if transport is None else transport.get_extra_info("cipher")  # (name, version of TLS, bits)
    return _about_certificate(error) and cipher is not None and cipher[1] == "TLSv1.3"


def _about_certificate(error: ssl.SSLError) -> bool:
    reason = error.reason or ""
    return "_ALERT_" in reason and (reason.endswith(_OF_CLIENTS) or "CERTIFICATE" in reason)


def cause_of(error: ssl.SSLError, named: Named = "service") -> str:
    """Why a handshake has failed, and what to do about it where the endpoint is named."""
    reason = error.reason or "the handshake failed"
    if isinstance(error, ssl.SSLCertVerificationError):
        message = error.verify_message.rstrip(".") or reason
        remedy = _of_certificate(error.verify_code, named)
        return f"{message}; {remedy}" if remedy else message
    if _about_certificate(error):
        return _of_alert(reason, named)
    if reason == "WRONG_VERSION_NUMBER":
        return f"it speaks no TLS ({reason}); {_PLAIN[named]}, or name the port that speaks TLS"
    return reason


def _of_certificate(code: int, named: Named) -> str:
    """The remedy for a certificate of the endpoint that does not hold."""
    if code in _ISSUER_UNKNOWN:
        return f"name the file of its issuer in `tls.ca` {_OF_SERVICE[named]}"
    if code in (_OTHER_HOST, _OTHER_ADDRESS):
        return f"name what it is valid for in `tls.server_name` {_OF_SERVICE[named]}"
    if code == _EXPIRED:
        return "renew it at the backend"
    return "compare the clocks of both machines" if code == _NOT_YET else ""


def _of_alert(reason: str, named: Named) -> str:
    name = f"`tls.certificate_file` and `tls.key_file` {_OF_SERVICE[named]}"
    if reason.endswith("CERTIFICATE_REQUIRED"):
        return f"it demands a certificate of the gateway ({reason}); name one in {name}"
    if reason.endswith("HANDSHAKE_FAILURE"):
        return f"it refuses the handshake ({reason}); if it demands a certificate of the gateway, name one in {name}"
    if reason.endswith("CERTIFICATE_EXPIRED"):
        return f"the certificate of the gateway has ended ({reason}); renew the files of {name}"
    return f"it does not accept the certificate of the gateway ({reason}); name one that it accepts in {name}"
