"""The audit log: what was changed by whom, in the transaction that changes it, as lines that hold each other.

Each organization has one, whose lines are those of `gateway/monitor/audit_chain.py`: `gateway audit verify` reads what
`/audit/export` gives. A row holds where it ends; it is locked until the transaction ends, so that any number of control
planes write one chain, and what is cut off at its end is missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.callers import Caller
from gateway.control_plane.database.tables import AuditHead, AuditRecord, now
from gateway.monitor.audit_chain import Link, Sealer

NO_ORGANIZATION: Final = UUID(int=0)
"""In the place of an organization, where none is known."""

MOST_TEXT: Final = 512  # characters of one value
MOST_VALUES: Final = 100  # of one list


async def record(
    session: AsyncSession,
    caller: Caller | str,
    action: str,
    subject: str,
    outcome: str = "done",
    details: Mapping[str, Any] | None = None,
    *,
    organization: UUID | None = None,
) -> None:
    """Add a record to the transaction; as the last thing that it does, since others wait for it from then on.

    `caller`: a name, such as `job:rollouts`, for the control plane's own actions; then `organization` says whose
    gateways it is about. `action`: `environment.create`. `subject`: `environments/UUID`. `details`: small values of
    JSON, nothing secret.
    """
    await session.flush()
    if organization is None:
        organization = caller.organization if isinstance(caller, Caller) else NO_ORGANIZATION
    at = now()
    written = {
        "time": at.timestamp(),
        "event": "change",
        "who": _bounded(caller.name if isinstance(caller, Caller) else caller),
        "action": _bounded(action),
        "subject": _bounded(subject),
        "outcome": _bounded(outcome),
        "details": {name: _bounded(value) for name, value in (details or {}).items()},
    }
    sealer = Sealer(session.info.get("audit_key"))
    line, link = sealer.seal(written, await _locked_end(session, organization))
    session.add(AuditRecord(organization_uuid=organization, number=link.number, at=at, line=line.decode().rstrip()))
    head = update(AuditHead).where(AuditHead.organization_uuid == organization)
    await session.execute(head.values(number=link.number, hash=link.hash))
    await session.flush()


async def end(session: AsyncSession, organization: UUID) -> Link:
    """Where the chain of an organization ends."""
    query = select(AuditHead.number, AuditHead.hash).where(AuditHead.organization_uuid == organization)
    found = (await session.execute(query)).one_or_none()
    return Link() if found is None else Link(found.number, found.hash)


async def _locked_end(session: AsyncSession, organization: UUID) -> Link:
    """The same, with a lock on the chain until the transaction ends."""
    query = select(AuditHead.number, AuditHead.hash).where(AuditHead.organization_uuid == organization)
    found = (await session.execute(query.with_for_update())).one_or_none()
    if found is None:
        try:
            async with session.begin_nested():
                session.add(AuditHead(organization_uuid=organization, number=0, hash=Link().hash))
        except IntegrityError:  # another transaction has begun the chain meanwhile
            pass
        found = (await session.execute(query.with_for_update())).one()
    return Link(found.number, found.hash)


def _bounded(value: Any) -> Any:
    """A value in a form for databases: bounded, valid Unicode, valid JSON."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_bounded(each) for each in list(value)[:MOST_VALUES]]
    text = str(value).encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
