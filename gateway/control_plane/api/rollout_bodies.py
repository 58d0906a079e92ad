"""Requests and answers about rollouts."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, WithJsonSchema

from gateway.control_plane.database.tables import Environment, Rollout
from gateway.control_plane.rollouts import Guard, Strategy, strategy_of
from gateway.control_plane.schemas import Answer, Body, Moment

MOST_SECONDS: Final = 1_000_000
_DURATION: Final = r"^([0-9]{1,6}(ms|s)|[0-9]{1,4}m|[0-9]{1,2}h)$"
_PERCENT: Final = r"^(100|[0-9]{1,2}(\.[0-9]{1,3})?)%$"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(value: Any) -> float:
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,6})(ms|s|m|h)", value, re.ASCII)):
        value = int(match[1]) * _UNITS[match[2]]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MOST_SECONDS:
        raise ValueError("expected a duration such as 500ms, 30s, 5m or 1h, or a number of seconds, of at most 11 days")
    return float(value)


def _share(value: Any) -> float:
    if isinstance(value, str) and re.fullmatch(_PERCENT, value, re.ASCII):
        value = float(value[:-1]) / 100
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError("expected a percentage such as 5%, or a number from 0 to 1")
    return float(value)


def _canary(value: Any) -> int | str:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SECONDS
    if is_count or (isinstance(value, str) and re.fullmatch(_PERCENT, value, re.ASCII)):
        canary: int | str = value
        return canary
    raise ValueError("expected a number of gateways, at least 1, or a percentage of them such as 10%")


def _either(pattern: str, kind: str, least: int, most: int) -> WithJsonSchema:
    number = {"type": kind, "minimum": least, "maximum": most}
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": pattern}, number]})


Seconds = Annotated[float, BeforeValidator(_seconds), _either(_DURATION, "number", 0, MOST_SECONDS)]
Share = Annotated[float, BeforeValidator(_share), _either(_PERCENT, "number", 0, 1)]
Canary = Annotated[int | str, BeforeValidator(_canary), _either(_PERCENT, "integer", 1, MOST_SECONDS)]
Beginning = Annotated[
    str, Field(pattern=r"^[0-9a-f]{6,64}$", description="The digest of a revision, or enough of its beginning.")
]


class GuardBody(Body):
    """Limits for canaries, after which the rollout is rolled back. null: not checked."""

    error_rate: Share | None = Field(0.05, description="Requests that fail, of all.")
    p95: Seconds | None = Field(None, description="How long the slowest 5% take at least.")
    error_rate_over_rest: Share | None = Field(None, description="Over what fails at the other gateways.")
    p95_over_rest: Annotated[float, Field(ge=1, le=1000)] | None = Field(None, description="Times that of the others.")
    min_requests: Annotated[int, Field(strict=True, ge=1, le=10**9)] | None = Field(
        None, description="That canaries must have answered before the rest follows. Without it, time is enough."
    )

    def guard(self) -> Guard:
        """The guard of the state machine."""
        return Guard(self.error_rate, self.p95, self.error_rate_over_rest, self.p95_over_rest, self.min_requests)


class StrategyBody(Body):
    """How a revision is brought to the gateways of an environment."""

    canary: Canary | None = Field(None, description="How many gateways take it first. Without it and `wait`: all.")
    wait: Seconds = Field(0.0, description="How long they are watched before the rest follows.")
    guard: GuardBody = GuardBody()
    timeout: Seconds = Field(600.0, description="How long gateways may need to take it.")

    def strategy(self, approvals: int) -> Strategy:
        """The strategy of the state machine."""
        percent = isinstance(self.canary, str)
        return Strategy(
            canary_count=self.canary if isinstance(self.canary, int) else None,
            canary_share=_share(self.canary) if percent else None,
            wait=self.wait,
            guard=self.guard.guard(),
            approvals=approvals,
            timeout=self.timeout,
        )


class NewRollout(StrategyBody):
    """A revision on its way."""

    revision: Beginning


class NewPromotion(StrategyBody):
    """A promotion of the revision of another environment to this one."""

    source: str = Field(alias="from", min_length=1, max_length=64, description="The name or uuid of an environment.")


class NewRollback(Body):
    """Back to a revision, at all gateways at once."""

    revision: Beginning | None = Field(None, description="Without it: the one that was in force before.")


class DeliveryChange(Body):
    """The changes; members that are absent are kept."""

    drift_policy: Literal["report", "reapply", "adopt"] | None = None
    approvals: Annotated[int, Field(strict=True, ge=0, le=10)] | None = None


class EnvironmentDelivery(Answer):
    """Delivery settings of an environment."""

    environment_id: UUID
    revision: str | None = Field(description="The digest of the revision in force; null: none yet.")
    drift_policy: str = Field(
        description="The policy for gateways with local files: `report`, `reapply` the revision, `adopt` the files."
    )
    approvals: int = Field(description="How many people must approve a rollout, beside the one who begins it.")


class GuardAnswer(Answer):
    """Limits for canaries. Shares from 0 to 1; seconds."""

    error_rate: float | None
    p95: float | None
    error_rate_over_rest: float | None
    p95_over_rest: float | None
    min_requests: int | None


class StrategyAnswer(Answer):
    """How a revision is brought to the gateways of an environment. Seconds."""

    canary: int | str | None
    wait: float
    guard: GuardAnswer
    approvals: int
    timeout: float


class RolloutAnswer(Answer):
    """A revision on its way to the gateways of an environment."""

    uuid: UUID
    environment_id: UUID
    environment: str
    revision: str
    previous: str | None = Field(description="The former revision.")
    state: str = Field(description="`pending`, `running`, `paused`, `done`, `rolled_back` or `failed`.")
    phase: str = Field(
        description="`canary`, `taking`, `judging`, `rest` or `settling`; of one that has ended, the last."
    )
    reason: str | None = Field(description="The awaited condition, or why it ended.")
    canaries: list[UUID] = Field(description="The gateways that took it first.")
    assigned: list[UUID] = Field(description="The gateways that are to run it.")
    waited: float = Field(description="Seconds in this phase.")
    strategy: StrategyAnswer
    approved_by: list[str]
    created_by: str
    created_at: Moment
    updated_at: Moment


class RolloutList(Answer):
    """A page of rollouts."""

    rollouts: list[RolloutAnswer]
    total: int = Field(description="How many there are in all.")


def shown(row: Rollout, environment: Environment, approved_by: list[str]) -> RolloutAnswer:
    """The rollout for answers."""
    strategy, progress = strategy_of(row.strategy), row.progress
    share = strategy.canary_share
    return RolloutAnswer(
        uuid=row.uuid,
        environment_id=row.environment_uuid,
        environment=environment.name,
        revision=row.digest,
        previous=row.previous,
        state=row.state,
        phase=progress.get("phase", "canary"),
        reason=row.reason,
        canaries=progress.get("canaries", []),
        assigned=progress.get("assigned", []),
        waited=progress.get("waited", 0.0),
        strategy=StrategyAnswer(
            canary=strategy.canary_count if share is None else f"{share * 100:g}%",
            wait=strategy.wait,
            guard=GuardAnswer.model_validate(strategy.guard, from_attributes=True),
            approvals=strategy.approvals,
            timeout=strategy.timeout,
        ),
        approved_by=approved_by,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
