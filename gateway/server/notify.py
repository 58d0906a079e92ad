"""What systemd is told, where it wants to know (sd_notify(3)): that the gateway is ready, reloads, or ends."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

READY = "READY=1"
STOPPING = "STOPPING=1"


def reloading() -> str:
    """A reload begins now; READY follows at its end."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def status(text: str) -> str:
    """What `systemctl status` shows, on one line."""
    return "STATUS=" + " ".join(text.split())


def notify(*said: str) -> None:
    """Say it, where `NOTIFY_SOCKET` says that somebody listens. Never raises: nothing depends on it here."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\0" + address[1:] if address[0] == "@" else address)
        sender.sendall("\n".join(said).encode())
