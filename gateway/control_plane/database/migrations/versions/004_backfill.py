"""Give gateways that were there before a type, and an environment: production, one for each organization.

It may run again: what is there already stays as it is.
"""

from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "004"
down_revision = "003"

_organizations = sa.table("organizations", sa.column("uuid", sa.Uuid()))
_gateways = sa.table(
    "gateways", sa.column("uuid", sa.Uuid()), sa.column("organization_uuid", sa.Uuid()), sa.column("gateway_type")
)
_environments = sa.table(
    "environments",
    sa.column("uuid", sa.Uuid()),
    sa.column("organization_uuid", sa.Uuid()),
    sa.column("name", sa.String()),
    sa.column("display_name", sa.String()),
    sa.column("created_at", sa.DateTime()),
    sa.column("updated_at", sa.DateTime()),
)
_mappings = sa.table(
    "gateway_environment_mappings",
    sa.column("gateway_uuid", sa.Uuid()),
    sa.column("environment_uuid", sa.Uuid()),
    sa.column("created_at", sa.DateTime()),
)


def upgrade() -> None:
    """Fill in what is missing."""
    now = datetime.now(UTC).replace(tzinfo=None)
    connection = op.get_bind()
    connection.execute(sa.update(_gateways).where(_gateways.c.gateway_type.is_(None)).values(gateway_type="INGRESS"))
    has_production = sa.exists().where(
        _environments.c.organization_uuid == _organizations.c.uuid, _environments.c.name == "production"
    )
    for organization in connection.scalars(sa.select(_organizations.c.uuid).where(~has_production)).all():
        connection.execute(
            sa.insert(_environments).values(
                uuid=uuid4(),
                organization_uuid=organization,
                name="production",
                display_name="Production",
                created_at=now,
                updated_at=now,
            )
        )
    is_mapped = sa.exists().where(
        _mappings.c.gateway_uuid == _gateways.c.uuid, _mappings.c.environment_uuid == _environments.c.uuid
    )
    missing = (
        sa.select(_gateways.c.uuid, _environments.c.uuid, sa.literal(now, sa.DateTime()))
        .join(_environments, _environments.c.organization_uuid == _gateways.c.organization_uuid)
        .where(_environments.c.name == "production", ~is_mapped)
    )
    names = ["gateway_uuid", "environment_uuid", "created_at"]
    connection.execute(sa.insert(_mappings).from_select(names, missing))


def downgrade() -> None:
    """Do nothing: rows that were filled in cannot be distinguished from others any more."""
