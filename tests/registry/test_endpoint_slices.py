"""What EndpointSlices say."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.registry.endpoint_slices import instances_of, parse_slice
from gateway.upstream.member import Address, Member
from tests.registry.api_server import slice_of


def endpoint(host: str, zone: str = "", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [host], "conditions": conditions} | ({"zone": zone} if zone else {})


def hosts(*slices: dict[str, Any], port: int | str | None = "http") -> list[str]:
    return [str(member.address) for member in instances_of(parse_slice(each, port) for each in slices)]


def test_which_endpoints_are_used() -> None:
    """Those that are ready, which is true where nothing is said; not those that are terminating."""
    endpoints = [
        endpoint("10.0.0.1", ready=True, serving=True, terminating=False),
        endpoint("10.0.0.2", ready=False, serving=True, terminating=True),
        endpoint("10.0.0.3"),
        endpoint("10.0.0.4", ready=False),
        {"addresses": ["10.0.0.5"]},
        endpoint("fd00::1", ready=True),
    ]
    expected = ["10.0.0.1:8080", "10.0.0.3:8080", "10.0.0.5:8080", "[fd00::1]:8080"]
    assert hosts(slice_of("a", 1, endpoints=endpoints)) == expected


def test_those_that_end_serve_where_no_other_does() -> None:
    """In all slices; one that does not serve any more is not asked."""
    ending = slice_of(
        "a",
        1,
        endpoints=[
            endpoint("10.0.0.1", ready=False, serving=True, terminating=True),
            endpoint("10.0.0.2", ready=False, serving=False, terminating=True),
        ],
    )
    assert hosts(ending) == ["10.0.0.1:8080"]
    assert hosts(ending, slice_of("b", 1, "10.0.0.3")) == ["10.0.0.3:8080"]


def test_one_address_in_two_slices_is_one_instance() -> None:
    """As it may be for a moment, while it moves from one to the other; an emptied slice has null in place of a list."""
    assert hosts(slice_of("a", 1, "10.0.0.1"), slice_of("b", 2, "10.0.0.1"), slice_of("c", 3)) == ["10.0.0.1:8080"]


@pytest.mark.parametrize(
    ("port", "expected"), [("http", [8080]), ("admin", [9090]), (9090, [9090]), (80, []), ("dns", []), (None, [])]
)
def test_ports(port: int | str | None, expected: list[int]) -> None:
    """A port is meant by its name or its number; without either there must be only one that is of TCP."""
    ports = [
        {"name": "http", "port": 8080},
        {"name": "admin", "protocol": "TCP", "port": 9090},
        {"name": "dns", "protocol": "UDP", "port": 53},
    ]
    found = parse_slice(slice_of("a", 1, "10.0.0.1", ports=ports), port)
    assert ([number for _, number in found.ready], found.fits) == (expected, bool(expected))
    assert found.ports == ("http (8080)", "admin (9090)")


def test_the_only_port_need_not_be_named() -> None:
    """A service without a choice needs no port."""
    assert hosts(slice_of("a", 1, "10.0.0.1"), port=None) == ["10.0.0.1:8080"]


def test_zones() -> None:
    """The zone is a field in v1, and part of the topology in v1beta1."""
    old = endpoint("10.0.0.2") | {"topology": {"topology.kubernetes.io/zone": "b", "kubernetes.io/hostname": "n"}}
    found = instances_of([parse_slice(slice_of("a", 1, endpoints=[endpoint("10.0.0.1", "a"), old]), "http")])
    assert found == [Member(Address("10.0.0.1", 8080), zone="a"), Member(Address("10.0.0.2", 8080), zone="b")]


def test_hints_count_where_every_endpoint_has_one() -> None:
    """An endpoint is then in the zone that it is meant to serve."""
    hinted = endpoint("10.0.0.1", "a") | {"hints": {"forZones": [{"name": "b"}]}}
    one, other = (parse_slice(slice_of("s", 1, endpoints=[each]), None) for each in (hinted, endpoint("10.0.0.2", "a")))
    assert [member.zone for member in instances_of([one])] == ["b"]
    assert [member.zone for member in instances_of([one, other])] == ["a", "a"]
