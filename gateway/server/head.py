"""What a request head must be, beyond what the parser sees to (RFC 9110, 7.2; RFC 9112, 3, 6 and 7).

llhttp refuses what is malformed byte by byte: bare CR and LF, NUL, obs-fold, white space before a colon,
both lengths, conflicting or odd lengths, bad chunks. Here is what it lets through and must not pass:

- versions other than 1.0 and 1.1; a request line without exactly one space between its parts;
- no Host, two of them, one that is no host, or one that an absolute-form target contradicts;
- a Transfer-Encoding other than `chunked`, or any with HTTP/1.0;
- CONNECT and TRACE; an Expect other than `100-continue`; a WebSocket handshake with a body.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers

_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
REQUEST_START = re.compile(rb"(?:\r\n)*[A-Z]+(?:-[A-Z]+)* [^ \r\n]")
"""How a request begins: any blank lines, a method, one space, and something that is no space."""

_UNSUPPORTED_METHODS = frozenset({"CONNECT", "TRACE"})


@dataclass(frozen=True, slots=True)
class Target:
    """A request target in parts (RFC 9112, 3.2)."""

    path: bytes
    query: bytes


def bad(detail: str) -> GatewayError:
    """A request that is refused as malformed."""
    return GatewayError(ErrorKind.BAD_REQUEST, detail)


def check_head(method: str, version: str, url: bytes, headers: Headers) -> Target:
    """The parts of the target, if this head may pass. Raises GatewayError."""
    if version not in ("1.1", "1.0"):
        raise GatewayError(ErrorKind.VERSION_NOT_SUPPORTED, "the request line names another version")
    if method in _UNSUPPORTED_METHODS:
        raise GatewayError(ErrorKind.NOT_IMPLEMENTED, f"{method} is not forwarded")
    fields = dict(headers)
    _check_host(version, headers, fields)
    _check_framing(version, headers, fields)
    if url[:1] == b"/":
        path, _, query = url.partition(b"?")
        return Target(path, query)
    return _unusual_target(method, url, fields.get(b"host", b""))


def _check_host(version: str, headers: Headers, fields: dict[bytes, bytes]) -> None:
    host = fields.get(b"host")
    if host is None:
        if version == "1.1":
            raise bad("the Host header is missing")
        return
    if len(fields) != len(headers) and sum(name == b"host" for name, _ in headers) > 1:
        raise bad("there is more than one Host header")
    if not _HOST.fullmatch(host):
        raise bad("the Host header is no host name")


def _check_framing(version: str, headers: Headers, fields: dict[bytes, bytes]) -> None:
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if version == "1.0":
            raise bad("HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != b"chunked" or sum(name == b"transfer-encoding" for name, _ in headers) > 1:
            raise GatewayError(ErrorKind.NOT_IMPLEMENTED, "the only transfer coding understood is chunked")
    expectation = fields.get(b"expect")
    if expectation is not None and expectation.lower() != b"100-continue":
        raise GatewayError(ErrorKind.EXPECTATION_FAILED, "the only expectation understood is 100-continue")


def _unusual_target(method: str, url: bytes, host: bytes) -> Target:
    """Absolute form, which proxies get, and the asterisk of OPTIONS."""
    if url == b"*" and method == "OPTIONS":
        return Target(b"*", b"")
    match = _ABSOLUTE.fullmatch(url)
    if match is None:
        raise bad("the request target is neither a path nor an http URL")
    scheme, authority, rest = match.groups()
    port = b":443" if scheme.lower() == b"https" else b":80"
    if authority.lower().removesuffix(port) != host.lower().removesuffix(port):
        raise bad("the request target and the Host header name different hosts")
    path, _, query = rest.partition(b"?")
    return Target(path or b"/", query)


def is_websocket(method: str, version: str, headers: Headers) -> bool:
    """Whether this asks for a WebSocket (RFC 6455, 4.1). Raises GatewayError where it does, but with a body."""
    fields = dict(headers)
    if method != "GET" or version != "1.1" or fields.get(b"upgrade", b"").lower() != b"websocket":
        return False
    if fields.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in fields:
        raise bad("a WebSocket handshake has no body")
    return True
