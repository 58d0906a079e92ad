"""The tables. What the first migrations make of `environments`, `gateways` and their mappings is the public schema."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Document = JSON().with_variant(JSONB(), "postgresql")


class Moment(TypeDecorator[datetime]):
    """A time: with its zone in Python, and as UTC without one in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return value if value is None else value.replace(tzinfo=UTC)


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class Table(DeclarativeBase):
    """Common base of all tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: Moment(),
        UUID: Uuid(),
        dict[str, Any]: Document,
    }


class Organization(Table):
    """Whose environments and gateways these are."""

    __tablename__ = "organizations"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now, server_default=func.now())


class Environment(Table):
    """A stage of deployment, such as production."""

    __tablename__ = "environments"
    __table_args__ = (
        UniqueConstraint("organization_uuid", "name"),
        Index("idx_environments_org", "organization_uuid"),
    )

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    organization_uuid: Mapped[UUID] = mapped_column(ForeignKey("organizations.uuid"))
    name: Mapped[str] = mapped_column(String(64))
    display_name: Mapped[str] = mapped_column(String(128))
    description: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now, server_default=func.now())


class Gateway(Table):
    """A gateway, or several that are the same behind one address. How it is stands in `gateway_health` and
    `gateway_instances`, so that nothing writes here all the time."""

    __tablename__ = "gateways"
    __table_args__ = (
        UniqueConstraint("organization_uuid", "name"),
        CheckConstraint("gateway_type IN ('INGRESS', 'EGRESS')"),
        CheckConstraint("status IN ('ACTIVE', 'INACTIVE', 'PROVISIONING', 'ERROR')"),
        Index("idx_gateways_type", "gateway_type"),
        Index("idx_gateways_status", "status"),
        Index("idx_gateways_org_type", "organization_uuid", "gateway_type"),
    )

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    organization_uuid: Mapped[UUID] = mapped_column(ForeignKey("organizations.uuid"))
    name: Mapped[str] = mapped_column(String(64))
    display_name: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(default=now, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now, server_default=func.now())
    gateway_type: Mapped[str] = mapped_column(String(16), default="INGRESS", server_default="INGRESS")
    control_plane_url: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(32), default="ACTIVE", server_default="ACTIVE")
    region: Mapped[str | None] = mapped_column(String(64))
    adapter_config: Mapped[dict[str, Any] | None]  # without credentials; those are sealed under "sealedCredentials"
    endpoint: Mapped[str | None] = mapped_column(Text)


class GatewayEnvironment(Table):
    """Membership of a gateway in an environment."""

    __tablename__ = "gateway_environment_mappings"
    __table_args__ = (
        UniqueConstraint("gateway_uuid", "environment_uuid"),
        Index("idx_gem_gateway", "gateway_uuid"),
        Index("idx_gem_environment", "environment_uuid"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    gateway_uuid: Mapped[UUID] = mapped_column(ForeignKey("gateways.uuid", ondelete="CASCADE"))
    environment_uuid: Mapped[UUID] = mapped_column(ForeignKey("environments.uuid", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=now, server_default=func.now())


class EnvironmentSettings(Table):
    """Delivery settings of an environment: the wanted revision of its gateways, and the policy for drift."""

    __tablename__ = "environment_settings"
    __table_args__ = (CheckConstraint("drift_policy IN ('report', 'reapply', 'adopt')"),)

    environment_uuid: Mapped[UUID] = mapped_column(
        ForeignKey("environments.uuid", ondelete="CASCADE"), primary_key=True
    )
    drift_policy: Mapped[str] = mapped_column(String(16), default="report", server_default="report")
    approvals: Mapped[int] = mapped_column(default=0, server_default="0")  # that a rollout needs
    digest: Mapped[str | None] = mapped_column(String(64))  # of the revision that is in force; None: none yet
    updated_at: Mapped[datetime] = mapped_column(default=now, server_default=func.now())


class GatewayToken(Table):
    """A credential of one gateway; of the token itself, only its hash is here."""

    __tablename__ = "gateway_tokens"
    __table_args__ = (Index("idx_gateway_tokens_gateway", "gateway_uuid"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    gateway_uuid: Mapped[UUID] = mapped_column(ForeignKey("gateways.uuid", ondelete="CASCADE"))
    hash: Mapped[str] = mapped_column(String(64))  # SHA-256, hexadecimal
    created_at: Mapped[datetime] = mapped_column(default=now)
    created_by: Mapped[str] = mapped_column(String(256))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class JoinToken(Table):
    """A credential with which gateways register themselves in an environment."""

    __tablename__ = "join_tokens"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    organization_uuid: Mapped[UUID] = mapped_column(ForeignKey("organizations.uuid"))
    environment_uuid: Mapped[UUID] = mapped_column(ForeignKey("environments.uuid", ondelete="CASCADE"))
    hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    created_by: Mapped[str] = mapped_column(String(256))
    expires_at: Mapped[datetime]
    max_uses: Mapped[int]
    uses: Mapped[int] = mapped_column(default=0)
    revoked_at: Mapped[datetime | None]


class GatewayInstance(Table):
    """One process of a gateway, as its last heartbeat described it."""

    __tablename__ = "gateway_instances"

    gateway_uuid: Mapped[UUID] = mapped_column(ForeignKey("gateways.uuid", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_heartbeat_at: Mapped[datetime] = mapped_column(index=True)
    revision: Mapped[str | None] = mapped_column(String(64))  # digest of what it runs
    source: Mapped[str | None] = mapped_column(String(32))  # "control-plane", "local file", "last good"
    drifted_since: Mapped[datetime | None]  # since when it has run another revision than wanted
    report: Mapped[dict[str, Any]]  # the whole heartbeat: version, uptime, last error, rates


class GatewayHealth(Table):
    """The result of the last probe of a gateway."""

    __tablename__ = "gateway_health"

    gateway_uuid: Mapped[UUID] = mapped_column(ForeignKey("gateways.uuid", ondelete="CASCADE"), primary_key=True)
    checked_at: Mapped[datetime]
    succeeded_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)  # in a row
    response_ms: Mapped[float | None]
    error_message: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(String(32))  # of the failure: "timeout", "refused", "status", ...
    probed_url: Mapped[str | None] = mapped_column(Text)  # the one that worked


class HealthSample(Table):
    """One probe, kept for a day."""

    __tablename__ = "health_samples"
    __table_args__ = (Index("idx_health_samples_time", "checked_at"),)

    gateway_uuid: Mapped[UUID] = mapped_column(ForeignKey("gateways.uuid", ondelete="CASCADE"), primary_key=True)
    checked_at: Mapped[datetime] = mapped_column(primary_key=True)
    healthy: Mapped[bool]
    response_ms: Mapped[float | None]
    reason: Mapped[str | None] = mapped_column(String(32))


class Lease(Table):
    """Which of several control planes does a work that only one may do (leases.py)."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(128))  # empty: given up
    term: Mapped[int] = mapped_column(BigInteger)  # grows whenever it changes hands
    beat: Mapped[int] = mapped_column(BigInteger)  # grows as long as the holder lives
    renewed_at: Mapped[datetime]  # for people: nothing goes by it


