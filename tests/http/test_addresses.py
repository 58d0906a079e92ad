"""Addresses as text."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from gateway.http.addresses import ipv4_number


def standard(text: str) -> int | None:
    """What the standard library reads."""
    try:
        return int(IPv4Address(text))
    except ValueError:
        return None


TEXTS = ["0.0.0.0", "255.255.255.255", "10.0.0.1", "192.0.2.77", "127.0.0.1"]
TEXTS += ["", ".", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.1.1.1", "01.2.3.4", "1.2.3.00", "1.2.3.4 "]
TEXTS += [
    "1.2.3.+4",
    "1.2.3.-4",
    "1.2.3.4%1",
    "1.2.3.4:80",
    "::1",
    "::ffff:1.2.3.4",
    "1.2.3.٣",
    "1.2.3.0x1",
    "1.2.3.1_0",
]
TEXTS += ["1.2.3.4\x00", "1.2.3.4\n", "unknown", "9999999999", "1.2.3." + "4" * 1000]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_ipv4_is_read_as_the_standard_library_reads_it(text: str) -> None:
    """An address of a header or a network counts as IPv4 exactly where Python says so, with the same number."""
    assert ipv4_number(text) == standard(text)
