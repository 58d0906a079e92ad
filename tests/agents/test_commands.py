"""The commands of `gateway agents` that ask a daemon: each failure is a sentence and an exit code."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.agents.trust import key_text
from gateway.cli import main
from tests.agents.fake_network import FakeNetwork, FakeNode


async def _run(tmp_path: Path, node: FakeNode, *arguments: str) -> tuple[int, str]:
    """Exit code, and what was printed."""
    (tmp_path / "middleware.yaml").write_text("agents: {prefix: acme}\n")
    where = ("--role", "router", "--config", str(tmp_path), "--socket", str(node.socket))
    done = await asyncio.to_thread(CliRunner().invoke, main, ["agents", *arguments, *where])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done.exit_code, done.output


async def test_repin_is_for_peers_of_the_role(network: FakeNetwork, tmp_path: Path) -> None:
    """Another name is none, whatever it is made of; a peer is pinned with the key that it has."""
    node, peer = await network.join("acme-router"), await network.join("acme-auth")
    for name in ("acme-evil", "acme-auth\x00", "\udcff"):
        code, printed = await _run(tmp_path, node, "repin", name)
        assert (code, "acme-router has the peers" in printed) == (1, True)
    code, printed = await _run(tmp_path, node, "repin", "acme-auth", "--key", key_text(peer.key))
    assert (code, "is believed with the key" in printed) == (0, True)
    for wrong in (key_text(bytes(32)), "AAAA"):
        code, printed = await _run(tmp_path, node, "repin", "acme-auth", "--key", wrong)
        assert (code, "and not that one" in printed) == (1, True)


async def test_verify_names_the_command_that_makes_trust(network: FakeNetwork, tmp_path: Path) -> None:
    """A handshake is missing: that is an error, with what to do."""
    node, _ = await network.join("acme-router"), await network.join("acme-auth")
    code, printed = await _run(tmp_path, node, "verify")
    assert (code, "acme-auth: there is no trust; run gateway agents handshake on both sides" in printed) == (1, True)


@pytest.mark.parametrize("command", [("verify",), ("verify", "--json"), ("handshake", "--wait", "0")])
@pytest.mark.parametrize(
    ("hostname", "setting"), [("acme-auth", "is agents.socket"), ("other-router", "agents.prefix")]
)
async def test_the_daemon_of_another_agent_is_no_case_for_handshakes(
    network: FakeNetwork, tmp_path: Path, hostname: str, setting: str, command: tuple[str, ...]
) -> None:
    """The socket or the prefix is wrong, and that is said in place of what peers lack."""
    node, _ = await network.join(hostname), await network.join("acme-discovery")
    code, printed = await _run(tmp_path, node, *command)
    assert (code, "there is no trust" in printed) == (1, False)
    assert f"the daemon is that of {hostname}, and not of acme-router: is " in printed
    assert setting in printed


async def test_a_stranger_that_asks_may_be_a_peer_that_was_set_up_anew(network: FakeNetwork, tmp_path: Path) -> None:
    """The daemon keeps the former node of a name that it trusts: what to do for both cases is said."""
    node = await network.join("acme-router")
    for hostname in ("acme-discovery", "acme-auth"):
        network.trust(node, await network.join(hostname))
    node.asking.append(77)
    code, printed = await _run(tmp_path, node, "handshake", "--wait", "0")
    assert (code, "pilotctl reject 77" in printed, "untrust its former node" in printed) == (0, True, True)


@pytest.mark.parametrize("broken", ["file", "directory"])
async def test_pins_that_cannot_be_used_are_said(network: FakeNetwork, tmp_path: Path, broken: str) -> None:
    """Where the file is none, and where it cannot be written."""
    node, peer = await network.join("acme-router"), await network.join("acme-auth")
    if broken == "file":
        (tmp_path / "state" / "agents").mkdir(parents=True)
        (tmp_path / "state" / "agents" / "pins.json").write_text("[1]")
    else:
        (tmp_path / "state").write_text("")
    for command in (("repin", "acme-auth", "--key", key_text(peer.key)), ("handshake", "--wait", "0"), ("verify",)):
        code, printed = await _run(tmp_path, node, *command)
        assert code == 1
        assert "Traceback" not in printed
        assert printed.strip()
