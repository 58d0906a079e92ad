"""Revisions: whole configurations, by the digest of their files. They are added, and never changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from gateway.bundles import Bundle, is_digest, unpack
from gateway.config.problems import Problem as Wrong
from gateway.control_plane.database.tables import Revision
from gateway.control_plane.problems import FieldError, Problem

SHORTEST: Final = 6  # digits of a digest that name a revision, where they are of one only
_BEGINNING: Final = re.compile(rf"[0-9a-f]{{{SHORTEST},64}}")


async def read(session: AsyncSession, organization: UUID, digest: str) -> bytes | None:
    """The files of a revision, packed. None: there is none of this digest."""
    if not is_digest(digest):
        return None
    query = select(Revision.files).where(Revision.organization_uuid == organization, Revision.digest == digest)
    return (await session.execute(query)).scalar_one_or_none()


async def bundle_of(session: AsyncSession, organization: UUID, digest: str) -> Bundle:
    """The files of a revision. Raises Problem."""
    packed = await read(session, organization, digest)
    if packed is None:
        raise missing(digest)
    return unpack(packed)


async def find(session: AsyncSession, organization: UUID, named: str) -> Revision:
    """The revision of this digest, or of the only one that begins so; without its files. Raises Problem."""
    if not _BEGINNING.fullmatch(named):
        raise missing(named)
    query = of(organization).where(Revision.digest.like(f"{named}%")).limit(2)
    found = (await session.scalars(query)).all()
    if not found:
        raise missing(named)
    if len(found) > 1:
        raise Problem(404, f"there are several revisions that begin with {named}; give more of the digest")
    return found[0]


def missing(named: str) -> Problem:
    """The error that there is no revision of this digest."""
    return Problem(404, f"there is no revision {named[:80]}")


def of(organization: UUID) -> Select[Revision]:
    """All of an organization, the newest first, without their files."""
    return (
        select(Revision)
        .where(Revision.organization_uuid == organization)
        .order_by(Revision.created_at.desc(), Revision.digest)
        .options(defer(Revision.files, raiseload=True))
    )


async def add(
    session: AsyncSession,
    organization: UUID,
    bundle: Bundle,
    *,
    author: str,
    message: str,
    parent: str | None,
    warnings: Sequence[Wrong],
) -> tuple[Revision, bool]:
    """The revision of these files, which have been checked, and whether it is new. Raises Problem."""
    if parent is not None:
        try:
            parent = (await find(session, organization, parent)).digest
        except Problem as problem:
            raise Problem(400, problem.detail, [FieldError("parent", problem.detail)]) from None
    known = of(organization).where(Revision.digest == bundle.digest)
    if (found := (await session.scalars(known)).one_or_none()) is not None:
        return found, False
    made = Revision(
        organization_uuid=organization,
        digest=bundle.digest,
        files=bundle.pack(),
        size=bundle.size,
        author=author,
        message=message,
        parent=parent,
        warnings={"problems": [asdict(each) for each in warnings]},
    )
    try:
        async with session.begin_nested():
            session.add(made)
    except IntegrityError:  # another one has added the same at the same time
        return (await session.scalars(known)).one(), False
    return made, True


def warnings_of(revision: Revision) -> list[dict[str, Any]]:
    """Warnings of the check when it was added."""
    return list((revision.warnings or {}).get("problems", []))
