"""Costs of password hashes for the gateway that checks them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gateway.auth.password import parse
from gateway.auth.password_checks import MEMORY
from gateway.config.models import Configuration
from gateway.config.problems import Fault


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Hashes that make every wrong password dear: the first of each kind, and how many there are."""
    auth = configuration.auth
    if all(scheme.basic is None for scheme in auth.schemes.values()):
        return
    hashes = {i: parse(each.basic.password) for i, each in enumerate(auth.consumers) if each.basic is not None}
    if not hashes:
        return
    number = Counter(found.cost for found in hashes.values())
    usual = max(hashes.values(), key=lambda found: number[found.cost]).cost
    unusual = [index for index, found in hashes.items() if found.cost != usual]
    large = [index for index, found in hashes.items() if found.memory > MEMORY]
    remedy = "create them again with `gateway keys password`"
    if unusual:
        message = "a wrong password costs the sum of all parameters that hashes have, and this one has others than most"
        message += f" ({len(unusual)} have); {remedy}"
        yield Fault(("consumers", unusual[0], "basic", "password"), message)
    if large:
        memory = max(found.memory for found in hashes.values()) >> 20
        message = f"each check of a password takes {memory} MiB, because some hashes need more than {MEMORY >> 20} MiB "
        message += f"({len(large)} do); {remedy}, or give the gateway as much memory"
        yield Fault(("consumers", large[0], "basic", "password"), message)
