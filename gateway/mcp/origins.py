"""Pages that reach for servers on the machine of their reader (DNS rebinding).

A page can have its own name resolve to 127.0.0.1 once it is loaded, and then ask a server on its reader's machine as if
it were its own. Credentials are safe from it, because browsers do not know them. Where none is needed, requests of
pages that come from this machine must be of a page of this machine, and for it, as the protocol asks of servers.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange


def check_origin(exchange: Exchange) -> None:
    """Raises GatewayError where a page of somewhere else may be asking a gateway on its reader's machine."""
    origin = exchange.fields.get(b"origin")
    proven = exchange.identity is not None and bool(exchange.identity.fingerprint)
    if origin is None or proven or exchange.peer_trusted or not _is_loopback(exchange.peer):
        return
    if not _is_here(_host(origin.decode("latin-1"))) or not _is_here(_host(f"//{exchange.host}")):
        detail = "a page that is not of this machine asks an MCP endpoint that needs no key"
        raise GatewayError(ErrorKind.FORBIDDEN, detail)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_here(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost") or _is_loopback(host)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
