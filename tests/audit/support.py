"""Audit logs on disk, and the command that verifies them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gateway.monitor.audit_chain import Sealer
from gateway.monitor.audit_file import AuditFile
from gateway.monitor.audit_verify import Finding, Verification, heads_of, read_head
from tests.cli.support import gateway as cli


def write(path: Path, count: int, *, key: bytes | None = None) -> None:
    """Append so many records to a log, as a gateway that is started and ended."""
    log = AuditFile(path, key)
    log.append([{"path": f"/{number}"} for number in range(count)])
    log.mark()
    log.close()


def records(path: Path) -> list[dict[str, Any]]:
    """What is in a log, without a look at its hashes, up to its last whole line: another process may be writing."""
    return [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def requests(path: Path) -> list[dict[str, Any]]:
    """The same, without what the log says of itself."""
    return [record for record in records(path) if "event" not in record] if path.exists() else []


def findings(*paths: Path, key: bytes | None = None, head: bool = True) -> list[Finding]:
    """What is found in the files of a log."""
    sealers = [Sealer(key)]
    link = None
    if head:
        (beside,) = heads_of(paths)
        link = read_head(beside, sealers)
        assert link is not None
    return list(Verification(sealers, link).run(paths))


def errors(found: Iterable[Finding]) -> list[str]:
    """The errors, each as number of the line and message."""
    return [f"{finding.number}: {finding.message}" for finding in found if finding.severity == "error"]


def verify(*arguments: str | Path, code: int = 0) -> str:
    """What `gateway audit verify` says."""
    done = cli("audit", "verify", *map(str, arguments))
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
