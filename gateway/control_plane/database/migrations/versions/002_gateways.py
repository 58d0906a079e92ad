"""Extend gateways: their type and state, and what their adapter needs to know."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "002"
down_revision = "001"

_TYPES = "gateway_type IN ('INGRESS', 'EGRESS')"
_STATES = "status IN ('ACTIVE', 'INACTIVE', 'PROVISIONING', 'ERROR')"


def upgrade() -> None:
    """Add the columns, their checks, and the indexes."""
    for column in (
        sa.Column("gateway_type", sa.String(16), sa.CheckConstraint(_TYPES), nullable=False, server_default="INGRESS"),
        sa.Column("control_plane_url", sa.Text()),
        sa.Column("status", sa.String(32), sa.CheckConstraint(_STATES), nullable=False, server_default="ACTIVE"),
        sa.Column("region", sa.String(64)),
        sa.Column("adapter_config", sa.JSON().with_variant(JSONB(), "postgresql")),
        sa.Column("endpoint", sa.Text()),
    ):
        op.add_column("gateways", column)
    op.create_index("idx_gateways_type", "gateways", ["gateway_type"])
    op.create_index("idx_gateways_status", "gateways", ["status"])
    op.create_index("idx_gateways_org_type", "gateways", ["organization_uuid", "gateway_type"])


def downgrade() -> None:
    """Take them away again, with what is in them."""
    for index in ("idx_gateways_org_type", "idx_gateways_status", "idx_gateways_type"):
        op.drop_index(index, "gateways")
    for column in ("endpoint", "adapter_config", "region", "status", "control_plane_url", "gateway_type"):
        op.drop_column("gateways", column)
