"""Users of HTTP Basic, as `name:hash` in the file or in an htpasswd file."""

from __future__ import annotations

from gateway.importing.description import Description
from gateway.importing.tree import Item


def names(item: Item) -> list[str]:
    """Who is named in the file."""
    return [text.partition(":")[0] for text in item.texts("users")]


def add(item: Item, description: Description) -> bool:
    """Make consumers of the users; False, and said in the report, where nobody's password could be checked."""
    for below in item.items("users"):
        below.unsaid("this hash of a password cannot be checked; make another one by `gateway keys password`")
    if item.get("usersFile") is not None:
        item.unsaid("the file is not read; make the users consumers with `basic`", "usersFile")
    return False
