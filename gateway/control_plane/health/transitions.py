"""How the status of a gateway follows from what is seen of it. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Status = Literal["ACTIVE", "INACTIVE", "PROVISIONING", "ERROR"]

FAILURES_TO_ERROR: Final = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """A status, and how often in a row the gateway has failed."""

    status: str
    failures: int


def after(before: Seen, healthy: bool | None, provider: Status | None = None) -> Seen:
    """The state after one check. `healthy` None: unknown. `provider`: what runs the gateway says its status.

    Active gateways fail with the second failure in a row, and are active again with the first success, as are those
    that people have put aside. What is being provisioned is so until its provider says otherwise.
    """
    failures = before.failures if healthy is None else 0 if healthy else before.failures + 1
    if provider is not None:
        return Seen(provider, failures)
    if healthy is None or before.status == "PROVISIONING":
        return Seen(before.status, failures)
    if healthy:
        return Seen("ACTIVE", 0)
    if before.status == "ACTIVE" and failures >= FAILURES_TO_ERROR:
        return Seen("ERROR", failures)
    return Seen(before.status, failures)
