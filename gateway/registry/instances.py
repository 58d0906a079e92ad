"""An instance as files, registries' values and messages write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.config.values.addresses import parse_address, parse_host_name
from gateway.upstream.member import Address, Member

PASSING = frozenset({"", "passing", "healthy", "up", "warning", "unknown"})
FAILING = frozenset({"failing", "critical", "unhealthy", "down", "maintenance"})
_KEYS = frozenset({"host", "port", "address", "weight", "zone", "priority", "health"})
MAX_WEIGHT = 1000


def parse_instance(value: Any) -> Member:
    """`"host:port"`, or a mapping of host, port (or address), weight, zone, priority and health.

    Raises ValueError, with what is wrong and the remedy.
    """
    if isinstance(value, str):
        return Member(_address(value))
    if not isinstance(value, Mapping):
        raise ValueError('an instance is "host:port", or a mapping with host and port')
    unknown = sorted(str(key) for key in value.keys() - _KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0][:40]!r}; an instance has {', '.join(sorted(_KEYS))}")
    health = _text(value, "health").lower()
    if health not in PASSING | FAILING:
        raise ValueError(f"health is passing or failing, not {health[:40]!r}")
    return Member(
        _where(value),
        weight=_whole(value, "weight", 1, MAX_WEIGHT),
        zone=_text(value, "zone"),
        priority=_whole(value, "priority", 0, 15),
        up=health not in FAILING,
        reason=f"its source says {health}" if health in FAILING else "",
    )


def written(member: Member) -> dict[str, Any]:
    """The mapping that `parse_instance` reads as this one."""
    more = {"weight": (member.weight, 1), "zone": (member.zone, ""), "priority": (member.priority, 0)}
    health = "passing" if member.up else "failing"
    named = {key: value for key, (value, default) in more.items() if value != default}
    return {"host": member.address.host, "port": member.address.port, **named, "health": health}


def parse_value(text: str) -> Member:
    """The same, as the value of a key has it: `host:port`, or JSON. Raises ValueError."""
    if not text.lstrip().startswith(("{", '"')):
        return parse_instance(text.strip())
    try:
        written = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError('it is not JSON; write {"host": "10.0.1.5", "port": 8080}, or host:port') from None
    return parse_instance(written)


def _where(value: Mapping[str, Any]) -> Address:
    if "address" in value:
        if "host" in value or "port" in value:
            raise ValueError("address stands for host and port; remove it or them")
        return _address(_text(value, "address"))
    host, port = value.get("host"), value.get("port")
    if not isinstance(host, str) or not host:
        raise ValueError("host is missing; add it, such as 10.0.1.5")
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise ValueError("port is missing, or is not a whole number from 1 to 65535")
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    name = parse_host_name(bracketed)
    return Address(name[1:-1] if name.startswith("[") else name, port)


def _address(text: str) -> Address:
    return Address(*parse_address(text))


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key, "")
    if not isinstance(text, str) or len(text) > 256 or not text.isprintable():
        raise ValueError(f"{key} is a text of at most 256 printable characters")
    return text


def _whole(value: Mapping[str, Any], key: str, default: int, limit: int) -> int:
    number = value.get(key, default)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= limit:
        raise ValueError(f"{key} is a whole number from 0 to {limit}")
    return number
