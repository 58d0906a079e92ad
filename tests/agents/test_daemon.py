"""The socket of a daemon: whose it is, and what it may answer."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import stat
import struct
from pathlib import Path

import pytest
import uvloop

from gateway.agents.daemon import DaemonError, DaemonGone, connected, connections_of, daemon_socket
from tests.agents.fake_network import FakeNetwork


async def test_a_daemon_says_who_it_is_and_whom_it_trusts(network: FakeNetwork) -> None:
    """Requests that are made at once are answered each with its own."""
    node, other = await network.join("acme-auth"), await network.join("acme-router")
    network.trust(node, other)
    async with daemon_socket(str(node.socket)) as daemon:
        info, trusted, named = await asyncio.gather(daemon.info(), daemon.trusted(), daemon.resolve("acme-router"))
    assert info["hostname"] == "acme-auth"
    assert [record["node_id"] for record in trusted] == [other.number]
    assert named["node_id"] == other.number


async def test_what_the_daemon_refuses_is_said_with_its_words(network: FakeNetwork) -> None:
    """And the socket is of use afterwards."""
    node = await network.join("acme-auth")
    node.reserved.add(1002)
    async with daemon_socket(str(node.socket)) as daemon:
        with pytest.raises(DaemonError, match="port 1002 already bound"):
            await daemon.bind(1002)
        assert (await daemon.info())["hostname"] == "acme-auth"


async def test_no_socket_says_what_to_do(tmp_path: Path) -> None:
    """There is none, it is a file, or nobody listens."""
    with pytest.raises(DaemonGone, match=r"start it.*agents\.socket"):
        await connected(str(tmp_path / "none.sock"))
    (tmp_path / "file").touch()
    with pytest.raises(DaemonGone, match="no socket"):
        await connected(str(tmp_path / "file"))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))
    with pytest.raises(DaemonGone, match="no daemon answers"):
        await connected(str(tmp_path / "left.sock"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a socket of another user")
async def test_the_socket_of_another_user_is_not_used(network: FakeNetwork) -> None:
    """Somebody else could have made it in a shared directory."""
    node = await network.join("acme-auth")
    os.chown(node.socket, 12345, 12345)
    assert stat.S_ISSOCK(node.socket.stat().st_mode)
    with pytest.raises(DaemonGone, match="belongs to user 12345"):
        await connected(str(node.socket))


async def test_a_daemon_that_does_not_answer_is_given_up(network: FakeNetwork) -> None:
    """Its late answer would be taken for that of the next question."""
    node = await network.join("acme-auth")
    async with daemon_socket(str(node.socket), within=0.1) as daemon:
        node.answers.clear()
        with pytest.raises(DaemonGone, match="not answered within"):
            await daemon.info()
        node.answers.set()
        with pytest.raises(DaemonGone):
            await daemon.trusted()


async def test_ten_thousand_mutated_frames_of_a_daemon_raise_only_its_errors(tmp_path: Path) -> None:
    """Garbage ends the socket or is passed over: there is an answer or one of two errors, and memory stays bounded."""
    chosen = random.Random(14)
    answers = [
        struct.pack("!IB", 24, 0x0E) + b'{"hostname":"acme-auth"}'[:23],
        struct.pack("!IB", 5, 0x09) + bytes(4),
        struct.pack("!IB", 15, 0x05) + bytes(14),
        struct.pack("!IB", 9, 0x07) + bytes(8),
        struct.pack("!IB", 6, 0x0A) + b"\x00\x01no!",
        struct.pack("!IB", 13, 0x10) + b'{"trusted":1',
    ]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = bytearray(b"".join(chosen.choices(answers, k=100)))
        for _ in range(chosen.randrange(1, 30)):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        writer.write(bytes(data))
        await reader.read()
        writer.close()

    path = str(tmp_path / "s")
    async with await asyncio.start_unix_server(serve, path):
        for _ in range(100):  # of 100 frames each
            async with daemon_socket(path) as daemon:
                try:
                    async with asyncio.timeout(0.05):
                        connections_of(await daemon.info())
                        await daemon.trusted()
                except (DaemonError, DaemonGone, TimeoutError):
                    pass


def test_a_list_of_connections_of_any_form_is_read() -> None:
    """Numbers that are none count as 0, what is no list as an empty one."""
    assert connections_of({"conn_list": 7}) == []
    assert connections_of({"conn_list": [1, {"id": "x", "bytes_sent": None, "unacked": "y"}]})[0].arrived == 0


def test_what_is_sent_to_a_daemon_that_is_gone_is_lost_in_silence(tmp_path: Path) -> None:
    """Its end is said once, to who waits for it. On the loop that the bridge runs on."""
    path = str(tmp_path / "pilot.sock")

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def run() -> None:
        async with await asyncio.start_unix_server(close, path), daemon_socket(path) as daemon:
            await daemon.ended()
            for _ in range(3):  # the transport is closed in another turn of the loop
                await asyncio.sleep(0)
                daemon.send(1, b"x")
                daemon.end(1)
            with pytest.raises(DaemonGone):
                await daemon.info()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
