"""Checks of a request head beyond those of the parser (RFC 9110, 7.2; RFC 9112, 3, 6 and 7).

The reader sees to the request line, and llhttp refuses what is malformed byte by byte: bare CR and LF, NUL, obs-fold,
white space before a colon, both lengths, conflicting or odd lengths, bad chunks. Here is what is left, of all heads but
those that are found to be plain while they are read (`gateway/native`):

- no Host, two of them, one that is no host, or one that an absolute-form target contradicts;
- a Transfer-Encoding other than `chunked`, or any with HTTP/1.0;
- CONNECT and TRACE; an Expect other than `100-continue`;
- a WebSocket handshake with a body, another version, no key or two, or subprotocols that are no tokens.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers
from gateway.http.fields import values
from gateway.http.methods import NEVER_FORWARDED

_HOST: Final = re.compile(rb"(?:(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_WEBSOCKET_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]*")
_ABSOLUTE: Final = re.compile(rb"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)

_BEGUN: Final = re.compile(rb"([A-Z]{1,32}) ((?:/|https?://)[^ \r\n]{0,1024})")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f-\x9f]")

_OF_AN_UPGRADE: Final = frozenset({b"upgrade", b"http2-settings"})
_LONGEST_HOST: Final = 255 + 6  # bytes of a name (RFC 1035, 2.3.4) and a port
_REMEMBERED_LENGTH: Final = 100  # bytes of a Host; longer ones are looked at each time


Target = tuple[bytes, bytes]
"""Path and query of a request target (RFC 9112, 3.2)."""


def bad(detail: str) -> GatewayError:
    """A request that is refused as malformed."""
    return GatewayError(ErrorKind.BAD_REQUEST, detail)


def not_http(start: bytes) -> GatewayError:
    """What begins so is no HTTP request."""
    if start[:2] == b"\x16\x03":  # the first record of a TLS handshake (RFC 8446, 5.1)
        return bad("this is TLS, and the port speaks plain HTTP: use http://, or have a proxy in front end TLS")
    return bad("this does not begin as a request does: METHOD, space, target in ASCII, space, HTTP/1.1, CR, LF")


def check_head(method: str, version: str, url: bytes, headers: Headers, fields: dict[bytes, bytes]) -> Target:
    """The parts of the target, if this head may pass; `fields` are the headers by name. Raises GatewayError."""
    host = fields.get(b"host", b"")
    if len(fields) != len(headers) or len(host) > _REMEMBERED_LENGTH or not _is_host(host):
        _check_host(version, headers, fields)
    if b"transfer-encoding" in fields or b"expect" in fields:
        coding = fields.get(b"transfer-encoding")
        if coding is not None:
            if version == "1.0":
                raise bad("HTTP/1.0 has no Transfer-Encoding")
            if coding.lower() != b"chunked" or sum(name == b"transfer-encoding" for name, _ in headers) > 1:
                raise GatewayError(ErrorKind.NOT_IMPLEMENTED, "the only transfer coding understood is chunked")
        expectation = fields.get(b"expect")
        if expectation is not None and expectation.lower() != b"100-continue":
            raise GatewayError(ErrorKind.EXPECTATION_FAILED, "the only expectation understood is 100-continue")
    if url[:1] == b"/":
        path, _, query = url.partition(b"?")
        return path, query
    return _unusual_target(method, url, headers, fields)


def shown_line(line: bytes) -> tuple[str, bytes]:
    """Method and target for the log of what begins like a request line, but is none; without control characters."""
    begun = _BEGUN.match(line)
    return ("-", b"") if begun is None else (begun[1].decode(), _CONTROL.sub(b"*", begun[2]))


def check_method(method: str) -> None:
    """Raises GatewayError for a method that no route can take."""
    if method in NEVER_FORWARDED:
        raise GatewayError(ErrorKind.NOT_IMPLEMENTED, f"{method} is not forwarded")
    if method != method.upper():
        raise GatewayError(ErrorKind.NOT_IMPLEMENTED, f"methods are in upper case: {method.upper()}, not {method}")


@lru_cache(1024)
def _is_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


def _check_host(version: str, headers: Headers, fields: dict[bytes, bytes]) -> None:
    host = fields.get(b"host")
    if host is None:
        if version == "1.1":
            raise bad("the Host header is missing")
        return
    if len(fields) != len(headers) and sum(name == b"host" for name, _ in headers) > 1:
        raise bad("there is more than one Host header")
    if len(host) > _LONGEST_HOST or _HOST.fullmatch(host) is None:
        raise bad("the Host header is no host name")


def _unusual_target(method: str, url: bytes, headers: Headers, fields: dict[bytes, bytes]) -> Target:
    """Absolute form, which names the host where HTTP/1.0 leaves Host out, and the asterisk of OPTIONS."""
    if url == b"*" and method == "OPTIONS":
        return (b"*", b"")
    match = _ABSOLUTE.fullmatch(url)
    if match is None:
        raise bad("the request target is neither a path nor an http URL")
    scheme, authority, rest = match.groups()
    if len(authority) > _LONGEST_HOST or not _HOST.fullmatch(authority):
        raise bad("the request target names no host")
    port = b":443" if scheme.lower() == b"https" else b":80"
    host = fields.get(b"host")
    if host is None:
        headers.append((b"host", authority))
        fields[b"host"] = authority
    elif _without(port, authority) != _without(port, host):
        raise bad("the request target and the Host header name different hosts")
    if not rest and method == "OPTIONS":
        return (b"*", b"")  # RFC 9112, 3.2.4: it asks that host as a whole
    path, _, query = rest.partition(b"?")
    return (path or b"/", query)


def _without(port: bytes, authority: bytes) -> bytes:
    """A host without the port that goes without saying (RFC 3986, 6.2.3)."""
    return authority.lower().removesuffix(port).removesuffix(b":")


def is_websocket(method: str, version: str, headers: Headers, fields: dict[bytes, bytes]) -> bool:
    """Whether this asks for a WebSocket (RFC 6455, 4.1). Raises GatewayError where it does, but wrongly."""
    if method != "GET" or version != "1.1" or fields.get(b"upgrade", b"").lower() != b"websocket":
        return False
    if fields.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in fields:
        raise bad("a WebSocket handshake has no body")
    if fields.get(b"sec-websocket-version") != b"13":
        versions = ((b"sec-websocket-version", b"13"), (b"upgrade", b"websocket"))
        raise GatewayError(ErrorKind.UPGRADE_REQUIRED, "only WebSocket version 13 is spoken here", headers=versions)
    if not _WEBSOCKET_KEY.fullmatch(fields.get(b"sec-websocket-key", b"")):
        raise bad("Sec-WebSocket-Key is not 16 bytes in base64")
    for name in (b"sec-websocket-key", b"sec-websocket-version"):
        if len(values(headers, name)) > 1:
            raise bad(f"there is more than one {name.decode().title().replace('Websocket', 'WebSocket')} header")
    for line in values(headers, b"sec-websocket-protocol"):
        if not all(_TOKEN.fullmatch(item.strip(b" \t")) for item in line.split(b",")):
            raise bad("Sec-WebSocket-Protocol is no list of subprotocols, which are tokens (RFC 9110, 5.6.2)")
    return True


def head_without_upgrade(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """The same request head as it goes over the wire, but for the upgrade that it asks for."""
    lines = [b"%b %b HTTP/%b\r\n" % (method, url, version.encode())]
    for name, value in headers:
        if name not in _OF_AN_UPGRADE:
            lines.append(b"%b: %b\r\n" % (name, _without_upgrade(value) if name == b"connection" else value))
    return b"".join(lines) + b"\r\n"


def _without_upgrade(connection: bytes) -> bytes:
    tokens = [token.strip() for token in connection.split(b",")]
    return b", ".join(token for token in tokens if token and token.lower() not in _OF_AN_UPGRADE)
