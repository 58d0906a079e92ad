"""What a server tells of a TLS connection: the ASGI extension `tls`."""

from __future__ import annotations

from typing import Any


def client_certificate(scope: dict[str, Any]) -> bytes | None:
    """The client's own certificate in PEM, if it showed one that the server could verify."""
    tls = (scope.get("extensions") or {}).get("tls")
    if tls is None or tls.get("client_cert_error") is not None:
        return None
    chain = tls.get("client_cert_chain") or ()
    return next((certificate.encode() for certificate in chain), None)
