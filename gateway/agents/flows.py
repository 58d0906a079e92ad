"""Which role sends which topic to which: the data flows of the four agents, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.roles import Role

EXTERNAL: Final = "external"
"""The receiver of alerts: no agent, but services outside, by HTTPS."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One topic, from one role to another."""

    topic: str
    sender: Role
    receiver: Role


FLOWS: Final = (
    Flow("service-registry", "discovery", "router"),
    Flow("auth-request", "router", "auth"),
    Flow("access-log", "auth", "monitor"),
    Flow("health-feedback", "monitor", "discovery"),
)
ALERTS: Final = "api-alert"


def hostname_of(prefix: str, role: str) -> str:
    """The name of an agent."""
    return f"{prefix}-{role}"


def peers_of(role: Role, prefix: str) -> Mapping[str, str]:
    """The roles that a role talks with, and their names."""
    pairs = [(flow.sender, flow.receiver) for flow in FLOWS]
    peers = [one if other == role else other for one, other in pairs if role in (one, other)]
    return {peer: hostname_of(prefix, peer) for peer in peers}


def senders_of(role: Role, prefix: str) -> Mapping[str, str]:
    """The topics that a role receives, and who alone may send each."""
    return {flow.topic: hostname_of(prefix, flow.sender) for flow in FLOWS if flow.receiver == role}
