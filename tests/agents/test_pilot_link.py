"""Two roles on a network, link to link."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.agents import directory
from gateway.agents.broker import PORT
from gateway.agents.daemon import DaemonError, daemon_socket
from gateway.agents.directory import Directory
from gateway.agents.frames import encoded
from gateway.agents.link import LinkSettings, Received, Refused, Unusable
from gateway.agents.pilot_link import PilotLink
from gateway.agents.pins import pin
from tests.agents.fake_network import FakeNetwork, FakeNode
from tests.support import eventually

SEED = b'{"service":"user-api","instances":[{"host":"10.0.1.5","port":8080,"health":"passing"}]}'


def settings_of(node: FakeNode, role: str, **more: Any) -> LinkSettings:
    """A role of `acme`, as far as these tests need it."""
    return LinkSettings(
        role=role,
        hostname=f"acme-{role}",
        socket=str(node.socket),
        peers={"router": "acme-router"} if role == "discovery" else {"auth": "acme-auth"},
        senders={"health-feedback": "acme-monitor"} if role == "discovery" else {"service-registry": "acme-discovery"},
        pins_file=str(node.socket.with_suffix(".pins")),
        pilotctl=str(node.network.pilotctl),
        **more,
    )


async def received(link: PilotLink, within: float = 30) -> Received:
    async with asyncio.timeout(within):
        return await anext(link.messages())


@contextlib.asynccontextmanager
async def pair(
    network: FakeNetwork, discovery: Mapping[str, Any] | None = None, *, trusted: bool = True, **router: Any
) -> AsyncIterator[tuple[PilotLink, PilotLink, FakeNode, FakeNode]]:
    """Discovery and router, with their nodes, after both handshakes; the rest are settings."""
    one, other = await network.join("acme-discovery"), await network.join("acme-router")
    if trusted:
        network.trust(one, other)
    async with (
        PilotLink(settings_of(one, "discovery", **discovery or {})) as sends,
        PilotLink(settings_of(other, "router", **router)) as link,
    ):
        await sends.ready(30)
        await link.ready(30)
        yield sends, link, one, other


async def test_what_discovery_publishes_reaches_the_router(network: FakeNetwork) -> None:
    """After both handshakes a message comes as it was sent, with who sent it."""
    async with pair(network) as (discovery, router, one, _):
        await discovery.publish("router", "service-registry", SEED)
        assert await received(router) == Received("service-registry", SEED, one.number, "acme-discovery", one.key)


async def test_nothing_goes_out_without_a_handshake(network: FakeNetwork) -> None:
    """A message waits until there is trust, and the standing of the peer says what is missing."""
    async with pair(network, trusted=False) as (discovery, router, one, other):
        await discovery.publish("router", "service-registry", SEED)
        await eventually(lambda: "handshake" in discovery.standing.peers[0].problem)
        assert discovery.standing.peers[0].waiting == 1
        network.trust(one, other)
        assert (await received(router)).payload == SEED


async def test_a_trusted_node_with_another_name_is_refused(network: FakeNetwork) -> None:
    """Trust is not enough: the topic is for the role of its name. The refusal is told with its reason."""
    refused: list[Refused] = []
    async with pair(network, refused=refused.append) as (_, router, _, other):
        evil = await network.join("acme-evil")
        network.trust(evil, other)
        settings = LinkSettings(
            "evil", "acme-evil", str(evil.socket), {"router": "acme-router"}, {}, f"{evil.socket}.pins"
        )
        async with PilotLink(settings) as link:
            await link.publish("router", "service-registry", SEED)
            await eventually(lambda: bool(refused))
        assert [(item.reason, item.topic, item.node) for item in refused] == [("role", "service-registry", evil.number)]
        assert router.standing.refused == {"role": 1}


async def test_a_daemon_that_restarts_is_found_again(network: FakeNetwork) -> None:
    """Both ends heal, and what waited is sent. Meanwhile the state says what is missing."""
    async with pair(network) as (discovery, router, one, other):
        await discovery.publish("router", "service-registry", b"0")
        await received(router)
        for node, link in ((other, router), (one, discovery)):
            await node.stop()
            await eventually(lambda link=link: link.state == "waiting")  # type: ignore[misc]
            assert "no daemon answers" in link.standing.problem or "closed its socket" in link.standing.problem
            await discovery.publish("router", "service-registry", b"1")
            await node.start()
            await eventually(lambda link=link: link.state == "connected")  # type: ignore[misc]
            assert (await received(router)).payload == b"1"


async def test_revoked_trust_ends_what_is_open(network: FakeNetwork) -> None:
    """A connection that was made while there was trust is of no use any more."""
    async with pair(network) as (discovery, router, one, other):
        await discovery.publish("router", "service-registry", b"0")
        await received(router)
        assert len(other.legs) == 1
        network.untrust(one, other)
        await eventually(lambda: not other.legs)
        await eventually(lambda: not router.standing.refused)
        await discovery.publish("router", "service-registry", b"1")
        await eventually(lambda: "handshake" in discovery.standing.peers[0].problem)
        assert router.standing.received == {"service-registry": 1}


async def test_another_key_is_believed_only_after_it_is_pinned(network: FakeNetwork) -> None:
    """Who takes the name with a new key is refused by reason `key`, and by no other way than the pin believed."""
    refused: list[Refused] = []
    async with pair(network, refused=refused.append) as (discovery, router, one, other):
        await discovery.publish("router", "service-registry", b"0")
        await received(router)
        one.key = b"n" * 32
        network.trust(one, other)
        await eventually(lambda: "another key" not in discovery.standing.peers[0].problem)

        async def refusal() -> None:
            while not refused:
                await discovery.publish("router", "service-registry", b"1")
                await asyncio.sleep(0.2)

        await asyncio.wait_for(refusal(), 60)
        assert {item.reason for item in refused} == {"key"}
        await asyncio.to_thread(pin, f"{other.socket.with_suffix('.pins')}", "acme-discovery", one.key, replace=True)
        found = None
        while found is None or found.payload != b"2":
            await discovery.publish("router", "service-registry", b"2")
            with contextlib.suppress(TimeoutError):
                found = await received(router, 1)
        assert found.key == one.key


async def test_the_rendezvous_may_be_away(network: FakeNetwork) -> None:
    """Who is known stays known, with its key."""
    async with pair(network) as (discovery, router, _, _):
        await discovery.publish("router", "service-registry", b"0")
        await received(router)
        network.away |= {"acme-discovery", "acme-router"}
        await discovery.publish("router", "service-registry", b"1")
        assert (await received(router)).payload == b"1"


async def test_one_sided_trust_is_not_enough_unless_the_configuration_says_so(network: FakeNetwork) -> None:
    """A record that is not mutual."""
    refused: list[Refused] = []
    async with pair(network, {"mutual": False}, trusted=False, refused=refused.append) as (discovery, _, one, other):
        network.trust(one, other, mutual=False)
        network.trust(other, one, mutual=False)
        await discovery.publish("router", "service-registry", SEED)
        await eventually(lambda: bool(refused))
        assert refused[0].reason == "trust"


@pytest.mark.parametrize("missing", ["no trust", "one-sided"])
async def test_a_subscriber_that_is_not_trusted_is_said_and_counted(network: FakeNetwork, missing: str) -> None:
    """Its own side sees only that the connection ends; ours says whether trust is missing or one-sided."""
    refused: list[Refused] = []
    node, stranger = await network.join("acme-router"), await network.join("acme-auth")
    ended = asyncio.Event()

    class Ears:
        def opened(self, connection: int, node: int, port: int) -> None: ...
        def received(self, connection: int, data: bytes) -> None: ...
        def ended(self, connection: int) -> None:
            ended.set()

    pair_of = (node, stranger) if missing == "one-sided" else (stranger, node)
    network.trust(*pair_of, mutual=False)
    async with (
        PilotLink(settings_of(node, "router", refused=refused.append)) as link,
        daemon_socket(str(stranger.socket), Ears()) as socket,
    ):
        await link.ready(30)
        await eventually(lambda: link.standing.peers[0].node == stranger.number)
        connection = await socket.dial(node.number, PORT)
        socket.send(connection, encoded("*"))
        await asyncio.wait_for(ended.wait(), 30)
        assert link.standing.refused == {"trust": 1}
    found = refused[0]
    assert (len(refused), found.reason, found.node, found.hostname) == (1, "trust", stranger.number, "acme-auth")
    assert missing in found.detail
    assert "pilotctl handshake on both sides" in found.detail


async def test_who_sends_too_fast_is_refused_by_rate(network: FakeNetwork) -> None:
    """More than 50 in a second of one node; they are counted, and told once."""
    refused: list[Refused] = []
    async with pair(network, refused=refused.append) as (_, router, one, other):
        async with daemon_socket(str(one.socket)) as daemon:
            connection = await daemon.dial(other.number, 1002)
            daemon.send(connection, encoded("service-registry") + encoded("service-registry", b"{}") * 200)
            await eventually(lambda: router.standing.refused.get("rate", 0) >= 100)  # of 150, as time goes on
        assert 1 <= len([item for item in refused if item.reason == "rate"]) <= 5  # once a second


async def test_a_payload_that_is_too_long_is_refused_by_size(network: FakeNetwork) -> None:
    """The next message of the connection counts."""
    refused: list[Refused] = []
    async with pair(network, refused=refused.append) as (discovery, router, one, other):
        head = b"\x00\x10service-registry"
        async with daemon_socket(str(one.socket)) as daemon:
            connection = await daemon.dial(other.number, 1002)
            length = 600_000
            daemon.send(connection, encoded("service-registry") + head + length.to_bytes(4) + b"x" * length)
            daemon.send(connection, encoded("service-registry", b"{}"))
            assert (await received(router)).payload == b"{}"
        assert [item.reason for item in refused] == ["size"]
        with pytest.raises(ValueError, match="the most"):
            await discovery.publish("router", "service-registry", b"x" * length)


async def test_messages_by_inbox_are_signed_and_taken_out_of_it(network: FakeNetwork) -> None:
    """The payload comes without the two members of the signature; what is of somebody else stays."""
    inbox = frozenset({"service-registry"})
    async with pair(network, {"inbox": inbox}, inbox=inbox) as (discovery, router, _, other):
        kept = other.socket.with_suffix(".inbox")
        kept.mkdir()
        (kept / "TEXT-1.json").write_text(
            '{"id": "TEXT-1", "from": "0:0000.0000.0009", "data": "hello", "type": "TEXT"}'
        )
        await discovery.publish("router", "service-registry", SEED)
        assert (await received(router)).payload == SEED
        await eventually(lambda: [file.name for file in kept.iterdir()] == ["TEXT-1.json"])


async def test_what_fails_the_form_of_the_topic_is_refused_with_its_reason(network: FakeNetwork) -> None:
    """`contents` decides about it, at the end of all rules."""
    refused: list[Refused] = []

    def contents(topic: str, payload: bytes) -> Sequence[bytes] | Unusable:
        return Unusable("network", "8.8.8.8 is not allowed") if b"8.8.8.8" in payload else [payload]

    async with pair(network, refused=refused.append, contents=contents) as (discovery, router, _, _):
        await discovery.publish("router", "service-registry", b"8.8.8.8")
        await discovery.publish("router", "service-registry", b"10.0.0.1")
        assert (await received(router)).contents == [b"10.0.0.1"]
        assert [(item.reason, item.hostname) for item in refused] == [("network", "acme-discovery")]


async def test_a_pins_file_that_cannot_be_read_has_nobody_believed(network: FakeNetwork) -> None:
    """It is said, and nothing is pinned anew."""
    refused: list[Refused] = []
    async with pair(network, trusted=False, refused=refused.append) as (discovery, router, one, other):
        other.socket.with_suffix(".pins").write_text("{")
        network.trust(one, other)
        await eventually(lambda: "pinned keys" in router.standing.problem)
        await discovery.publish("router", "service-registry", SEED)
        await eventually(lambda: bool(refused))
        assert refused[0].reason == "key"


async def test_a_pilotctl_that_lacks_a_command_is_refused_where_it_is_needed(
    network: FakeNetwork, tmp_path: Path
) -> None:
    """An older version, or none: the link does not begin, and says which command is missing."""
    old = tmp_path / "old"
    old.write_text("""#!/bin/sh\necho '{"status": "ok", "data": {"commands": {"info": {}}}}'\n""")
    old.chmod(0o755)
    node = await network.join("acme-router")
    for command, text in ((old, "has no approve, find"), (tmp_path / "none", "cannot be run")):
        settings = replace(settings_of(node, "router", require_signature=True), pilotctl=str(command))
        async with PilotLink(settings) as link:
            await eventually(lambda link=link, text=text: text in link.standing.problem)  # type: ignore[misc]
            with pytest.raises(TimeoutError, match=text):
                await link.ready(0.1)
    async with PilotLink(replace(settings_of(node, "router"), pilotctl=str(old))) as link:
        await link.ready(30)


