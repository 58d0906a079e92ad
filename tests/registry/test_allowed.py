"""Where instances may be: never at the addresses that metadata services have, unless that is said."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from pathlib import Path

import httpx2
import pytest

from gateway.deadlines import Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.registry.allowed import OUTSIDE, RESERVED, AllowedNetworks
from gateway.upstream.member import Address
from gateway.upstream.transport import Connector, Resolver
from tests.lifecycle.support import admin_url, health
from tests.registry.support import shows
from tests.support import running_gateway

METADATA = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
    "0.0.0.0",
    "::",
    "255.255.255.255",
]


@pytest.mark.parametrize("host", METADATA)
def test_reserved_addresses_are_no_instances(host: str) -> None:
    """In whichever form, and not by networks that merely have them among others."""
    address = Address(host, 80)
    assert AllowedNetworks(()).why_not(address) == RESERVED
    everywhere = AllowedNetworks([ip_network("0.0.0.0/0"), ip_network("::/0")])
    assert everywhere.why_not(address) == RESERVED


@pytest.mark.parametrize(
    ("network", "host", "why"),
    [
        ("169.254.0.0/16", "169.254.1.1", None),
        ("169.254.0.0/16", "::ffff:169.254.1.1", None),
        ("169.254.1.1/32", "169.254.1.1", None),
        ("169.254.1.1/32", "169.254.1.2", OUTSIDE),
        ("168.0.0.0/6", "169.254.1.1", RESERVED),
        ("fe80::/10", "fe80::1%eth0", None),
        ("64:ff9b::/96", "64:ff9b::169.254.1.1", RESERVED),
    ],
)
def test_a_network_that_names_them_admits_them(network: str, host: str, why: str | None) -> None:
    """One that has nothing else, or a single address; a larger one does not."""
    assert AllowedNetworks([ip_network(network)]).why_not(Address(host, 80)) == why


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd00::1", "8.8.8.8", "orders.test"])
def test_others_are_instances(host: str) -> None:
    """This machine, private networks and names, as clusters have them."""
    assert AllowedNetworks(()).why_not(Address(host, 80)) is None


async def test_a_name_in_a_registry_leads_to_none_of_them() -> None:
    """It is found out when it is asked for; names that the configuration has itself lead where they do."""
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({"inside.test": "169.254.169.254"}))
    guarded = connector.guarded()
    for name in ("inside.test", "2852039166"):  # which systems read as 169.254.169.254
        with pytest.raises(GatewayError, match=r"leads to 169\.254\.169\.254, which is link-local") as refused:
            await guarded.connect("x", b"x", name, 80, tls=None, server_name="", seconds=5)
        assert refused.value.kind is ErrorKind.UPSTREAM_UNRESOLVED
    assert await connector._addresses("inside.test", 80) == ["169.254.169.254"]


async def test_sources_and_the_admin_api_take_none(tmp_path: Path) -> None:
    """A file of instances, and registration: what is left out is in /health, and refused with what to do."""
    routes = (
        "services:\n  filed: {discovery: {file: filed.yaml}}\n"
        "  reg: {discovery: {registered: true, first_answer: 0s}}\n"
        "routes: [{path: /f, target: filed}, {path: /r, target: reg}]\n"
    )
    (tmp_path / "config").mkdir()
    listed = "".join(f"- {{host: '{host}', port: 80}}\n" for host in ("127.0.0.1", "169.254.169.254", "fd00:ec2::254"))
    (tmp_path / "config" / "filed.yaml").write_text(listed)
    with running_gateway(tmp_path, routes) as gateway:
        await shows(admin_url(gateway, "/health"), "not used: link-local, reserved, or of")
        dropped = "2 instances of filed (169.254.169.254:80, [fd00:ec2::254]:80) not used: link-local, reserved, or of"
        assert dropped in str((await asyncio.to_thread(health, gateway))["failing"])
        url = admin_url(gateway, "/registry/reg/instances/169.254.169.254:80")
        answer = await asyncio.to_thread(httpx2.put, url, headers=gateway.admin_token, timeout=30)
    assert answer.status_code == 422
    assert "169.254.169.254:80 is link-local, reserved, or of a cloud's metadata; where it is meant," in answer.text
