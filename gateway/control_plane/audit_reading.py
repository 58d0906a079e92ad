"""Reading the audit log of an organization: in parts, since it may be long, and checking that it is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import select

from gateway.control_plane import audit
from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import AuditRecord
from gateway.monitor.audit_chain import Link, Sealer

PART: Final = 1000  # lines that are read at once
MOST_FINDINGS: Final = 50


async def parts(database: Database, organization: UUID, first: int, last: int) -> AsyncIterator[Sequence[str]]:
    """The lines with these numbers, the last one included."""
    while first <= last:
        query = select(AuditRecord.number, AuditRecord.line).where(
            AuditRecord.organization_uuid == organization, AuditRecord.number >= first, AuditRecord.number <= last
        )
        async with database.reading() as session:
            found = (await session.execute(query.order_by(AuditRecord.number).limit(PART))).all()
        if not found:
            return
        yield [row.line for row in found]
        first = found[-1].number + 1


@dataclass(slots=True)
class Verification:
    """The result of one pass over a log."""

    sealer: Sealer
    end: Link = field(default_factory=Link)
    records: int = 0
    errors: int = 0
    findings: list[str] = field(default_factory=list)

    def check(self, lines: Sequence[str]) -> None:
        """These lines, which follow those before."""
        for line in lines:
            for finding in self._wrong(line):
                self.find(finding)

    def find(self, finding: str) -> None:
        """Something is wrong."""
        self.errors += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)

    def _wrong(self, text: str) -> Iterator[str]:
        line = self.sealer.read(text.encode())
        self.records += 1
        if line is None:
            yield f"the line behind record {self.end.number} is not a line of an audit log"
            return
        if not line.intact:
            yield f"record {line.number} was changed: its hash is not that of its content"
        if line.number != self.end.number + 1:
            yield f"record {self.end.number + 1} is missing"
        elif line.previous != self.end.hash:
            yield f"record {line.number} does not follow from the one before: one of them was replaced"
        self.end = line.link


async def verified(database: Database, organization: UUID) -> Verification:
    """Whether the log is whole, as it is at this moment."""
    async with database.reading() as session:
        end = await audit.end(session, organization)
    verification = Verification(Sealer(database.audit_key))
    async for lines in parts(database, organization, 1, end.number):
        await asyncio.to_thread(verification.check, lines)
    if verification.end.number < end.number:
        verification.find(f"records {verification.end.number + 1} to {end.number} are missing: the end was cut off")
    elif verification.end != end:
        verification.find(f"record {end.number} is another one than the head says")
    return verification
