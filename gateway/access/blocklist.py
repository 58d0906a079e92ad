"""The blocklist of a configuration: what the file says, and what is made at runtime."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.access.entries import KINDS, Entry, EntryTable, canonical
from gateway.access.runtime_entries import RuntimeEntries
from gateway.access.sharing import SharedEntries
from gateway.access.store import EntryFile
from gateway.algorithms.networks import Network, NetworkMap
from gateway.config.models import Configuration
from gateway.config.models.blocklist import BlocklistEntry
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


class FileEntries:
    """Entries of the configuration, in force with it."""

    def __init__(self, entries: Iterable[Entry], exempt: Iterable[Network]) -> None:
        self.entries = tuple(entries)
        self.table = EntryTable(self.entries)
        self.exempt = NetworkMap((network, None) for network in exempt)  # from automatic bans


def file_entries(context: Context) -> FileEntries:
    """Those of this configuration."""
    return context.once("blocklist.file", lambda: _build(context.configuration))


def _build(configuration: Configuration) -> FileEntries:
    config = configuration.middleware.blocklist
    exempt = config.automatic.exempt if config.automatic is not None else ()
    return FileEntries(map(_entry, config.entries), (*configuration.auth.trusted_proxies, *exempt))


def _entry(config: BlocklistEntry) -> Entry:
    kind = next(kind for kind in KINDS if getattr(config, kind) is not None)
    return Entry(kind, canonical(kind, str(getattr(config, kind))), config.reason, config.until)