async def test_a_daemon_that_hangs_from_the_beginning_is_told_from_none(network: FakeNetwork) -> None:
    """Before its first answer is late, the text already says that somebody listens."""
    node = await network.join("acme-router")
    node.answers.clear()
    async with PilotLink(settings_of(node, "router")) as link:
        await eventually(lambda: "listens at" in link.standing.problem)
        with pytest.raises(TimeoutError, match=r"listens at .* and does not answer"):
            await link.ready(0.1)


async def test_a_rendezvous_that_hangs_is_asked_once_for_many_messages(
    network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's messages do not fit the name, and each of them would hold up all others for as long as it takes."""
    node = await network.join("acme-router")
    now, asked = 100.0, 0

    class Hanging:
        async def resolve(self, hostname: str) -> Mapping[str, Any]:
            nonlocal now, asked
            asked, now = asked + 1, now + 10.0
            raise DaemonError("the daemon has not answered within 10 s")

    monkeypatch.setattr(directory, "time", SimpleNamespace(monotonic=lambda: now))
    known = Directory(settings_of(node, "router"))
    for _ in range(3):
        await known.refresh_name(Hanging(), "acme-discovery", directory.NAME_FRESH)  # type: ignore[arg-type]
    assert asked == 1


async def test_what_a_daemon_says_of_itself_is_shown_without_control_characters(
    network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gateway agents status` prints it."""
    monkeypatch.setattr(FakeNode, "address", "0:\x1b[2J")
    node = await network.join("acme-router")
    async with PilotLink(settings_of(node, "router")) as link:
        await link.ready(30)
        assert (link.standing.node, link.standing.address) == (node.number, "0:\ufffd[2J")


@pytest.mark.parametrize(
    ("hostname", "advice"),
    [
        ("acme-auth", "is agents.socket (or --socket) right?"),
        ("other-router", "is agents.prefix (or --prefix) or agents.socket (or --socket) right?"),
        ("other-auth", "is agents.prefix (or --prefix) or agents.socket (or --socket) right?"),
        ("laptop", "pilotctl set-hostname acme-router"),
    ],
)
async def test_the_daemon_of_another_role_is_not_to_be_renamed(
    network: FakeNetwork, caplog: pytest.LogCaptureFixture, hostname: str, advice: str
) -> None:
    """That would take the other agent off the network. It is logged once, and again when it is over."""
    caplog.set_level(logging.INFO, "gateway.agents")
    node = await network.join(hostname)
    async with PilotLink(settings_of(node, "router")) as link:
        await link.ready(30)
        problem = link.standing.problem
        assert hostname in problem
        assert problem.endswith(advice)
        asked = node.asked
        await eventually(lambda: node.asked > asked + 2)
        assert caplog.messages.count(f"acme-router is not found on the agent network: {problem}") == 1
        assert "acme-router is on the agent network, as node 1" not in caplog.messages
        node.hostname = "acme-router"
        await eventually(lambda: not link.standing.problem)
    assert "acme-router is on the agent network, as node 1" in caplog.messages


async def test_a_daemon_that_lost_its_identity_is_said(network: FakeNetwork, caplog: pytest.LogCaptureFixture) -> None:
    """The rendezvous keeps the former node under the name, so that peers find that one, and handshakes cannot help."""
    former, router = await network.join("acme-discovery"), await network.join("acme-router")
    network.trust(former, router)
    await former.stop()
    node = await network.join("acme-discovery")
    async with PilotLink(settings_of(node, "discovery")) as link:
        await link.ready(30)
        await eventually(lambda: "rendezvous" in link.standing.problem)
        problem = link.standing.problem
        assert "gives the name acme-discovery to node 1, and this is node 3" in problem
        assert "former identity file" in problem
        assert "pilotctl set-hostname acme-discovery" in problem
        former.hostname = ""  # the name is freed at the registry
        await eventually(lambda: not link.standing.problem)
    assert caplog.messages.count(f"acme-discovery is not found on the agent network: {problem}") == 1
