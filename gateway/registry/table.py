"""The source that a configuration asks for."""

from __future__ import annotations

from pathlib import Path

from gateway.config.models.discovery import Discovery
from gateway.registry.file import FileSource
from gateway.registry.source import Source


def source_of(config: Discovery, base: Path) -> Source:
    """`base`: the configuration directory."""
    if config.file is not None:
        return FileSource(base / config.file)
    raise ValueError("a discovery without a source")
