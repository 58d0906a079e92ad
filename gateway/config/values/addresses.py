"""Hosts, ports, targets and networks: what a text must look like, and its parts."""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from gateway.algorithms.networks import unmapped
from gateway.config.values.kinds import Kind, TextLike, accepted_by, refuse
from gateway.http.fields import FRAMING_FIELDS, folded, is_reserved
from gateway.http.methods import LONGEST, NEVER_FORWARDED

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_ASGI = re.compile(r"asgi:([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_URL = re.compile(r"(?i:(https?)://)([^/?#]*)(.*)", re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_PORTS = {"http": 80, "https": 443}

Protocol = Literal["http", "https"]


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """The endpoints of an entry of `services:`."""

    name: str


@dataclass(frozen=True, slots=True)
class AddressTarget:
    """One backend. `host` is lower-cased ASCII; an IPv6 address is without its brackets."""

    protocol: Protocol
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class AsgiTarget:
    """An ASGI application in this process: `from module import attribute`."""

    module: str
    attribute: str


Target = ServiceTarget | AddressTarget | AsgiTarget


def parse_target(text: str) -> Target:
    """The target of a route. Raises the error of `refuse` if it has none of the four forms."""
    if text.startswith("asgi:"):
        match = _ASGI.fullmatch(text)
        if match is None:
            raise refuse("an application in this process is written asgi:package.module:attribute")
        return AsgiTarget(match[1], match[2])
    if "://" in text:
        match = _URL.fullmatch(text)
        if match is None and text.startswith("lb://"):
            message = "a service is a target by its name alone, and is defined under services"
            raise refuse(message, f"; write {text.removeprefix('lb://')}")
        if match is None:
            raise refuse("a target URL begins with http:// or https:// (WebSockets go through these too)")
        protocol: Protocol = "https" if match[1].lower() == "https" else "http"
        if match[3]:
            raise refuse("a target URL ends after the host and port; change the path with the route's rewrite:")
        if "@" in match[2]:
            raise refuse("a target URL cannot carry a user or password; remove the part up to the @")
        if re.search(r":[0-9]*$", match[2]):
            return AddressTarget(protocol, *parse_address(match[2]))
        return AddressTarget(protocol, _parse_host(match[2]), _PORTS[protocol])
    if ":" in text:
        host, port = parse_address(text)
        return AddressTarget("http", host, port)
    if _SERVICE.fullmatch(text) is None:
        raise refuse(
            "a target is the name of a service, host:port, http://host[:port], https://host[:port] or"
            " asgi:package.module:attribute"
        )
    return ServiceTarget(text)


def parse_address(text: str) -> tuple[str, int]:
    """Host and port, of `"host:port"`; an IPv6 address is written `[::1]:80`, and returned without brackets."""
    if "/" in text:
        raise refuse("an address is host:port, without http:// and without a path")
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise refuse("an address is host:port; both are needed")
    if re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) is None or not 1 <= int(port) <= 65535:
        raise refuse("the port is a whole number from 1 to 65535")
    return _parse_host(host), int(port)


def _parse_host(text: str) -> str:
    host = parse_host_name(text)
    return host[1:-1] if host.startswith("[") else host


def parse_host_name(text: str) -> str:
    """A host as clients send it: lower-cased, ASCII, no trailing dot; an IPv6 address in brackets."""
    if text.startswith("[") and text.endswith("]"):
        try:
            return f"[{IPv6Address(text[1:-1]).compressed}]"
        except ValueError:
            raise refuse("the text between [ and ] must be an IPv6 address") from None
    if text.count(":") > 1:
        raise refuse("an IPv6 address is written in brackets, such as [::1]")
    name = ".".join(_to_ascii(label) for label in text.lower().removesuffix(".").split("."))
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise refuse("a host name is made of letters, digits and hyphens, in parts separated by single dots")
    return name


def _to_ascii(label: str) -> str:
    """One label as browsers send it: IDNA 2008, which unlike Python's own codec keeps ß and its like apart."""
    if label.isascii():
        return label
    label = unicodedata.normalize("NFKC", label)
    if not all(unicodedata.category(char)[0] in "LMN" or char == "-" for char in label):
        return ""
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


def parse_host_pattern(text: str) -> str:
    """A route's `host`: a host name without port, or `*.` before one."""
    if text == "*":
        raise refuse('to match every host, remove the key "host"')
    stem = text.removeprefix("*.")
    if "*" in stem:
        raise refuse("a host has its wildcard only at the front, as the whole first part: *.example.com")
    if re.search(r"(^[^:]*|\]):[0-9]+$", stem):
        raise refuse("a host is matched without its port; remove the port")
    prefix = "*." if stem != text else ""
    if prefix and stem.startswith("["):
        raise refuse("an IP address cannot have a wildcard")
    return prefix + parse_host_name(stem)


def parse_network(value: object) -> IPv4Network | IPv6Network:
    """A network in CIDR notation, or one address; one of IPv4 addresses within IPv6 is an IPv4 network."""
    if isinstance(value, str) and "%" in value:
        raise refuse("addresses of clients have no zone", "; remove what begins with %")
    if isinstance(value, str):
        for strict in (True, False):
            try:
                network = ip_network(value, strict=strict)
            except ValueError:
                continue
            if not strict:
                raise refuse("the address has bits set beyond the prefix length", f"; the network is {network}")
            return unmapped(network)
    raise refuse("expected a network such as 10.0.0.0/8, or an address such as 10.1.2.3 or ::1")


def parse_method(text: str) -> str:
    """An HTTP method, upper-cased (RFC 9110, 9.1)."""
    if text == "*":
        raise refuse('to match every method, remove the key "methods"')
    if _TOKEN.fullmatch(text) is None or len(text) > LONGEST:
        raise refuse(f"a method is one word of at most {LONGEST} characters, such as GET")
    if text.upper() in NEVER_FORWARDED:
        raise refuse("the methods CONNECT, TRACE and PRI are never forwarded; remove it")
    return text.upper()


def parse_header_name(text: str) -> str:
    """A header name, lower-cased (RFC 9110, 5.1)."""
    if _TOKEN.fullmatch(text) is None:
        raise refuse("a header name is letters, digits and hyphens, without a colon or spaces")
    return text.lower()


def parse_own_header(text: str) -> str:
    """The name of a header that is given a meaning by a setting, and so may have none of its own."""
    name = parse_header_name(text)
    if is_reserved(name.encode()):
        raise refuse("this header is reserved (framing, routing, content); use another, such as X-Name")
    return name


def parse_read_header(text: str) -> str:
    """The name of a header that a setting only reads: none of those that say how a message is framed."""
    name = parse_header_name(text)
    if folded(name.encode()) in FRAMING_FIELDS:
        raise refuse("this header says how a message is framed, or is for the next hop only; take another")
    return name


TargetText = Annotated[str, Kind("target", "^[^/]*$|^https?://[^/]+$"), accepted_by(parse_target)]
AddressText = Annotated[str, Kind("host:port", ":[0-9]{1,5}$"), accepted_by(parse_address)]
HostName = Annotated[str, Kind("host"), AfterValidator(parse_host_name)]
HostPattern = Annotated[str, Kind("host"), AfterValidator(parse_host_pattern)]
Method = Annotated[str, Kind("method", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"), AfterValidator(parse_method)]
HeaderName = Annotated[str, Kind("header name"), AfterValidator(parse_header_name)]
OwnHeader = Annotated[str, Kind("header name"), AfterValidator(parse_own_header)]
HttpUrl = Annotated[
    str,
    TextLike(
        "URL",
        r"https?://[^/?#\s@\\]+(/[^\s#\\]*)?",
        "expected a URL that begins with https:// or http://, such as https://host.example.com/path, without a "
        "user and without a fragment",
    ),
]
ServiceName = Annotated[
    str,
    TextLike(
        "service name",
        f"(?![0-9]+$){_SERVICE.pattern}",
        "a service name is letters, digits, dots, hyphens and underscores, at most 63, not only digits",
    ),
]
Network = Annotated[
    IPv4Network | IPv6Network,
    Kind("network"),
    WithJsonSchema({"type": "string", "pattern": "^[0-9A-Fa-f:.]+(/[0-9]+)?$"}),
    BeforeValidator(parse_network),
]
