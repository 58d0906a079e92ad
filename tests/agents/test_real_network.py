"""The bridge's links on real daemons: who is believed, and what a real `pilotctl` sees."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.agents.link import LinkSettings, Received, Refused
from gateway.agents.pilot_link import PilotLink
from gateway.agents.signing import signed_bytes
from tests.agents.world import Node, PilotctlFailed, World, children_of
from tests.support import eventually

pytestmark = pytest.mark.agents

SEED = '{"service":"user-api","instances":[{"host":"10.0.1.5","port":8080,"health":"passing"}]}'
SENDERS = {
    "discovery": {"health-feedback": "acme-monitor"},
    "router": {"service-registry": "acme-discovery"},
    "auth": {"auth-request": "acme-router"},
    "monitor": {"access-log": "acme-auth"},
}
PEERS = {"discovery": "router", "router": "auth", "auth": "monitor", "monitor": "discovery"}


def link_of(node: Node, role: str, **more: Any) -> PilotLink:
    """A role of `acme` on a node."""
    return PilotLink(
        LinkSettings(
            role=role,
            hostname=f"acme-{role}",
            socket=str(node.socket),
            peers={PEERS[role]: f"acme-{PEERS[role]}"},
            senders=SENDERS[role],
            pins_file=str(node.home / "pins.json"),
            pilotctl=str(node.pilotctl),
            **more,
        )
    )


@contextlib.asynccontextmanager
async def running(link: PilotLink) -> AsyncIterator[PilotLink]:
    async with link:
        await link.ready(10)
        yield link


async def received(link: PilotLink, within: float = 5) -> Received:
    async with asyncio.timeout(within):
        return await anext(link.messages())


async def test_a_message_of_pilotctl_counts_once_both_sides_shook_hands(world: World) -> None:
    """Before, the sender is told `trust_required` and nothing comes; after `untrust` neither."""
    discovery, router = await world.join("acme-discovery"), await world.join("acme-router", "-no-eventstream")
    async with running(link_of(router, "router")) as link:
        with pytest.raises(PilotctlFailed) as failed:
            await discovery.publish("acme-router", "service-registry", SEED)
        assert failed.value.code == "trust_required"
        await discovery.handshake(router)
        await discovery.publish("acme-router", "service-registry", SEED)
        number, key = await discovery.number(), await key_of_node(discovery)
        assert await received(link) == Received("service-registry", SEED.encode(), number, "acme-discovery", key)
        await router.ctl("untrust", str(number))
        await eventually(lambda: not link.standing.peers[0].trusted, 6)
        await asyncio.sleep(1)
        with pytest.raises(PilotctlFailed):
            await discovery.publish("acme-router", "service-registry", SEED)
        assert link.standing.received == {"service-registry": 1}


async def key_of_node(node: Node) -> bytes:
    return base64.b64decode((await node.ctl("info"))["public_key"])


async def test_a_trusted_node_of_another_name_or_another_key_is_not_believed(world: World) -> None:
    """`acme-evil` is refused for its role, who takes the name of discovery for its key, also where all are approved."""
    refused: list[Refused] = []
    discovery = await world.join("acme-discovery")
    router = await world.join("acme-router", "-no-eventstream", "-trust-auto-approve")
    evil = await world.join("acme-evil")
    async with running(link_of(router, "router", refused=refused.append)) as link:
        await discovery.handshake(router)
        await discovery.publish("acme-router", "service-registry", SEED)
        await received(link)
        await evil.handshake(router)
        await evil.publish("acme-router", "service-registry", SEED)
        await eventually(lambda: len(refused) == 1)
        assert (refused[0].reason, refused[0].node, refused[0].hostname) == ("role", await evil.number(), "acme-evil")
        discovery.kill()
        await world.control({"forget": "acme-discovery"})
        impostor = await world.join("acme-discovery", name="impostor")
        await impostor.handshake(router)
        await impostor.publish("acme-router", "service-registry", SEED)
        await eventually(lambda: len(refused) == 2)
        assert (refused[1].reason, refused[1].node) == ("key", await impostor.number())
        assert link.standing.received == {"service-registry": 1}


async def test_a_real_pilotctl_subscribes_to_what_a_role_publishes(world: World) -> None:
    """`pilotctl subscribe acme-auth access-log` gets each event of that topic, and no other."""
    auth, other = await world.join("acme-auth", "-no-eventstream"), await world.join("acme-other")
    await auth.handshake(other)
    async with running(link_of(auth, "auth")) as link:
        subscriber = await other.open("subscribe", "acme-auth", "access-log", "--count", "2", "--timeout", "10s")
        await eventually(lambda: link.standing.subscribers == 1)
        await link.publish("external", "another", b"{}")
        await link.publish("monitor", "access-log", b'{"decision":"allow"}')
        await link.publish("monitor", "access-log", b'{"decision":"deny"}')
        output, _ = await subscriber.communicate()
        events = json.loads(output)["data"]["events"]
        assert [event["data"] for event in events] == ['{"decision":"allow"}', '{"decision":"deny"}']


async def test_links_heal_after_every_restart(world: World) -> None:
    """Daemons that are killed and the rendezvous that is restarted: messages flow again without any help."""
    discovery = await world.join("acme-discovery", "-no-eventstream")
    router = await world.join("acme-router", "-no-eventstream")
    async with running(link_of(discovery, "discovery")) as sends, running(link_of(router, "router")) as link:
        await discovery.handshake(router)
        await sends.publish("router", "service-registry", b'{"n":0}')
        assert (await received(link)).payload == b'{"n":0}'
        for number, broken in enumerate((router, discovery), 1):
            broken.kill()
            await broken.start()
            await flows_again(sends, link, number)
        world.kill_rendezvous()
        await world.start_rendezvous()
        await flows_again(sends, link, 3)


async def flows_again(sends: PilotLink, link: PilotLink, number: int) -> None:
    """What is said again and again arrives at last."""
    wanted = b'{"n":%d}' % number
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:

        async def repeat() -> None:
            while True:
                await sends.publish("router", "service-registry", wanted)
                await asyncio.sleep(1)

        repeating = group.create_task(repeat())
        async for message in link.messages():
            if message.payload == wanted:
                break
        repeating.cancel()


async def test_a_port_that_the_daemon_has_is_said_with_the_flag_to_set(world: World) -> None:
    """A daemon with its own event stream: the bridge says what to do instead of waiting silently."""
    router = await world.join("acme-router")
    async with link_of(router, "router") as link:
        with pytest.raises(TimeoutError, match="-no-eventstream"):
            await link.ready(2)


async def test_signed_messages_by_inbox_count_once(world: World) -> None:
    """By port 1001 a message has a signature for who receives it; what has none, or comes again, is refused."""
    refused: list[Refused] = []
    discovery = await world.join("acme-discovery", "-no-eventstream")
    router = await world.join("acme-router", "-no-eventstream")
    inbox = frozenset({"service-registry"})
    async with (
        running(link_of(discovery, "discovery", inbox=inbox)) as sends,
        running(link_of(router, "router", inbox=inbox, refused=refused.append)) as link,
    ):
        await discovery.handshake(router)
        await sends.publish("router", "service-registry", SEED.encode())
        assert (await received(link, 8)).payload == SEED.encode()
        wrapped = json.dumps({"topic": "service-registry", "payload": json.loads(SEED)})
        await discovery.ctl("send-message", "acme-router", "--data", wrapped, "--type", "json")
        await eventually(lambda: bool(refused))
        assert refused[0].reason == "signature"
        await eventually(lambda: not list((router.home / ".pilot" / "inbox").iterdir()))


async def test_a_signature_counts_once_and_for_one_audience(world: World) -> None:
    """With `pilotctl sign-request`: what is sent again is a replay, what was signed for another is refused."""
    refused: list[Refused] = []
    discovery, router = await world.join("acme-discovery"), await world.join("acme-router", "-no-eventstream")
    async with running(link_of(router, "router", refused=refused.append, require_signature=True)) as link:
        await discovery.handshake(router)
        for audience in ("acme-router", "acme-auth"):
            text = signed_bytes("service-registry", json.loads(SEED)).decode()
            made = await discovery.ctl("sign-request", "--audience", audience, "--body", text)
            members = {"envelope": made["envelope"], "signature": made["signature"]}
            for _ in range(2):
                whole = json.dumps({**json.loads(SEED), **members})
                await discovery.publish("acme-router", "service-registry", whole)
        assert json.loads((await received(link)).payload) == json.loads(SEED)
        await eventually(lambda: len(refused) == 3)
        assert [item.reason for item in refused] == ["replay", "signature", "signature"]


@pytest.mark.parametrize("hangs", ["pilotctl", "daemon"])
async def test_a_subscriber_who_does_not_read_holds_nobody_up(world: World, hangs: str) -> None:
    """It is cut off; another one gets every event, and the role goes on receiving."""
    auth, slow = await world.join("acme-auth", "-no-eventstream"), await world.join("acme-slow")
    other = await world.join("acme-router")
    for node in (slow, other):
        await auth.handshake(node)
    async with running(link_of(auth, "auth")) as link:
        stuck = await slow.open("subscribe", "acme-auth", "access-log")
        await eventually(lambda: link.standing.subscribers == 1)
        if hangs == "daemon":
            slow.kill(signal.SIGSTOP)
        else:
            for pid in (stuck.pid, *children_of(stuck.pid)):
                os.kill(pid, signal.SIGSTOP)
        reads = await other.open("subscribe", "acme-auth", "access-log", "--count", "300", "--timeout", "30s")
        await eventually(lambda: link.standing.subscribers == 2)
        output = asyncio.create_task(reads.communicate())
        for _ in range(300):
            await link.publish("monitor", "access-log", json.dumps({"filler": "x" * 5_000}).encode())
            await asyncio.sleep(0.02)
        assert len(json.loads((await output)[0])["data"]["events"]) == 300
        await eventually(lambda: link.standing.subscribers == 0)
        await other.publish("acme-auth", "auth-request", '{"request_id":"1"}')
        assert (await received(link)).topic == "auth-request"
        assert link.state == "connected"
        stuck.kill()
        await stuck.wait()


async def test_nodes_that_cannot_reach_each_other_are_relayed(world: World) -> None:
    """Where both hide their address, all goes by the beacon."""
    discovery = await world.join("acme-discovery", "-relay-only")
    router = await world.join("acme-router", "-no-eventstream", "-relay-only")
    async with running(link_of(router, "router")) as link:
        await discovery.handshake(router)
        await discovery.publish("acme-router", "service-registry", SEED)
        assert (await received(link)).payload == SEED.encode()
    assert (await world.control({}))["relayed"] > 0


async def test_a_forged_signature_is_refused_by_the_rendezvous_of_these_tests(world: World) -> None:
    """Its own check: nobody asks for trust, or takes a list of requests, in the name of another node."""
    router = await world.join("acme-router", "-no-eventstream")
    number = await router.number()
    for asked in (
        {"type": "request_handshake", "from_node_id": number, "to_node_id": number, "justification": "x"},
        {"type": "poll_handshakes", "node_id": number},
        {"type": "report_trust", "node_id": number, "peer_id": number},
    ):
        answer = await world.ask({**asked, "signature": base64.b64encode(bytes(64)).decode()})
        assert (answer["type"], "bad signature" in answer["error"]) == ("error", True)


async def test_a_daemon_that_hangs_does_not_stop_the_link(world: World) -> None:
    """SIGSTOP of the daemon: publishing never blocks, the state says so, and all is well when it goes on."""
    discovery = await world.join("acme-discovery", "-no-eventstream")
    async with running(link_of(discovery, "discovery")) as link:
        discovery.kill(signal.SIGSTOP)
        began = asyncio.get_running_loop().time()
        for _ in range(2000):
            await link.publish("router", "service-registry", b"{}")
        assert asyncio.get_running_loop().time() - began < 2
        assert link.standing.peers[0].waiting == 1000
        await eventually(lambda: link.state == "waiting", 15)
        discovery.kill(signal.SIGCONT)
        await eventually(lambda: link.state == "connected", 15)
