from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.networks import REMEMBERED, Network, NetworkMap

networks = st.one_of(
    st.builds(lambda a, p: ip_network((a, p), strict=False), st.ip_addresses(v=4).map(int), st.integers(0, 32)),
    st.builds(lambda a, p: ip_network((str(a), p), strict=False), st.ip_addresses(v=6), st.integers(0, 128)),
)


@given(st.lists(networks, max_size=8), st.ip_addresses())
def test_an_address_is_in_the_networks_that_the_standard_library_finds(listed: list[Network], address: object) -> None:
    """Whatever the networks, the look-up agrees with asking each of them, the smallest first."""
    known = NetworkMap((network, network) for network in listed)
    parsed = ip_address(str(address))
    expected = {network for network in listed if parsed.version == network.version and parsed in network}
    found = known.covering(str(address))
    if getattr(parsed, "ipv4_mapped", None) is None:
        assert set(found) == expected
    assert [network.prefixlen for network in found] == sorted((n.prefixlen for n in found), reverse=True)


@pytest.mark.parametrize(
    ("network", "address", "inside"),
    [
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "11.1.2.3", False),
        ("::/0", "10.1.2.3", False),
        ("0.0.0.0/0", "::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("10.0.0.0/8", "unknown", False),
        ("10.0.0.0/8", "", False),
        ("10.0.0.0/8", "010.0.0.1", False),
    ],
)
def test_addresses_of_ipv4_within_ipv6_are_ipv4_addresses(network: str, address: str, inside: bool) -> None:
    """A client cannot get past a list by the spelling of its address; what is no address is in no network."""
    assert bool(NetworkMap([(ip_network(network), None)]).covering(address)) is inside


def test_a_network_can_be_taken_out_again() -> None:
    """What was remembered of an address is forgotten with it."""
    known = NetworkMap([(ip_network("10.0.0.0/8"), "wide"), (ip_network("10.1.0.0/16"), "narrow")])
    assert known.covering("10.1.2.3") == ("narrow", "wide")
    known.remove(ip_network("10.1.0.0/16"))
    known.remove(ip_network("10.9.0.0/16"))
    assert known.covering("10.1.2.3") == ("wide",)
    known.add(ip_network("10.0.0.0/8"), "other")
    assert known.covering("10.1.2.3") == ("other",)
    assert len(known) == 1


def test_strangers_cannot_fill_the_memory() -> None:
    """As many addresses as one likes may ask; only so many are remembered."""
    known = NetworkMap([(ip_network("10.0.0.0/8"), None)])
    for number in range(2 * REMEMBERED):
        known.covering(str(ip_address(number)))
    assert len(known._remembered) <= REMEMBERED


def test_ten_thousand_networks_are_one_look_up() -> None:
    """The work does not grow with the number of networks of one size."""
    known = NetworkMap((ip_network((number << 8, 24)), number) for number in range(10_000))
    assert len(known._by_prefix) == 1
    assert known.covering("0.0.7.9") == (7,)