class Revision(Table):
    """A configuration, whole, by the digest of its files. Never changed."""

    __tablename__ = "revisions"

    organization_uuid: Mapped[UUID] = mapped_column(ForeignKey("organizations.uuid"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    files: Mapped[bytes] = mapped_column(LargeBinary)  # the bundle, as it is sent (bundles.py)
    size: Mapped[int]  # bytes of the files
    author: Mapped[str] = mapped_column(String(256))
    message: Mapped[str] = mapped_column(Text, default="")
    parent: Mapped[str | None] = mapped_column(String(64))
    warnings: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)


_ACTIVE = "state IN ('pending', 'running', 'paused')"


class Rollout(Table):
    """A revision on its way to the gateways of an environment. At most one of each environment is active."""

    __tablename__ = "rollouts"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'running', 'paused', 'done', 'rolled_back', 'failed')"),
        ForeignKeyConstraint(["organization_uuid", "digest"], ["revisions.organization_uuid", "revisions.digest"]),
        Index(
            "idx_rollouts_active",
            "environment_uuid",
            unique=True,
            postgresql_where=text(_ACTIVE),
            sqlite_where=text(_ACTIVE),
        ),
        Index("idx_rollouts_environment", "environment_uuid", "created_at"),
    )

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    organization_uuid: Mapped[UUID]
    environment_uuid: Mapped[UUID] = mapped_column(ForeignKey("environments.uuid", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(64))
    previous: Mapped[str | None] = mapped_column(String(64))  # the digest that a roll-back goes to
    state: Mapped[str] = mapped_column(String(16), default="pending")
    strategy: Mapped[dict[str, Any]]  # canary, wait, guard: as it was asked for
    progress: Mapped[dict[str, Any]]  # where it is: what it needs to go on after a restart
    reason: Mapped[str | None] = mapped_column(Text)  # of its last change of state
    created_by: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class RolloutApproval(Table):
    """One approval of a rollout."""

    __tablename__ = "rollout_approvals"

    rollout_uuid: Mapped[UUID] = mapped_column(ForeignKey("rollouts.uuid", ondelete="CASCADE"), primary_key=True)
    approved_by: Mapped[str] = mapped_column(String(256), primary_key=True)
    approved_at: Mapped[datetime] = mapped_column(default=now)


class Deployment(Table):
    """A deployment: the configuration of a Flowmaster gateway, or a provider or proxy of another."""

    __tablename__ = "deployments"
    __table_args__ = (
        UniqueConstraint("gateway_uuid", "kind", "resource"),
        CheckConstraint("state IN ('pending', 'deployed', 'failed', 'undeployed')"),
        Index("idx_deployments_gateway", "gateway_uuid", "state"),
    )

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    gateway_uuid: Mapped[UUID] = mapped_column(ForeignKey("gateways.uuid", ondelete="CASCADE"))
    environment_uuid: Mapped[UUID | None] = mapped_column(ForeignKey("environments.uuid", ondelete="SET NULL"))
    rollout_uuid: Mapped[UUID | None] = mapped_column(ForeignKey("rollouts.uuid", ondelete="SET NULL"))
    kind: Mapped[str] = mapped_column(String(32))  # "configuration", or of an adapter: "llm-provider", "llm-proxy", ...
    resource: Mapped[str] = mapped_column(String(128))
    revision: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default="pending")
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class AuditRecord(Table):
    """One line of the audit log of an organization, which names the one before it by its hash (audit_chain.py)."""

    __tablename__ = "audit"

    organization_uuid: Mapped[UUID] = mapped_column(primary_key=True)  # nil if the caller is not known
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(index=True)
    line: Mapped[str] = mapped_column(Text)


class AuditHead(Table):
    """The end of an organization's log; locked by a writer until the end of its transaction."""

    __tablename__ = "audit_head"

    organization_uuid: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))


class IdempotentAnswer(Table):
    """The answer to a request with an `Idempotency-Key`, kept for a day."""

    __tablename__ = "idempotent_answers"

    organization_uuid: Mapped[UUID] = mapped_column(primary_key=True)
    caller: Mapped[str] = mapped_column(String(256), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]  # None: the request is still being answered
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
