"""The source that a configuration asks for."""

from __future__ import annotations

from pathlib import Path

from gateway.config.models.discovery import Discovery
from gateway.registry.etcd import EtcdSource
from gateway.registry.file import FileSource
from gateway.registry.source import Source


def source_of(config: Discovery, base: Path) -> Source:
    """`base`: the configuration directory."""
    if config.file is not None:
        return FileSource(base / config.file)
    if config.etcd is not None:
        etcd = config.etcd
        login = (etcd.user, etcd.password.get_secret_value()) if etcd.user and etcd.password else None
        return EtcdSource(etcd.url, etcd.prefix, login, base / etcd.ca if etcd.ca else None)
    raise ValueError("a discovery without a source")
