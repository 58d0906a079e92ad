"""Who the client is, as trusted proxies say it: X-Forwarded-*, Forwarded (RFC 7239).

Only a peer in `trusted_proxies` is trusted. What the backend learns of the client is in `upstream/request.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple

from gateway.http.addresses import ipv4_number, unmapped_address
from gateway.http.bodies import Headers
from gateway.http.fields import values

MAX_HOPS: Final = 64  # of the nearest proxies; what stands farther away was not written by a trusted one
_MAX_NODE: Final = 64  # bytes of an address with its port
_MAX_HOST: Final = 255 + 6  # bytes of a name (RFC 1035, 2.3.4) and a port
_VERDICTS: Final = 4096  # addresses whose verdict is remembered
_REMEMBERED_LENGTH: Final = 64  # characters of an address; with the zone that a client makes up it may be longer

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_NODE: Final = re.compile(
    r"\[([0-9A-Fa-f:.%]+)\](?::(?:[0-9]{1,5}|_[\w.-]+))?|([0-9.]+):(?:[0-9]{1,5}|_[\w.-]+)", re.ASCII
)
_SCHEMES: Final = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
_OUTSIDE_QUOTES: Final = bytes.maketrans(b",;", b"\n\r")  # neither can stand in a header


class Caller(NamedTuple):
    """The sender of a request."""

    client: str
    scheme: str
    peer_trusted: bool
    host: str = ""  # that the client asked for, where a proxy says it
    port: str = ""


class TrustedProxies:
    """The networks whose word about the client is taken."""

    __slots__ = ("_ipv4", "_networks", "verdicts")

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)
        self._ipv4 = [(int(each.network_address), int(each.netmask)) for each in networks if each.version == 4]
        self.verdicts: dict[str, bool] = {}  # of addresses that were looked at, for who cannot afford a call

    def trusts(self, address: str) -> bool:
        """Whether this address is one of theirs; text that is no address never is."""
        verdict = self.verdicts.get(address)
        if verdict is None:
            verdict = self._look_up(address)
            if len(address) <= _REMEMBERED_LENGTH:
                if len(self.verdicts) >= _VERDICTS:
                    self.verdicts.clear()
                self.verdicts[address] = verdict
        return verdict

    def _look_up(self, text: str) -> bool:
        number = ipv4_number(text)
        if number is not None:
            return any(number & mask == network for network, mask in self._ipv4)
        try:
            address = unmapped_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def caller(self, peer: str, scheme: str, headers: Headers, fields: dict[bytes, bytes]) -> Caller:
        """The client, and what the proxy that it came to says of its request.

        The client is the nearest address that no trusted proxy vouches onward from. Scheme, host and port come from
        the element of `Forwarded` that has this address, or from the same place, counted from the right, in the lists
        of X-Forwarded-Proto, -Host and -Port. A list of one value is for the client, however many hops there are:
        most proxies replace these headers, and do not add to them.
        """
        if not self.trusts(peer):
            return Caller(peer, scheme, False)
        elements: list[bytes] = []
        if b"x-forwarded-for" in fields:
            hops = items(headers, b"x-forwarded-for")
        else:
            elements = forwarded_elements(headers) if b"forwarded" in fields else []
            hops = [parameter(element, b"for") for element in elements]
        client, place = self._client(peer, hops)
        proto = host = b""
        if elements:
            proto, host = parameter(elements[-place], b"proto"), parameter(elements[-place], b"host")
        proto = proto or _aligned(headers, fields, b"x-forwarded-proto", place)
        host = host or _aligned(headers, fields, b"x-forwarded-host", place)
        if len(host) > _MAX_HOST or not _HOST.fullmatch(host):
            host = b""
        port = _aligned(headers, fields, b"x-forwarded-port", place)
        if len(port) > 5 or not port.isdigit() or not 0 < int(port) < 65536:
            port = b""
        scheme = _SCHEMES.get(proto.lower(), scheme)
        return Caller(client, scheme, True, host.decode("ascii"), port.decode("ascii"))

    def _client(self, peer: str, hops: Sequence[bytes]) -> tuple[str, int]:
        """The client's address, and which hop it is, counted from the right; 0 where there are none.

        Where a proxy hid the address (`unknown`, `_name`), the proxy's own stands for it.
        """
        client, place = peer, 0
        for hop in reversed(hops):
            place += 1
            address = _address(hop.decode("latin-1")) if len(hop) <= _MAX_NODE else None
            if address is None:
                break
            client = address
            if not self.trusts(address):
                break
        return client, place


def items(headers: Headers, name: bytes) -> list[bytes]:
    """The nearest of what a list header has over all its lines, farthest first, without empty ones."""
    text = b",".join(values(headers, name))
    return [item for part in text.rsplit(b",", MAX_HOPS)[-MAX_HOPS:] if (item := part.strip(b' \t"'))]


def forwarded_elements(headers: Headers) -> list[bytes]:
    """The nearest elements of `Forwarded` (RFC 7239, 4), farthest first, for `parameter`.

    Quotes are counted from the right of each line, where proxies write: one that a client left open changes nothing
    in what they say.
    """
    found: list[bytes] = []
    for line in values(headers, b"forwarded"):
        pieces = line.replace(b'\\"', b"").split(b'"')
        for index in range(len(pieces) - 1, -1, -2):
            pieces[index] = pieces[index].translate(_OUTSIDE_QUOTES)
        found += [element for element in b'"'.join(pieces).split(b"\n") if element.strip()]
    return found[-MAX_HOPS:]


def parameter(element: bytes, wanted: bytes) -> bytes:
    """The value of a parameter of a `Forwarded` element, without its quotes; empty where it is not there."""
    for pair in element.split(b"\r"):
        name, _, value = pair.partition(b"=")
        if name.strip().lower() == wanted:
            return value.strip(b' \t"')
    return b""


def _aligned(headers: Headers, fields: dict[bytes, bytes], name: bytes, place: int) -> bytes:
    """The item of a list for the hop at this place from the right; empty if there is none."""
    if name not in fields:
        return b""
    found = items(headers, name)
    if len(set(found)) == 1:
        return found[0]
    return found[-place] if 0 < place <= len(found) else b""


def _address(hop: str) -> str | None:
    """The address in one hop, which may carry a port; None where it is none. A zone is only of use on its own host."""
    return _remembered_address(hop) if ipv4_number(hop) is None else hop


@lru_cache(4096)
def _remembered_address(hop: str) -> str | None:
    match = _NODE.fullmatch(hop)
    if match is not None:
        hop = match[1] or match[2]
    try:
        return str(unmapped_address(hop.partition("%")[0]))
    except ValueError:
        return None
