"""Users of HTTP Basic, as `name:hash` in the file, as consumers."""

from __future__ import annotations

from gateway.auth.password import parse
from gateway.importing.description import Description
from gateway.importing.tree import Item


def add_users(items: list[Item], description: Description) -> list[str]:
    """Make consumers of users, and give the names of those whose passwords can be checked."""
    names = []
    for item in items:
        name, colon, password = item.own_text.partition(":")
        try:
            parse(password)
        except ValueError:
            item.unsaid("this is no hash of a password that can be checked: see `gateway keys password`")
            continue
        consumer = description.consumers.setdefault(name, {"name": name})
        basic = {"username": name, "password": password}
        if not colon or consumer.setdefault("basic", basic) != basic:
            item.unsaid("a consumer of this name has another password already; make a consumer with another name")
            continue
        names.append(name)
        item.said(f"consumer {name}")
    return names
