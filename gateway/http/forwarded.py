"""Who the client is, and what the backend is told of it: X-Forwarded-*, Forwarded (RFC 7239), X-Real-IP, Via.

Only a peer in `trusted_proxies` is believed. From anybody else every such line is dropped and written anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

from gateway.http.fields import values
from gateway.http.messages import Exchange, Headers

VIA: Final = b"1.1 gateway"
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VERDICTS: Final = 4096  # addresses whose verdict is remembered
_REMEMBERED_LENGTH: Final = 64  # characters of an address; with the zone that a client makes up it may be longer
_REMEMBERED_HOST: Final = 100  # the same of a host


class Caller(NamedTuple):
    """What is known of the one who sent a request."""

    client: str
    scheme: str
    peer_trusted: bool


class TrustedProxies:
    """The networks whose word about the client is taken."""

    __slots__ = ("_networks", "_verdicts")

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)
        self._verdicts: dict[str, bool] = {}

    def trusts(self, address: str) -> bool:
        """Whether this address is one of theirs; text that is no address never is."""
        verdict = self._verdicts.get(address)
        if verdict is None:
            verdict = self._look_up(address)
            if len(address) <= _REMEMBERED_LENGTH:
                if len(self._verdicts) >= _VERDICTS:
                    self._verdicts.clear()
                self._verdicts[address] = verdict
        return verdict

    def _look_up(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def caller(self, peer: str, scheme: str, headers: Headers, fields: dict[bytes, bytes]) -> Caller:
        """The client's address and scheme: the nearest address that no trusted proxy vouches onward from."""
        if not self.trusts(peer):
            return Caller(peer, scheme, False)
        first = fields.get(b"forwarded", b"").partition(b",")[0]
        proto = (fields.get(b"x-forwarded-proto") or _parameter(first, b"proto")).lower()
        if proto in (b"http", b"https"):
            scheme = proto.decode()
        client = peer
        for hop in reversed(chain(headers, fields)):
            address = _address(hop)
            if address is None:
                break
            client = address
            if not self.trusts(address):
                break
        return Caller(client, scheme, True)


def chain(headers: Headers, fields: dict[bytes, bytes]) -> list[str]:
    """The hops that the proxies before us wrote down, farthest first; X-Forwarded-For before Forwarded."""
    if b"x-forwarded-for" in fields:
        text = b",".join(values(headers, b"x-forwarded-for")).decode("latin-1")
        return [hop.strip() for hop in text.split(",") if hop.strip()]
    if b"forwarded" in fields:
        elements = b",".join(values(headers, b"forwarded")).split(b",")
        return [hop.decode("latin-1") for element in elements if (hop := _parameter(element, b"for"))]
    return []


def _parameter(element: bytes, wanted: bytes) -> bytes:
    """The value of a parameter of a Forwarded element, without its quotes; empty where it is not there."""
    for pair in element.split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name.lower() == wanted:
            return value.strip().strip(b'"')
    return b""


def _address(hop: str) -> str | None:
    """The address in one hop, which may carry a port; None where a proxy hid it (`unknown`, `_name`)."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return None


def forwarding_headers(exchange: Exchange) -> Headers:
    """The lines that tell the backend where the request came from."""
    fields = exchange.fields
    via = b", ".join([*values(exchange.headers, b"via"), VIA]) if b"via" in fields else VIA
    lines = [(b"x-request-id", exchange.request_id.encode()), (b"via", via)]
    if not exchange.peer_trusted:
        of_a_stranger = _remembered if len(exchange.host) <= _REMEMBERED_HOST else _of_a_stranger
        return [*of_a_stranger(exchange.peer, exchange.host, exchange.scheme), *lines]
    return lines + _of_a_proxy(exchange)


def _of_a_stranger(peer: str, host: str, scheme: str) -> tuple[tuple[bytes, bytes], ...]:
    """Nothing that the peer says of itself counts."""
    address, name, proto = peer.encode(), host.encode("latin-1"), scheme.encode()
    return (
        (b"x-forwarded-for", address),
        (b"x-forwarded-proto", proto),
        (b"x-forwarded-host", name),
        (b"forwarded", _element(peer, name, proto)),
        (b"x-real-ip", address),
    )


_remembered: Final = lru_cache(4096)(_of_a_stranger)


def _of_a_proxy(exchange: Exchange) -> Headers:
    """What the proxy said, and the proxy itself."""
    fields, host, scheme = exchange.fields, exchange.host.encode("latin-1"), exchange.scheme.encode()
    hops = chain(exchange.headers, fields)
    told = b", ".join(values(exchange.headers, b"forwarded")) or b", ".join(b"for=" + _node(hop) for hop in hops)
    element = _element(exchange.peer, host, scheme)
    lines = [
        (b"x-forwarded-for", b", ".join([*(hop.encode("latin-1") for hop in hops), exchange.peer.encode()])),
        (b"x-forwarded-proto", scheme),
        (b"x-forwarded-host", fields.get(b"x-forwarded-host", host)),
        (b"forwarded", told + b", " + element if told else element),
        (b"x-real-ip", exchange.client.encode()),
    ]
    written = exchange.hidden_headers.union(name for name, _ in lines)
    return lines + [line for line in exchange.headers if line[0].startswith(b"x-forwarded-") and line[0] not in written]


def _element(peer: str, host: bytes, scheme: bytes) -> bytes:
    return b"for=%b;host=%b;proto=%b" % (_node(peer), _quoted(host), scheme)


def _node(address: str) -> bytes:
    """A node identifier of RFC 7239, 6: IPv6 addresses stand in brackets and quotes."""
    if address.replace(".", "").isdigit():
        return address.encode()
    text = address.encode("latin-1")
    if text.startswith(b"["):
        return b'"%b"' % text
    return b'"[%b]"' % text if text.count(b":") > 1 else _quoted(text)


def _quoted(value: bytes) -> bytes:
    """A token (RFC 9110, 5.6.2) as it is; anything else in double quotes."""
    return value if _TOKEN.fullmatch(value) else b'"%b"' % value.replace(b"\\", b"").replace(b'"', b"")
