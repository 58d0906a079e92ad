"""Whose requests count together: a function from an exchange to the text under which it is counted."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal

import orjson

from gateway.config.models import RouteConfig
from gateway.config.models.quotas import Quota
from gateway.config.models.rate_limits import RateLimit
from gateway.http import Exchange
from gateway.http.fields import lines_of

Key = Callable[[Exchange], str]
Part = Callable[[Exchange], str | None]

LONGEST: Final = 128  # characters of a name that are kept as they are
NETWORKS_REMEMBERED: Final = 4096
NETWORKS_LENGTH: Final = 64  # characters; an address with the zone that a client makes up may be longer
IPV6_PREFIX: Final = 64  # what a single customer has: 2**64 addresses are one client


def compile_key(parts: Sequence[str]) -> Key:
    """The key of several parts, such as `consumer` or `header:X-Session`.

    What an exchange does not have is replaced by its client's address, marked so that no consumer can be called like
    one. Values of headers and claims are only there as a hash, because they may be secrets.
    """
    address = _address()
    functions = [_part(part, address) for part in parts]
    if len(functions) == 1:
        return _single(functions[0], address)

    def several(exchange: Exchange) -> str:
        values = (_or_address(part(exchange), exchange, address) for part in functions)
        return _bounded("".join(f"{len(value)}:{value}" for value in values))  # lengths: a value may hold anything

    return several


def headers_of(rules: Iterable[RateLimit | Quota], route: RouteConfig) -> Iterator[tuple[Literal["header"], str]]:
    """The headers that are part of the keys by which these rules count the requests of a route, where they refuse."""
    for rule in rules:
        if rule.mode == "enforce" and rule.applies_to(route.id):
            for part in rule.key:
                if part.startswith("header:"):
                    yield "header", part.removeprefix("header:")


def _single(part: Part, address: Key) -> Key:
    def single(exchange: Exchange) -> str:
        return _or_address(part(exchange), exchange, address)

    def consumer(exchange: Exchange) -> str:
        identity = exchange.identity
        if identity is not None and len(identity.consumer) <= LONGEST and identity.consumer.isprintable():
            return "=" + identity.consumer  # what `single` says, in one call: it is what most limits count by
        return single(exchange)

    return consumer if part is _consumer else single


def _or_address(value: str | None, exchange: Exchange, address: Key) -> str:
    return "@" + address(exchange) if value is None else "=" + value


def _part(text: str, address: Key) -> Part:
    kind, _, name = text.partition(":")
    if kind == "header":
        return _header(name.encode())
    if kind == "claim":

        def claim(exchange: Exchange) -> str | None:
            value: Any = exchange.identity.claims.get(name) if exchange.identity else None
            return None if value is None else digest(_bytes_of(value))

        return claim
    parts: Mapping[str, Part] = {
        "consumer": _consumer,
        "tenant": _tenant,
        "route": lambda exchange: exchange.route,
        "address": address,
    }
    return parts[kind]


def _consumer(exchange: Exchange) -> str | None:
    identity = exchange.identity
    return None if identity is None else _bounded(identity.consumer)


def _tenant(exchange: Exchange) -> str | None:
    identity = exchange.identity
    return None if identity is None or identity.tenant is None else _bounded(identity.tenant)


def _header(name: bytes) -> Part:
    def header(exchange: Exchange) -> str | None:
        lines = lines_of(exchange.headers, exchange.fields, name)
        return digest(b"\n".join(lines)) if lines else None

    return header


def _bytes_of(value: Any) -> bytes:
    """Bytes that stand for a claim, whatever it is."""
    try:
        text = orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a number of more than 64 bits, half a character, or nested deeper than orjson goes
        return b"".join(_pieces(value))
    return b"".join(_pieces(value)) if b"null" in text else text  # which it writes for infinities, too


def _pieces(value: Any) -> Iterator[bytes]:
    """The parts of what JSON can say, each with its kind and its length. Without recursion: it may be nested deep."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            yield b"{%d" % len(item)
            for name in sorted(item, reverse=True):
                left += (item[name], name)
        elif isinstance(item, list):
            yield b"[%d" % len(item)
            left += reversed(item)
        else:
            # Not repr: the interpreter refuses to write whole numbers of thousands of digits in decimal.
            text = hex(item) if isinstance(item, int) and not isinstance(item, bool) else str(item)
            piece = text.encode("utf-8", "surrogatepass")
            yield b"%s%d:%s" % (type(item).__name__.encode(), len(piece), piece)


def _address() -> Key:
    network = lru_cache(NETWORKS_REMEMBERED)(_network)

    def address(exchange: Exchange) -> str:
        client = exchange.client
        if ":" not in client:
            return client
        return network(client) if len(client) <= NETWORKS_LENGTH else _network(client)

    return address


def _network(client: str) -> str:
    """The network of an IPv6 address; the IPv4 address that is in one."""
    try:
        address = ipaddress.IPv6Address(client.partition("%")[0])
    except ValueError:
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))


def _bounded(name: str) -> str:
    """A name as it is, unless it is endless, or nothing that a database takes for text."""
    plain = len(name) <= LONGEST and name.isprintable()
    return name if plain else digest(name.encode("utf-8", "surrogatepass"))


def digest(value: bytes) -> str:
    """24 hexadecimal digits that stand for a value."""
    return blake2b(value, digest_size=12).hexdigest()
