"""The inbox of a node: read in portions, and only what is ours."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from gateway.agents import pilotctl
from gateway.agents.inbox import AT_ONCE, LISTED, Inbox, InboxMessage, address_of
from gateway.agents.pilotctl import Pilotctl, PilotctlError
from tests.agents.fake_network import FakeNetwork


def _put(folder: Path, number: int, data: str, sender: object = "0:0000.0001.0002") -> None:
    """A message, as the daemon keeps it."""
    name = f"JSON-{number:06}"
    (folder / f"{name}.json").write_text(json.dumps({"id": name, "from": sender, "data": data, "type": "JSON"}))


def _number(folder: Path) -> int:
    return len(list(folder.iterdir()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "1.inbox"
    made.mkdir()
    return made


@pytest.fixture
def inbox(tmp_path: Path, folder: Path) -> Inbox:
    command = Pilotctl(str(FakeNetwork(tmp_path).pilotctl), str(tmp_path / "1.sock"))
    return Inbox(command, lambda topic: topic == "access-log")


async def test_a_full_inbox_is_read_in_portions_oldest_first(inbox: Inbox, folder: Path) -> None:
    """What was acknowledged is not refused because it comes faster than a node may send."""
    wanted = 2 * AT_ONCE + 5
    for number in range(wanted):
        _put(folder, number, json.dumps({"topic": "access-log", "payload": {"n": number}}))
    found: list[bytes] = []
    while messages := await inbox.unread():
        assert len(messages) <= AT_ONCE
        for message in messages:
            found.append(message.payload)
            inbox.delete(message)
    assert found == [b'{"n":%d}' % number for number in range(wanted)]
    assert _number(folder) == 0


async def test_messages_of_others_cannot_fill_it(inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay, and are more than is read at once: that is said, and what is ours is found nevertheless."""
    monkeypatch.setattr(pilotctl, "OUTPUT_MOST", 100_000)
    for number in range(LISTED):
        _put(folder, number, "x" * 1000)
    _put(folder, LISTED, '{"topic": "access-log", "payload": {"n": 1}}')
    with pytest.raises(PilotctlError, match="more than 100000 bytes"):
        await inbox.unread()
    assert "the inbox cannot be read" in inbox.problem
    found: list[InboxMessage] = []
    while not found:
        with contextlib.suppress(PilotctlError):
            found = await inbox.unread()
    assert [message.payload for message in found] == [b'{"n":1}']
    assert inbox.problem == ""


@pytest.mark.parametrize(
    ("data", "sender"),
    [
        ("hello", "0:0000.0001.0002"),
        ("[" * 100_000, "0:0000.0001.0002"),
        ('{"topic": "another", "payload": {}}', "0:0000.0001.0002"),
        ('{"topic": "access-log"}', "0:0000.0001.0002"),
        ('{"topic": 7, "payload": {}}', "0:0000.0001.0002"),
        ('{"topic": "access-log", "payload": {}}', "somebody"),
        ('{"topic": "access-log", "payload": {}}', None),
    ],
)
async def test_what_is_not_ours_stays(inbox: Inbox, folder: Path, data: str, sender: object) -> None:
    """A message of somebody else, another topic, or no sender that can be read."""
    _put(folder, 1, data, sender)
    assert await inbox.unread() == []
    assert _number(folder) == 1


async def test_a_message_that_cannot_be_deleted_is_read_once(inbox: Inbox, folder: Path) -> None:
    """It is known by its id."""
    _put(folder, 1, '{"topic": "access-log", "payload": {"n": 1}}')
    (message,) = await inbox.unread()
    assert (message.node, message.topic, message.payload) == (0x10002, "access-log", b'{"n":1}')
    file = folder / "JSON-000001.json"
    text = file.read_text()
    file.unlink()
    file.mkdir()  # which cannot be unlinked
    inbox.delete(message)
    file.rmdir()
    file.write_text(text)
    assert await inbox.unread() == []


def test_an_address_is_a_node_in_hexadecimal() -> None:
    """As `pilotctl` takes it."""
    assert address_of(0x10002) == "0:0000.0001.0002"
