"""Prerequisites of the public schema: organizations, and gateways with only a name."""

import sqlalchemy as sa
from alembic import op

revision = "000"
down_revision = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "organizations",
        sa.Column("uuid", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "gateways",
        sa.Column("uuid", sa.Uuid(), primary_key=True),
        sa.Column("organization_uuid", sa.Uuid(), sa.ForeignKey("organizations.uuid"), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(128), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("organization_uuid", "name"),
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_table("gateways")
    op.drop_table("organizations")
