"""`pilotctl` for tests without daemons: signs, verifies, sends and lists as the real one prints it (version 1.18.0).

Its node is the number in the name of the socket, and an inbox a folder beside the sockets. A signature is a digest of
its envelope, which is no signature at all: the real ones are in the tests with real daemons.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

SOCKET = Path(os.environ["PILOT_SOCKET"])


def option(name: str) -> str:
    """The value of an option."""
    return sys.argv[sys.argv.index(name) + 1]


def signature(envelope: str) -> str:
    return hashlib.sha256(envelope.encode()).hexdigest()


def sign() -> dict[str, Any]:
    nonce = uuid.uuid4().hex[:16]
    said = ("pilot-req-v1", f"{int(SOCKET.stem):012x}", str(int(time.time())), nonce, option("--body-hash"))
    envelope = "|".join((*said, option("--audience")))
    return {"envelope": envelope, "signature": signature(envelope)}


def verify() -> dict[str, Any]:
    envelope = option("--envelope")
    if option("--signature") != signature(envelope):
        return {"valid": False, "reason": "reqsig: signature verification failed"}
    return {"valid": True, "node_id": int(envelope.split("|")[1], 16)}


def send() -> dict[str, Any]:
    receiver = int(sys.argv[3].rpartition(".")[2], 16)
    inbox = SOCKET.parent / f"{receiver}.inbox"
    inbox.mkdir(exist_ok=True)
    name = f"JSON-{time.time_ns()}"
    message = {"id": name, "from": f"0:0000.0000.{int(SOCKET.stem):04X}", "data": sys.stdin.read(), "type": "JSON"}
    (inbox / f"{name}.json").write_text(json.dumps(message))
    return {"ack": "ACK JSON"}


def inbox() -> dict[str, Any]:
    found = SOCKET.with_suffix(".inbox")
    files = sorted(found.glob("*.json"), reverse=True)[: int(option("--limit"))]
    return {"messages": [json.loads(file.read_text()) for file in files], **({"dir": str(found)} if files else {})}


def context() -> dict[str, Any]:
    """All that the bridge asks for."""
    plain = (
        "info",
        "find",
        "lookup",
        "handshake",
        "pending",
        "approve",
        "trust",
        "publish",
        "subscribe",
        "set-hostname",
    )
    return {"commands": {name: {} for name in (*plain, "send-message", "inbox", "sign-request", "verify-request")}}


COMMANDS = {"context": context, "sign-request": sign, "verify-request": verify, "send-message": send, "inbox": inbox}


def main() -> None:
    """Run one command."""
    command = COMMANDS.get(sys.argv[2])
    if command is None:
        print(json.dumps({"status": "error", "code": "not_found", "message": "no such command", "hint": "none"}))
        sys.exit(1)
    print(json.dumps({"status": "ok", "data": command()}))


if __name__ == "__main__":
    main()
