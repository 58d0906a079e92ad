"""Add what goes beyond the public schema: health, revisions, rollouts, tokens, the audit log."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "006"
down_revision = "005"

_ACTIVE = sa.text("state IN ('pending', 'running', 'paused')")


def _document() -> sa.types.TypeEngine[Any]:
    return sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "audit",
        sa.Column("organization_uuid", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organization_uuid", "number"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_table(
        "audit_head",
        sa.Column("organization_uuid", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("organization_uuid"),
    )
    op.create_table(
        "idempotent_answers",
        sa.Column("organization_uuid", sa.Uuid(), nullable=False),
        sa.Column("caller", sa.String(256), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("headers", _document()),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organization_uuid", "caller", "key"),
    )
    op.create_index("ix_idempotent_answers_created_at", "idempotent_answers", ["created_at"])
    op.create_table(
        "leases",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("holder", sa.String(128), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("renewed_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "revisions",
        sa.Column("organization_uuid", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("files", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(256), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("parent", sa.String(64)),
        sa.Column("warnings", _document()),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["organization_uuid"], ["organizations.uuid"]),
        sa.PrimaryKeyConstraint("organization_uuid", "digest"),
    )
    op.create_index("ix_revisions_created_at", "revisions", ["created_at"])
    op.create_table(
        "environment_settings",
        sa.Column("environment_uuid", sa.Uuid(), nullable=False),
        sa.Column("drift_policy", sa.String(16), server_default="report", nullable=False),
        sa.Column("approvals", sa.Integer(), server_default="0", nullable=False),
        sa.Column("digest", sa.String(64)),
        sa.Column("updated_at", sa.DateTime(), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("drift_policy IN ('report', 'reapply', 'adopt')"),
        sa.ForeignKeyConstraint(["environment_uuid"], ["environments.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("environment_uuid"),
    )
    op.create_table(
        "gateway_health",
        sa.Column("gateway_uuid", sa.Uuid(), nullable=False),
        sa.Column("checked_at", sa.DateTime(), nullable=False),
        sa.Column("succeeded_at", sa.DateTime()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("response_ms", sa.Double()),
        sa.Column("error_message", sa.Text()),
        sa.Column("reason", sa.String(32)),
        sa.Column("probed_url", sa.Text()),
        sa.ForeignKeyConstraint(["gateway_uuid"], ["gateways.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("gateway_uuid"),
    )
    op.create_table(
        "gateway_instances",
        sa.Column("gateway_uuid", sa.Uuid(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("last_heartbeat_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.String(64)),
        sa.Column("source", sa.String(32)),
        sa.Column("drifted_since", sa.DateTime()),
        sa.Column("report", _document(), nullable=False),
        sa.ForeignKeyConstraint(["gateway_uuid"], ["gateways.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("gateway_uuid", "id"),
    )
    op.create_index("ix_gateway_instances_last_heartbeat_at", "gateway_instances", ["last_heartbeat_at"])
    op.create_table(
        "gateway_tokens",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("gateway_uuid", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("expires_at", sa.DateTime()),
        sa.Column("revoked_at", sa.DateTime()),
        sa.Column("last_used_at", sa.DateTime()),
        sa.ForeignKeyConstraint(["gateway_uuid"], ["gateways.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("idx_gateway_tokens_gateway", "gateway_tokens", ["gateway_uuid"])
    op.create_table(
        "health_samples",
        sa.Column("gateway_uuid", sa.Uuid(), nullable=False),
        sa.Column("checked_at", sa.DateTime(), nullable=False),
        sa.Column("healthy", sa.Boolean(), nullable=False),
        sa.Column("response_ms", sa.Double()),
        sa.Column("reason", sa.String(32)),
        sa.ForeignKeyConstraint(["gateway_uuid"], ["gateways.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("gateway_uuid", "checked_at"),
    )
    op.create_index("idx_health_samples_time", "health_samples", ["checked_at"])
    op.create_table(
        "join_tokens",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organization_uuid", sa.Uuid(), nullable=False),
        sa.Column("environment_uuid", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("max_uses", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("revoked_at", sa.DateTime()),
        sa.ForeignKeyConstraint(["environment_uuid"], ["environments.uuid"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["organization_uuid"], ["organizations.uuid"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "rollouts",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("organization_uuid", sa.Uuid(), nullable=False),
        sa.Column("environment_uuid", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("previous", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("strategy", _document(), nullable=False),
        sa.Column("progress", _document(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'running', 'paused', 'done', 'rolled_back', 'failed')"),
        sa.ForeignKeyConstraint(["environment_uuid"], ["environments.uuid"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["organization_uuid", "digest"], ["revisions.organization_uuid", "revisions.digest"]),
        sa.PrimaryKeyConstraint("uuid"),
    )
    op.create_index(
        "idx_rollouts_active",
        "rollouts",
        ["environment_uuid"],
        unique=True,
        postgresql_where=_ACTIVE,
        sqlite_where=_ACTIVE,
    )
    op.create_index("idx_rollouts_environment", "rollouts", ["environment_uuid", "created_at"])
    op.create_table(
        "deployments",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("gateway_uuid", sa.Uuid(), nullable=False),
        sa.Column("environment_uuid", sa.Uuid()),
        sa.Column("rollout_uuid", sa.Uuid()),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("resource", sa.String(128), nullable=False),
        sa.Column("revision", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'deployed', 'failed', 'undeployed')"),
        sa.ForeignKeyConstraint(["environment_uuid"], ["environments.uuid"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["gateway_uuid"], ["gateways.uuid"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["rollout_uuid"], ["rollouts.uuid"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("uuid"),
        sa.UniqueConstraint("gateway_uuid", "kind", "resource"),
    )
    op.create_index("idx_deployments_gateway", "deployments", ["gateway_uuid", "state"])
    op.create_table(
        "rollout_approvals",
        sa.Column("rollout_uuid", sa.Uuid(), nullable=False),
        sa.Column("approved_by", sa.String(256), nullable=False),
        sa.Column("approved_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["rollout_uuid"], ["rollouts.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("rollout_uuid", "approved_by"),
    )


def downgrade() -> None:
    """Drop them, with all that is in them."""
    for table in (
        "rollout_approvals",
        "deployments",
        "rollouts",
        "join_tokens",
        "health_samples",
        "gateway_tokens",
        "gateway_instances",
        "gateway_health",
        "environment_settings",
        "revisions",
        "leases",
        "idempotent_answers",
        "audit_head",
        "audit",
    ):
        op.drop_table(table)
