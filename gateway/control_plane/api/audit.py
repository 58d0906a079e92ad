"""/audit: who changed what; for admins of all environments."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy import select

from gateway.control_plane import audit
from gateway.control_plane.audit_reading import parts, verified
from gateway.control_plane.callers import WhoCalls
from gateway.control_plane.database.tables import AuditRecord
from gateway.control_plane.paging import FARTHEST, Paged, page_of
from gateway.control_plane.plane import ThePlane
from gateway.control_plane.problems import documented
from gateway.control_plane.schemas import Answer, Moment

LINES = "application/x-ndjson"


class AuditEntry(Answer):
    """One change, or one that was refused."""

    number: int = Field(description="Its place in the log, from 1.")
    at: Moment
    who: str = Field(description="The caller, or the job that did it.")
    action: str = Field(description="The action, such as `environment.create`; of a refused request, its method.")
    subject: str = Field(description="To what; of a refused request, its path.")
    outcome: str = Field(description="`done`, `refused` or `failed`.")
    details: dict[str, Any]

    @classmethod
    def of(cls, record: AuditRecord) -> Self:
        """From a record."""
        try:
            line = json.loads(record.line)
        except ValueError:
            line = {}
        texts = {name: str(line.get(name, "")) for name in ("who", "action", "subject", "outcome")}
        details = line.get("details")
        moment = line.get("time")
        at = datetime.fromtimestamp(moment, UTC) if isinstance(moment, float) else record.at
        return cls(number=record.number, at=at, details=details if isinstance(details, dict) else {}, **texts)


class AuditEntries(Answer):
    """The newest first."""

    records: list[AuditEntry]
    total: int


class AuditVerification(Answer):
    """Whether the log is whole."""

    intact: bool
    records: int = Field(description="How many were looked at.")
    last: str = Field(description="Number and hash of the last one, for `gateway audit verify --expect`.")
    errors: int
    findings: list[str] = Field(description="The first errors.")


router = APIRouter(tags=["audit"])


@router.get("/audit", responses=documented())
async def list_audit_records(plane: ThePlane, caller: WhoCalls, page: Paged) -> AuditEntries:
    """Who changed what, the newest first."""
    caller.require("admin")
    query = select(AuditRecord).where(AuditRecord.organization_uuid == caller.organization)
    async with plane.database.reading() as session:
        found, total = await page_of(session, query.order_by(AuditRecord.number.desc()), page)
    return AuditEntries(records=[AuditEntry.of(record) for record in found], total=total)


@router.get("/audit/verification", responses=documented())
async def verify_audit_log(plane: ThePlane, caller: WhoCalls) -> AuditVerification:
    """Whether no record was changed, removed, added or moved."""
    caller.require("admin")
    found = await verified(plane.database, caller.organization)
    return AuditVerification(
        intact=not found.errors,
        records=found.records,
        last=str(found.end),
        errors=found.errors,
        findings=found.findings,
    )


@router.get(
    "/audit/export",
    responses={200: {"description": "One line of JSON for each.", "content": {LINES: {}}}, **documented()},
    response_class=StreamingResponse,
)
async def export_audit_log(
    plane: ThePlane,
    caller: WhoCalls,
    first: Annotated[int, Query(alias="from", ge=1, le=FARTHEST, description="Number of the first one.")] = 1,
) -> StreamingResponse:
    """The lines themselves, for `gateway audit verify`; the header `audit-end` is what its `--expect` takes."""
    caller.require("admin")
    async with plane.database.reading() as session:
        end = await audit.end(session, caller.organization)

    async def lines() -> AsyncIterator[bytes]:
        async for part in parts(plane.database, caller.organization, first, end.number):
            yield "".join(f"{line}\n" for line in part).encode()

    headers = {"audit-end": str(end), "content-disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(lines(), headers=headers, media_type=LINES)
