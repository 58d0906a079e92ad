"""How many revisions and rollouts are kept: what nothing refers to any more goes when there are too many."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.database.tables import (
    Deployment,
    Environment,
    EnvironmentSettings,
    GatewayInstance,
    Organization,
    Revision,
    Rollout,
)
from gateway.control_plane.rollouts import ACTIVE

MOST_REVISIONS: Final = 2000  # of an organization, beside those that something refers to
MOST_ROLLOUTS: Final = 500  # of an environment


async def sweep(
    session: AsyncSession, most_revisions: int = MOST_REVISIONS, most_rollouts: int = MOST_ROLLOUTS
) -> None:
    """Remove the oldest of those that are too many."""
    for environment in (await session.scalars(select(Environment.uuid))).all():
        old = (
            select(Rollout.uuid)
            .where(Rollout.environment_uuid == environment, Rollout.state.not_in(ACTIVE))
            .order_by(Rollout.created_at.desc())
            .offset(most_rollouts)
        )
        gone = (await session.scalars(old.limit(1000))).all()
        await session.execute(delete(Rollout).where(Rollout.uuid.in_(gone)))
    for organization in (await session.scalars(select(Organization.uuid))).all():
        of_it = Revision.organization_uuid == organization
        newest = (
            select(Revision.digest)
            .where(of_it)
            .order_by(Revision.created_at.desc(), Revision.digest)
            .offset(most_revisions)
        )
        old_ones = (await session.scalars(newest.limit(1000))).all()
        if old_ones:
            # Digests that are still referenced.
            columns = (
                EnvironmentSettings.digest,
                Deployment.revision,
                Rollout.digest,
                Rollout.previous,
                GatewayInstance.revision,
            )
            used = {digest for column in columns for digest in await session.scalars(select(column).distinct())}
            unused = [each for each in old_ones if each not in used]
            await session.execute(delete(Revision).where(of_it, Revision.digest.in_(unused)))
