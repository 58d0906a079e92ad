"""The state of a role of the bridge: for the gateway's /health and metrics, and for `gateway agents status`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gateway.agents.link import PeerStanding
from gateway.agents.node import Node, RoleWork
from gateway.events import AgentStanding

STATUS_SECONDS: Final = 2.0  # between two times that it is written down
MOST_PROBLEM: Final = 1024  # characters


def status_path(state: Path, role: str) -> Path:
    """The file in which the bridge of a role writes its state."""
    return state / f"status-{role}.json"


def standing_of(node: Node, problems: tuple[str, ...], *, ended: bool) -> AgentStanding:
    """The state for the gateway."""
    standing = node.link.standing
    peers = {peer.hostname: _peer_in_words(peer)[:500] for peer in standing.peers}
    return AgentStanding(
        hostname=node.hostname,
        role=node.role,
        state="ended" if ended else standing.state,
        problems=tuple(problem[:MOST_PROBLEM] for problem in problems),
        peers=peers,
        counts={name: dict(list(numbers.items())[:64]) for name, numbers in counts_of(node).items()},
    )


def counts_of(node: Node) -> Mapping[str, Mapping[str, int]]:
    """All counters of messages, by what they count."""
    standing = node.link.standing
    refused = Counter({str(reason): number for reason, number in standing.refused.items()})
    refused["replay"] += node.order.old.total()
    return {
        "received": dict(standing.received),
        "refused": {reason: number for reason, number in refused.items() if number},
        "sent": dict(node.sent),
        "dropped": dict(Counter(standing.dropped) + node.dropped),
        "missed": dict(node.order.missed),
    }


def problems_of(node: Node, *others: str) -> tuple[str, ...]:
    """The problems, a sentence each."""
    standing = node.link.standing
    peers = [f"{peer.hostname}: {peer.problem}" for peer in standing.peers if peer.problem]
    own = [standing.problem or ("" if standing.state == "connected" else f"the link is {standing.state}")]
    return tuple(problem for problem in (*own, *(peers if not own[0] else ()), *others) if problem)


def status_of(node: Node, work: RoleWork, problems: tuple[str, ...], gateway: str, *, ended: bool) -> dict[str, Any]:
    """The members that `gateway agents status` shows."""
    standing, now = node.link.standing, time.monotonic()
    return {
        "role": node.role,
        "hostname": node.hostname,
        "pid": os.getpid(),
        "at": round(time.time(), 3),
        "state": "ended" if ended else standing.state,
        "problems": list(problems),
        "node": standing.node,
        "address": standing.address,
        "gateway": gateway,
        "subscribers": standing.subscribers,
        "peers": [_peer(peer, now) for peer in standing.peers],
        **counts_of(node),
        "notes": {**work.counts(), **node.side.counts()},
    }


def _peer_in_words(peer: PeerStanding) -> str:
    return peer.problem or ("connected" if peer.connected else "trusted" if peer.trusted else "not trusted")


def _peer(peer: PeerStanding, now: float) -> dict[str, Any]:
    def age(at: float | None) -> float | None:
        return None if at is None else round(now - at, 1)

    return {
        "role": peer.role,
        "hostname": peer.hostname,
        "node": peer.node,
        "trusted": peer.trusted,
        "mutual": peer.mutual,
        "state": _peer_in_words(peer),
        "waiting": peer.waiting,
        "sent": peer.sent,
        "dropped": peer.dropped,
        "last_sent": age(peer.last_sent),
        "last_received": age(peer.last_received),
    }
