"""The blocklist of a configuration: what the file says, and what is made at runtime."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.file_entries import FileEntries, file_entries
from gateway.access.runtime_entries import RuntimeEntries
from gateway.access.sharing import SharedEntries
from gateway.access.store import EntryFile
from gateway.context import Context
from gateway.outside.redis_link import redis_identity, redis_link

FILE = "blocklist.sqlite"


@dataclass(frozen=True, slots=True)
class Blocklist:
    """All of them; the same for all routes."""

    runtime: RuntimeEntries
    file: FileEntries


def blocklist_of(context: Context) -> Blocklist:
    """Those made at runtime outlive a reload, unless it changes where they are kept."""
    config = context.configuration.middleware
    path = context.base / config.state_directory / FILE
    shared = redis_identity(context) if config.redis is not None and config.blocklist.shared else None
    runtime = context.plan.need(
        ("blocklist", path, shared),
        lambda: RuntimeEntries(EntryFile(path), SharedEntries(redis_link(context)) if shared else None),
        ("middleware.yaml", ("blocklist",)),
    )
    return Blocklist(runtime, file_entries(context))
