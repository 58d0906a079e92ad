"""Who the client is, and what the backend learns of it: X-Forwarded-*, Forwarded (RFC 7239), X-Real-IP, Via.

Only a peer in `trusted_proxies` is trusted. From any other, every such line is dropped and written anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

from gateway.http.bodies import Headers
from gateway.http.fields import values
from gateway.http.messages import Exchange
from gateway.http.paths import is_plain, merge_slashes, normalise

VIA: Final = b"1.1 gateway"
MAX_HOPS: Final = 64  # of the nearest proxies; what stands farther away was not written by a trusted one
_MAX_NODE: Final = 64  # bytes of an address with its port
_MAX_HOST: Final = 255 + 6  # bytes of a name (RFC 1035, 2.3.4) and a port
_VERDICTS: Final = 4096  # addresses whose verdict is remembered
_REMEMBERED_LENGTH: Final = 64  # characters of an address; with the zone that a client makes up it may be longer
_REMEMBERED_HOST: Final = 100  # the same of a host

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_NODE: Final = re.compile(
    r"\[([0-9A-Fa-f:.%]+)\](?::(?:[0-9]{1,5}|_[\w.-]+))?|([0-9.]+):(?:[0-9]{1,5}|_[\w.-]+)", re.ASCII
)
_PREFIX: Final = re.compile(rb"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")
_SCHEMES: Final = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
_OPEN_TO_RULES: Final = frozenset({b"x-forwarded-port", b"x-forwarded-prefix"})  # who sets or removes them has the word
_OUTSIDE_QUOTES: Final = bytes.maketrans(b",;", b"\n\r")  # neither can stand in a header


class Caller(NamedTuple):
    """What is known of the one who sent a request."""

    client: str
    scheme: str
    peer_trusted: bool
    host: str = ""  # that the client asked for, where a proxy says it
    port: str = ""


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
        element = elements[-place] if elements else b""
        proto = parameter(element, b"proto") or _aligned(headers, fields, b"x-forwarded-proto", place)
        host = parameter(element, b"host") or _aligned(headers, fields, b"x-forwarded-host", place)
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
    """What a list says of the hop at this place from the right; empty where it says nothing of it."""
    if name not in fields:
        return b""
    found = items(headers, name)
    if len(set(found)) == 1:
        return found[0]
    return found[-place] if 0 < place <= len(found) else b""


@lru_cache(4096)
def _address(hop: str) -> str | None:
    """The address in one hop, which may carry a port; None where it is none. A zone is only of use on its own host."""
    match = _NODE.fullmatch(hop)
    if match is not None:
        hop = match[1] or match[2]
    try:
        address = ip_address(hop.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)


def forwarding_headers(exchange: Exchange) -> Headers:
    """The lines that tell the backend where the request came from."""
    fields = exchange.fields
    via = b", ".join([*values(exchange.headers, b"via"), VIA]) if b"via" in fields else VIA
    host, path = exchange.host, exchange.target_path
    lines = [(b"x-request-id", exchange.request_id.encode()), (b"via", via)]
    if exchange.peer_trusted:
        lines += _of_a_proxy(exchange)
    else:
        of_a_stranger = _remembered if len(host) <= _REMEMBERED_HOST else _of_a_stranger
        lines += of_a_stranger(exchange.peer, host, exchange.scheme)
    came = exchange.original_path
    # A plain path that does not end in what is sent has no prefix: the usual case.
    may_have = (
        came.endswith(path) or exchange.peer_trusted or path == "/" or "%" in came or "//" in came or "/." in came
    )
    if may_have and (prefix := prefix_before(exchange, path)):
        lines.append((b"x-forwarded-prefix", prefix))
    if _OPEN_TO_RULES.isdisjoint(exchange.hidden_headers):
        return lines
    return [line for line in lines if line[0] not in _OPEN_TO_RULES or line[0] not in exchange.hidden_headers]


def prefix_before(exchange: Exchange, path: str) -> bytes:
    """What the client's path has in front of this one, behind what a trusted proxy had taken off it before."""
    prefix = b"" if exchange.original_path == path else _taken_off(exchange.original_path, path)
    if exchange.peer_trusted and b"x-forwarded-prefix" in exchange.fields:
        before = exchange.fields[b"x-forwarded-prefix"].rstrip(b"/")
        return before + prefix if _PREFIX.fullmatch(before) else prefix
    return prefix


def _taken_off(came: str, path: str) -> bytes:
    if not is_plain(came):
        forms = normalise(came.encode("latin-1"))
        came = forms.sent if forms.sent.endswith(path) else forms.path
    if came.endswith(path):
        came = came[: len(came) - len(path)]
    elif path != "/":
        return b""
    return merge_slashes(came).encode("latin-1")


def _of_a_stranger(peer: str, host: str, scheme: str) -> tuple[tuple[bytes, bytes], ...]:
    """Nothing that the peer says of itself counts."""
    address, name, proto = peer.encode(), host.encode("latin-1"), scheme.encode()
    return (
        (b"x-forwarded-for", address),
        (b"x-forwarded-proto", proto),
        (b"x-forwarded-host", name),
        (b"x-forwarded-port", _port(host, scheme)),
        (b"forwarded", _element(peer, name, proto)),
        (b"x-real-ip", address),
    )


_remembered: Final = lru_cache(4096)(_of_a_stranger)


def _of_a_proxy(exchange: Exchange) -> Headers:
    """What the proxy said, and the proxy itself."""
    headers, host, scheme = exchange.headers, exchange.host, exchange.scheme
    forwarded_for, forwarded = _chains(headers, exchange.fields)
    outer = exchange.outer_host or host
    return [
        (b"x-forwarded-for", b", ".join([*forwarded_for, exchange.peer.encode()])),
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", outer.encode("latin-1")),
        (b"x-forwarded-port", exchange.outer_port.encode() or _port(outer, scheme)),
        (
            b"forwarded",
            b", ".join([*forwarded, _element(exchange.peer, host.encode("latin-1"), scheme.encode())]),
        ),
        (b"x-real-ip", exchange.client.encode()),
    ]


def _chains(headers: Headers, fields: dict[bytes, bytes]) -> tuple[list[bytes], list[bytes]]:
    """The hops that the proxies wrote down, as X-Forwarded-For and as `Forwarded`.

    The one that the client's address was taken from stands as it came, and so does the other one if it has the same
    hops; else it is made anew, because a backend may read either.
    """
    stated = [hop for element in forwarded_elements(headers) if (hop := parameter(element, b"for"))]
    if b"x-forwarded-for" not in fields:
        return stated, _lines(headers, b"forwarded")
    hops = items(headers, b"x-forwarded-for")
    if hops != stated:
        return _lines(headers, b"x-forwarded-for"), [b"for=" + _node(hop.decode("latin-1")) for hop in hops]
    return _lines(headers, b"x-forwarded-for"), _lines(headers, b"forwarded")


def _lines(headers: Headers, name: bytes) -> list[bytes]:
    """The lines of a list as they came, without the empty elements at their ends (RFC 9110, 5.6.1.1)."""
    return [line for value in values(headers, name) if (line := value.strip(b", \t"))]


def _port(host: str, scheme: str) -> bytes:
    """The port of a `Host` value, or the usual one of the scheme."""
    _, colon, port = host.rpartition(":")
    if colon and port.isdigit() and port.isascii():
        return port.encode()
    return b"443" if scheme == "https" else b"80"


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
