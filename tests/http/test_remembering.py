"""Caches of client-controlled texts: short ones only, so that long ones cannot fill the memory."""

import contextlib
import tracemalloc
from collections.abc import Callable
from ipaddress import ip_network

import pytest

from gateway.algorithms.networks import NetworkMap
from gateway.errors import GatewayError
from gateway.http.forwarded import TrustedProxies
from gateway.http.header_filter import STRANGERS
from gateway.http.media import MediaRanges
from gateway.limits.keys import _address
from gateway.middleware.compression import Choices
from gateway.server.head import check_head
from gateway.upstream.request import forwarding_headers
from tests.auth.support import request


def _with_client(text: str) -> None:
    exchange = request()
    exchange.client = text
    ADDRESS(exchange)


def _with_host(text: str) -> None:
    exchange = request()
    exchange.host = text
    forwarding_headers(exchange)


def _head(text: str) -> None:
    fields = {b"host": text.encode()}
    with contextlib.suppress(GatewayError):  # a long one is refused
        check_head("GET", "1.1", b"/", list(fields.items()), fields)


def _accepting(text: str) -> None:
    CHOICES.choice(request([(b"accept-encoding", text.encode())]))


def _forwarded(text: str) -> None:
    lines = [(b"x-forwarded-for", text.encode())]
    EVERYBODY.caller("127.0.0.1", "http", lines, dict(lines))


ADDRESS = _address()
CHOICES = Choices(("gzip",))
RANGES = MediaRanges(["application/json"])
NETWORKS: NetworkMap[str] = NetworkMap()
PROXIES = TrustedProxies([])
EVERYBODY = TrustedProxies([ip_network("0.0.0.0/0"), ip_network("::/0")])

READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "the name of a header": (lambda text: STRANGERS.passes(text.encode()), "x-"),
    "a host that is sent on": (_with_host, "h"),
    "a host that is checked": (_head, "h"),
    "a media type": (lambda text: RANGES.match(text.encode()), "a/"),
    "codings": (_accepting, "gzip;x="),
    "an address that may be blocked": (NETWORKS.covering, "fe80::1%"),
    "an address that may be trusted": (PROXIES.trusts, "fe80::1%"),
    "an address that a proxy names": (_forwarded, "fe80::1%"),
    "an address that is counted": (_with_client, "fe80::1%"),
}


@pytest.mark.parametrize("what", READERS)
def test_long_texts_are_not_kept(what: str) -> None:
    """A thousand different values of 16 KiB are read, and a thousand short ones; the memory holds none of the long."""
    read, begin = READERS[what]
    tracemalloc.start()
    try:
        for number in range(1000):
            read(f"{begin}{number}")
            read(f"{begin}{number}{'a' * 16_000}")
        assert tracemalloc.get_traced_memory()[0] < 2 * 1024**2
    finally:
        tracemalloc.stop()
