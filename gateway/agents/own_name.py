"""Whether a daemon is that of the role, and the name of the role that of its node. Pure."""

from __future__ import annotations

from gateway.agents.link import shown
from gateway.agents.trust import Named
from gateway.roles import ALL


def other_agent(hostname: object, wanted: str) -> str:
    """What to look at where the daemon is that of another agent, which must keep its name; else empty."""
    if not isinstance(hostname, str) or hostname == wanted:
        return ""
    prefix, _, role = hostname.rpartition("-")
    if not prefix or role not in ALL:
        return ""
    setting = "agents.socket (or --socket)"
    if prefix != wanted.rpartition("-")[0]:
        setting = f"agents.prefix (or --prefix) or {setting}"
    return f"the daemon is that of {shown(hostname)}, and not of {wanted}: is {setting} right?"


def name_problem(hostname: object, wanted: str) -> str:
    """Why a node whose daemon says it has this hostname is not found by peers, and what to do. Empty where it is."""
    if hostname == wanted:
        return ""
    rename = f"the node has the name {shown(repr(hostname))}, and peers expect {wanted}: pilotctl set-hostname {wanted}"
    return other_agent(hostname, wanted) or rename


def holder_problem(holder: Named | None, node: int | None) -> str:
    """What to do where the rendezvous gives the name of this node to another one; empty where that is not known."""
    if holder is None or node is None or holder.node == node:
        return ""
    return (
        f"the rendezvous gives the name {holder.hostname} to node {holder.node}, and this is node {node}, which peers "
        "do not find: start the daemon with its former identity file, or have the name freed at the registry and then "
        f"pilotctl set-hostname {holder.hostname}, or take another prefix (agents.prefix)"
    )
