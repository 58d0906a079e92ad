"""Instances in a file, which is watched."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.registry.file import FileSource
from gateway.registry.instances import parse_instance
from gateway.upstream.member import Address, Member
from tests.lifecycle.support import admin_url
from tests.registry.support import Heard, shows
from tests.support import eventually, running_gateway
from tests.upstream.test_service import named_backends

ROUTES = """
services: {legacy: {discovery: {file: registry/legacy.yaml, first_answer: 0s}}}
routes: [{path: /x, target: legacy}]
"""


async def test_a_file_of_instances_is_used_when_it_changes(tmp_path: Path) -> None:
    """Without a reload; a file that cannot be read keeps the last instances, and says so in /health."""
    listed = tmp_path / "config/registry/legacy.yaml"
    async with named_backends("one", "two") as (one, two):
        with running_gateway(tmp_path, ROUTES) as gateway:
            await shows(admin_url(gateway, "/health"), "legacy.yaml cannot be read: No such file", gateway.admin_token)
            listed.parent.mkdir()
            listed.write_text(f"['127.0.0.1:{one}']")
            await shows(f"{gateway.url}/x", "one")
            listed.write_text(f"instances: [{{host: 127.0.0.1, port: {two}, weight: 2, health: passing}}]")
            await shows(f"{gateway.url}/x", "two")
            listed.write_text("instances: [{host: 127.0.0.1}]")
            complaint = "legacy.yaml cannot be used: instance 1: port is missing"
            await shows(admin_url(gateway, "/health"), complaint, gateway.admin_token)
            await shows(f"{gateway.url}/x", "two")


@pytest.mark.parametrize(
    "contents",
    [
        b"- " * 20_000,
        b"[" * 20_000 + b"]" * 20_000,
        b"a: &a {b: 1}\n"
        + b"".join(b"%c: &%c {<<: [%b]}\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 114)),
    ],
)
async def test_what_would_exhaust_the_stack_or_the_memory_is_no_list_of_instances(
    tmp_path: Path, contents: bytes
) -> None:
    """A file that is nested without end, or made of aliases of aliases, is refused like any that cannot be used."""
    path = tmp_path / "legacy.yaml"
    path.write_bytes(contents)
    source = FileSource(path)
    heard = Heard(source)
    watching = asyncio.create_task(heard.run())
    await eventually(lambda: "legacy.yaml cannot be used" in "".join(heard.lost))
    watching.cancel()


async def test_a_corrected_file_is_used_at_once(tmp_path: Path) -> None:
    """However often it was found not to be usable: a mended file waits for no end of a pause."""
    path = tmp_path / "legacy.yaml"
    path.write_text("[127.0.0.1:0]")
    source = FileSource(path)
    heard = Heard(source)
    watching = asyncio.create_task(source.watch(heard))
    await eventually(lambda: len(heard.lost) > 0)
    path.write_text("[127.0.0.1:80]")
    await eventually(lambda: heard.addresses == ["127.0.0.1:80"])
    path.unlink()
    await eventually(lambda: len(heard.lost) > 1)
    path.write_text("[127.0.0.1:80]")
    signs = heard.signs
    await eventually(lambda: heard.signs > signs)
    watching.cancel()


@pytest.mark.parametrize(
    ("written", "member"),
    [
        ("10.0.0.1:80", Member(Address("10.0.0.1", 80))),
        ({"host": "10.0.1.5", "port": 8080, "health": "passing"}, Member(Address("10.0.1.5", 8080))),
        (
            {"address": "[::1]:80", "weight": 0, "zone": "a", "priority": 1, "health": "failing"},
            Member(Address("::1", 80), 0, "a", 1, up=False, reason="its source says failing"),
        ),
        ({"host": "::1", "port": 80}, Member(Address("::1", 80))),
    ],
)
def test_instances(written: object, member: Member) -> None:
    """The forms in which an instance may be written."""
    assert parse_instance(written) == member


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (1, "an instance is"),
        ({}, "host is missing"),
        ({"host": "a"}, "port is missing"),
        ({"host": "a", "port": True}, "port is missing"),
        ({"host": "a", "port": 70000}, "port is missing"),
        ({"host": "a b", "port": 1}, "a host name is made of"),
        ({"host": "a", "port": 1, "prot": 1}, "unknown key 'prot'"),
        ({"host": "a", "port": 1, "weight": -1}, "weight is a whole number"),
        ({"host": "a", "port": 1, "health": "so-so"}, "health is passing or failing"),
        ({"host": "a", "port": 1, "zone": "\n"}, "zone is a text"),
        ({"address": "a:1", "port": 1}, "address stands for"),
        ("http://a:1", "an address is host:port"),
    ],
)
def test_wrong_instances(written: object, problem: str) -> None:
    """What is wrong with an instance is named, with the remedy."""
    with pytest.raises(ValueError, match=problem):
        parse_instance(written)
