"""The manifests of the four agents, and how one is set up: what an operator, or an agent, is given to read.

Neither the daemon nor `pilotctl` reads a manifest: it is a note for agents. The rights of a role come from `flows.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gateway.agents.flows import FLOWS, hostname_of
from gateway.agents.whole_file import write_whole
from gateway.roles import Role

SETUP: Final = "api-gateway-manager"
JUSTIFICATION: Final = f"setup: {SETUP}"
GONE: Final = frozenset({"pilot-load-balancer", "pilot-task-router"})
"""Skills that are named, and that their authors have removed."""

_TEMPLATES: Final = Path(__file__).parent / "manifest_templates"
_EXAMPLES: Final = {
    "service-registry": '{"service":"user-api","instances":[{"host":"10.0.1.5","port":8080,"health":"passing"}]}',
    "auth-request": '{"request_id":"req-88210","path":"/api/v2/users",'
    '"credential":{"type":"api_key","fingerprint":"sha256:9ff4153050a91d2e"}}',
    "access-log": '{"request_id":"req-88210","client":"acme-corp","decision":"allow","latency_ms":12}',
    "health-feedback": '{"service":"user-api","instance":"10.0.1.6:8080","status":"failing","error_rate":0.42}',
}


class NotWritten(Exception):
    """Why a manifest is not written, and what to do."""


def manifest_text(role: Role, prefix: str) -> str:
    """The manifest of a role, as it is written."""
    return (_TEMPLATES / f"{role}.json").read_text(encoding="utf-8").replace("<prefix>", prefix)


def manifest(role: Role, prefix: str) -> dict[str, Any]:
    """The same, as it is read."""
    read: dict[str, Any] = json.loads(manifest_text(role, prefix))
    return read


def manifest_path(home: Path) -> Path:
    """Where agents look for it."""
    return home / ".pilot" / "setups" / f"{SETUP}.json"


def write_manifest(path: Path, text: str, *, force: bool) -> bool:
    """Whether it had to be written. Raises NotWritten where another one is there, and OSError."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise NotWritten(f"{path} is no regular file; remove it")
    if path.is_file():
        if path.read_bytes() == text.encode():
            path.chmod(0o600)
            return False
        if not force:
            raise NotWritten(
                f"{path} is another manifest, or was edited; --force replaces it. "
                "A home has one manifest: a second role on this machine needs a user or a HOME of its own"
            )
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    write_whole(path, text.encode())
    return True


def setup_lines(role: Role, prefix: str) -> Iterator[str]:
    """The steps of the setup, in order, with the commands as they are today."""
    described = manifest(role, prefix)
    yield f"# The agent {described['hostname']}: {described['description']}"
    yield ""
    yield "# 1. Its skills, one at a time. They are texts for an agent; the bridge needs none of them."
    for skill in described["skills"]:
        note = "   # its authors have removed it: it may not be found" if skill in GONE else ""
        yield f"clawhub install {skill}{note}"
    yield ""
    yield "# 2. Its daemon. Each role has one of its own; the bridge has port 1002, hence -no-eventstream."
    yield f"mkdir -p -m 700 ~/.pilot/{role}"
    yield (
        f"pilot-daemon -socket ~/.pilot/{role}.sock -identity ~/.pilot/{role}/identity.json "
        f"-hostname {described['hostname']} -no-eventstream -strict-dataplane-trust "
        "-no-skillinject -telemetry-url '' -motd-feed-url '' &"
    )
    yield f"export PILOT_SOCKET=~/.pilot/{role}.sock"
    yield f"pilotctl --json set-hostname {described['hostname']}   # once it answers; -hostname keeps it"
    yield ""
    yield "# 3. Its manifest."
    yield f"gateway agents manifest --role {role} --prefix {prefix} --write"
    yield ""
    yield "# 4. The handshakes, on both sides of each; gateway agents handshake sends and approves those of a role."
    for peer in described["handshakes_needed"]:
        yield f'pilotctl --json handshake {peer} "{JUSTIFICATION}"   # and there: handshake {described["hostname"]}'
    yield ""
    yield "# 5. The bridge, in the directory of the gateway's configuration, or with --config."
    for command in ("verify", "serve"):
        yield f"gateway agents {command} --role {role} --prefix {prefix} --socket ~/.pilot/{role}.sock"
    sent = [flow for flow in FLOWS if flow.sender == role]
    if sent:
        yield ""
        yield "# By hand, once both sides trust each other:"
    for flow in sent:
        receiver = hostname_of(prefix, flow.receiver)
        yield f"pilotctl --json publish {receiver} {flow.topic} --data '{_EXAMPLES[flow.topic]}'"
