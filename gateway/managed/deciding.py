"""Decides what a gateway does about its wanted revision. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gateway.control_messages import Wanted

Step = Literal["apply", "confirm", "upload"]


def next_step(
    wanted: Wanted | None, running: str | None, *, edited: bool = False, refused: bool = False, sent: bool = False
) -> Step | None:
    """The action to take; None: none, and the running revision stays.

    `edited`: what is wanted was applied, and the local files were changed since. They then serve until something else
    is wanted, or the control plane says that they are to give way, or asks for them. `refused`: what is wanted is not
    to be tried now: it is no configuration here, or older than what was applied. `sent`: the control plane has what
    runs.
    """
    if wanted is None or (wanted.revision is not None and wanted.revision == running):
        return None if wanted is None else "confirm"
    if wanted.revision is not None and not refused and (wanted.reapply or not edited):
        return "apply"
    return "upload" if wanted.upload and not sent else None


def is_older(wanted: Wanted, applied: str | None, applied_at: datetime | None) -> bool:
    """Whether what is wanted was wanted before what was applied: then the control plane has forgotten something, as one
    does whose database was restored, and what runs is newer."""
    if wanted.revision is None or wanted.revision == applied or wanted.wanted_at is None or applied_at is None:
        return False
    return wanted.wanted_at < applied_at
