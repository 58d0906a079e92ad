"""The entries of middleware.yaml."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.access.entries import KINDS, Entry, EntryTable, canonical
from gateway.algorithms.networks import Network, NetworkMap
from gateway.config.models import Configuration
from gateway.config.models.blocklist import BlocklistEntry
from gateway.context import Context


class FileEntries:
    """They are in force as long as the configuration is."""

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
