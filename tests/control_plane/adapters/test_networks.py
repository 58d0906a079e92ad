"""Requests of the control plane go to where gateways may be, and to no other place, however it is written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control_plane.adapters.networks import DEFAULT, EVERYWHERE, allowed_addresses, literal

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::ffff:0:a9fe:a9fe",
    "2001:db8::5efe:a9fe:a9fe",
    "2001:db8::200:5efe:a9fe:a9fe",
    "2001:0:a9fe:a9fe::1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fd20:ce::254",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "169.254.169.254.",
    "0.0.0.0",
    "0",
    "::",
    "224.0.0.1",
    "255.255.255.255",
    "ff02::1",
    "metadata.google.internal",
    "METADATA.google.internal.",
]


@pytest.mark.parametrize("host", METADATA)
@pytest.mark.parametrize("networks", [DEFAULT, EVERYWHERE, ("loopback", "names"), ("169.254.0.0/16", "fe80::/10")])
def test_metadata_and_link_local_addresses_are_refused_in_every_form(host: str, networks: tuple[str, ...]) -> None:
    """Whatever `networks` says."""
    assert allowed_addresses(networks).refusal_of_host(host) is not None


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.1.2.3"]
)
def test_private_networks_are_allowed_unless_said_otherwise(address: str) -> None:
    """With an address that is written, and with one that a name leads to."""
    allowed = allowed_addresses(DEFAULT)
    assert allowed.refusal_of_host(address) is None
    assert allowed.refusal(ip_address(address), "gateway.internal") is None


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "2130706433", "0x7f.1", "127.1"]
)
def test_this_machine_is_allowed_only_where_networks_say_so(address: str) -> None:
    """The word `loopback`, or its network."""
    assert "`networks`" in str(allowed_addresses(DEFAULT).refusal_of_host(address))
    assert allowed_addresses(("loopback",)).refusal_of_host(address) is None
    assert allowed_addresses(("127.0.0.0/8", "::1")).refusal_of_host(address) is None


def test_a_public_address_is_allowed_as_a_name_only() -> None:
    """A name is judged by its address; configured networks exclude names with public addresses."""
    public = IPv4Address("203.0.113.7")
    assert allowed_addresses(DEFAULT).refusal(public) is not None
    assert allowed_addresses(DEFAULT).refusal(public, "gateway.example.com") is None
    assert allowed_addresses(("private",)).refusal(public, "gateway.example.com") is not None
    assert allowed_addresses(("203.0.113.0/24",)).refusal(public, "gateway.example.com") is None


def test_a_name_that_leads_to_this_machine_is_refused() -> None:
    """`localhost` needs the word, too."""
    assert allowed_addresses(DEFAULT).refusal(IPv4Address("127.0.0.1"), "localhost") is not None
    assert allowed_addresses(DEFAULT).refusal(IPv6Address("::1"), "localhost") is not None


@given(st.ip_addresses())
def test_an_address_that_is_written_plainly_is_that_address(address: IPv4Address | IPv6Address) -> None:
    """No form of an address is taken for a name, or for another address."""
    plain = address.ipv4_mapped if isinstance(address, IPv6Address) and address.ipv4_mapped else address
    assert literal(str(address)) == plain
    if isinstance(plain, IPv4Address):
        assert (
            literal(str(int(plain))) == literal(hex(int(plain))) == literal(oct(int(plain)).replace("0o", "0")) == plain
        )


@given(st.text(max_size=40))
def test_any_host_is_judged_without_an_error(host: str) -> None:
    """A text is an address, or it is a name."""
    allowed_addresses(DEFAULT).refusal_of_host(host)
