"""What tests ask of an import: the files that it writes, and where requests go by them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.check import check, compile_offline
from gateway.explain import explain
from gateway.importing.importer import Imported, import_file
from gateway.snapshot import Snapshot

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Tried:
    """An import, and the gateway that its files would be."""

    imported: Imported
    snapshot: Snapshot
    directory: Path

    @property
    def report(self) -> str:
        return self.imported.report.markdown(self.imported.files)

    def explain(self, method: str, url: str, **headers: str) -> dict[str, Any]:
        lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return asyncio.run(explain(self.snapshot, method, url, lines))

    def goes(self, method: str, url: str, **headers: str) -> str:
        """Where a request goes, as `host:port/path`; the status where it is answered here."""
        explained = self.explain(method, url, **headers)
        if "endpoints" not in explained:
            return str(explained["result"]).partition(":")[0]
        endpoints, sent = ",".join(explained["endpoints"]), str(explained["sent"])
        return endpoints if endpoints.startswith(("respond", "redirect")) and "nothing" in sent else endpoints + sent


def try_import(file: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Tried:
    """Import a file into a directory, with some value for each variable that it needs."""
    imported = import_file(file)
    directory.mkdir(exist_ok=True)
    for name, text in imported.files.items():
        (directory / name).write_text(text)
    for name, value in imported.report.stand_ins().items():
        monkeypatch.setenv(name, value)
    problems = [p for p in check(directory, {}) if "resolve" not in p.message]
    assert [p for p in problems if p.severity == "error"] == []
    return Tried(imported, compile_offline(directory), directory)


def try_text(name: str, text: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Tried:
    """Import a text as a file of this name."""
    file = directory / name
    file.write_text(text)
    return try_import(file, directory / "out", monkeypatch)
