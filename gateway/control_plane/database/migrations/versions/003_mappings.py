"""Adds the memberships of gateways in environments."""

import sqlalchemy as sa
from alembic import op

revision = "003"
down_revision = "002"


def upgrade() -> None:
    """Make the table, which forgets what is deleted on either side."""
    op.create_table(
        "gateway_environment_mappings",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("gateway_uuid", sa.Uuid(), sa.ForeignKey("gateways.uuid", ondelete="CASCADE"), nullable=False),
        sa.Column(
            "environment_uuid", sa.Uuid(), sa.ForeignKey("environments.uuid", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("gateway_uuid", "environment_uuid"),
    )
    op.create_index("idx_gem_gateway", "gateway_environment_mappings", ["gateway_uuid"])
    op.create_index("idx_gem_environment", "gateway_environment_mappings", ["environment_uuid"])


def downgrade() -> None:
    """Drop it: no gateway is in any environment any more."""
    op.drop_table("gateway_environment_mappings")
