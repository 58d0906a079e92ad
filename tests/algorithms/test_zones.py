from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.zones import shares


def test_a_zone_with_room_keeps_its_traffic() -> None:
    """Where a zone has at least its share of the endpoints, all stays local."""
    assert shares("a", {"a": 1, "b": 1}, {"a": 3, "b": 3}) == {"a": 1}
    assert shares("a", {"a": 1, "b": 1}, {"a": 4, "b": 2}) == {"a": 1}


def test_a_small_zone_is_not_overloaded() -> None:
    """Half of the traffic and a sixth of the endpoints: a third stays, the rest goes where there is room."""
    result = shares("a", {"a": 1, "b": 1}, {"a": 1, "b": 5})
    assert result == {"a": pytest.approx(1 / 3), "b": pytest.approx(2 / 3)}


def test_the_rest_goes_by_what_is_left_of_the_others() -> None:
    """Zones get what they have beyond their own traffic: b has none left, c all of it."""
    result = shares("a", {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 3})
    assert result == {"a": pytest.approx(1 / 2), "b": 0, "c": pytest.approx(1 / 2)}


def test_a_zone_without_endpoints_sends_all_away() -> None:
    """It goes to the others, by what is left of them."""
    assert shares("a", {"a": 1}, {"b": 1, "c": 3}) == {"b": pytest.approx(0.25), "c": pytest.approx(0.75)}
    assert shares("a", {"b": 1, "c": 1}, {"b": 1, "c": 1}) == {"b": 0.5, "c": 0.5}


zones = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 50), min_size=1)


@given(zones, zones)
def test_every_zone_gets_its_share_of_all_traffic(gateways: dict[str, int], endpoints: dict[str, int]) -> None:
    """With all gateways together, each zone gets traffic in proportion to its endpoints, and nothing is lost."""
    arriving, serving = sum(gateways.values()), sum(endpoints.values())
    received = dict.fromkeys(endpoints, 0.0)
    for zone, number in gateways.items():
        result = shares(zone, gateways, endpoints)
        assert sum(result.values()) == pytest.approx(1)
        for to, share in result.items():
            received[to] += share * number / arriving
    for zone, amount in received.items():
        assert amount == pytest.approx(endpoints[zone] / serving)
