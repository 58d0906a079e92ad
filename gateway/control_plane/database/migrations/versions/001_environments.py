"""Add environments."""

import sqlalchemy as sa
from alembic import op

revision = "001"
down_revision = "000"


def upgrade() -> None:
    """Make the table and its index."""
    op.create_table(
        "environments",
        sa.Column("uuid", sa.Uuid(), primary_key=True),
        sa.Column("organization_uuid", sa.Uuid(), sa.ForeignKey("organizations.uuid"), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(128), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("created_at", sa.DateTime(), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("organization_uuid", "name"),
    )
    op.create_index("idx_environments_org", "environments", ["organization_uuid"])


def downgrade() -> None:
    """Drop it, with all environments."""
    op.drop_table("environments")
