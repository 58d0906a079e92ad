"""The four roles of a gateway, which may be in one process or in several."""

from __future__ import annotations

from typing import Final, Literal, get_args

Role = Literal["discovery", "router", "auth", "monitor"]
Roles = frozenset[Role]

ALL: Final[Roles] = frozenset(get_args(Role))


def named(roles: Roles) -> str:
    """Roles as text in the form of `gateway serve --roles`."""
    return ",".join(role for role in get_args(Role) if role in roles)


def parse_roles(text: str) -> Roles:
    """Raises ValueError, with what is wrong and the remedy."""
    names = [part.strip() for part in text.split(",")]
    found = frozenset(role for role in get_args(Role) if role in names)
    unknown = [name for name in names if name not in get_args(Role)]
    if unknown or not found:
        raise ValueError(f"{unknown[0]!r:.40} is no role; name some of {named(ALL)}, with commas between them")
    return found
