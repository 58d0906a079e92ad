"""Messages by the inbox of the network (port 1001): acknowledged, and kept on disk by the daemon until they are read.

Each is wrapped, `{"topic": ..., "payload": {...}}`. Messages of another form belong to another program, and stay.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.agents.pilotctl import Pilotctl, PilotctlError

LISTED: Final = 500  # messages of one look, the newest
AT_ONCE: Final = 20  # of these, the oldest: more in a second than a node may send would be refused
KEPT: Final = 10_000  # ids of messages that could not be deleted


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """One message of it."""

    id: str
    node: int
    topic: str
    payload: bytes


async def send(pilotctl: Pilotctl, node: int, topic: str, payload: bytes) -> None:
    """Send one, and wait for its acknowledgement. Raises PilotctlError.

    It goes to a node, not to a name: the daemon could know another one by that name.
    """
    text = json.dumps({"topic": topic, "payload": json.loads(payload)}, separators=(",", ":")).encode()
    await pilotctl.run("send-message", address_of(node), "--data", "-", "--type", "json", text=text)


class Inbox:
    """Reads it, and deletes what was read."""

    def __init__(self, pilotctl: Pilotctl, topics: Callable[[str], bool]) -> None:
        """`topics` says which topics are ours."""
        self._pilotctl = pilotctl
        self.problem = ""
        self._topics = topics
        self._listed = LISTED
        self._directory: Path | None = None
        self._looked: int | None = None
        self._taken: dict[str, None] = {}

    async def unread(self) -> list[InboxMessage]:
        """Those that came since the last look, oldest first. Raises PilotctlError."""
        stamp = self._stamp()
        if stamp is not None and stamp == self._looked:
            return []
        try:
            found = await self._pilotctl.run("inbox", "--full", "--limit", str(self._listed))
        except PilotctlError as error:
            # What is of others stays, and may be too much to be read: anybody who is trusted can send it.
            self._listed = max(AT_ONCE, self._listed // 2)
            self.problem = f"the inbox cannot be read: {error}; look whether others fill it"
            raise
        self.problem = ""
        if isinstance(directory := found.get("dir"), str):  # it is not said of an empty one
            self._directory = Path(directory)
        listed = found.get("messages")
        messages = [
            message
            for entry in (listed if isinstance(listed, list) else ())
            if (message := _message(entry)) is not None
            if message.id not in self._taken and self._topics(message.topic)
        ]
        self._looked = stamp if len(messages) <= AT_ONCE else None
        return messages[-AT_ONCE:][::-1]

    def delete(self, message: InboxMessage) -> None:
        """It was read. Its file goes, and no other: `pilotctl inbox --clear` would take what came meanwhile."""
        self._taken[message.id] = None
        if len(self._taken) > KEPT:
            self._taken.pop(next(iter(self._taken)))
        if self._directory is not None and os.sep not in message.id:
            with contextlib.suppress(OSError):  # it is known by its id, then
                (self._directory / f"{message.id}.json").unlink()

    def _stamp(self) -> int | None:
        try:
            return None if self._directory is None else self._directory.stat().st_mtime_ns
        except OSError:
            return None


def _message(message: Any) -> InboxMessage | None:
    if not isinstance(message, dict) or not all(isinstance(message.get(name), str) for name in ("data", "id")):
        return None
    try:
        wrapped = json.loads(message["data"])
    except (ValueError, RecursionError):
        return None
    if not isinstance(wrapped, dict) or not isinstance(wrapped.get("topic"), str) or "payload" not in wrapped:
        return None
    node = _node(message.get("from"))
    if node is None:
        return None
    payload = json.dumps(wrapped["payload"], separators=(",", ":")).encode()
    return InboxMessage(message["id"], node, wrapped["topic"], payload)


def address_of(node: int) -> str:
    """A node as the network writes it: its network, and 48 bits in hexadecimal."""
    return f"0:0000.{node >> 16:04X}.{node & 0xFFFF:04X}"


def _node(address: object) -> int | None:
    """The node of an address `N:NNNN.HHHH.LLLL`."""
    parts = address.rpartition(":")[2].split(".") if isinstance(address, str) else []
    try:
        return int(parts[1], 16) << 16 | int(parts[2], 16) if len(parts) == 3 else None
    except ValueError:
        return None
