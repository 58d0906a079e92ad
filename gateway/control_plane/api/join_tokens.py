"""/join-tokens: with which gateways register themselves. A token is shown once, when it is made."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AfterValidator, Field
from sqlalchemy import select

from gateway.control_plane import audit, environments
from gateway.control_plane.api.tokens import AnyToken, Issued, Seconds, token_id
from gateway.control_plane.callers import WhoCalls
from gateway.control_plane.database.tables import Environment, JoinToken
from gateway.control_plane.idempotency import IdempotentRoute
from gateway.control_plane.paging import Paged, page_of
from gateway.control_plane.plane import Plane, ThePlane
from gateway.control_plane.problems import Problem, documented
from gateway.control_plane.schemas import Answer, Body, Moment, clean
from gateway.control_plane.tokens import holds, issue_join

USUAL_JOIN: Final = 3600


class NewJoinToken(Body):
    """A token with which gateways register themselves."""

    environment: Annotated[
        str, Field(strict=True, max_length=64, description="Its name or its uuid."), AfterValidator(clean)
    ]
    ttl: Seconds = Field(USUAL_JOIN, description="Seconds for which it holds.")
    max_uses: Annotated[int, Field(strict=True, ge=1, le=100_000)] = Field(
        1, description="How many gateways may join with it."
    )


class JoinTokenAnswer(AnyToken):
    """A join token, without what is secret of it."""

    environment_id: UUID
    expires_at: Moment
    max_uses: int
    uses: int
    active: bool = Field(description="Whether it is valid, and may be used again.")

    @classmethod
    def of(cls, plane: Plane, row: JoinToken) -> Self:
        """From a join token."""
        return cls(
            id=row.id,
            environment_id=row.environment_uuid,
            created_at=row.created_at,
            created_by=row.created_by,
            expires_at=row.expires_at,
            max_uses=row.max_uses,
            uses=row.uses,
            revoked_at=row.revoked_at,
            active=holds(row, plane.now()) and row.uses < row.max_uses,
        )


class IssuedJoinToken(JoinTokenAnswer, Issued):
    """A join token that was made."""


class JoinTokenList(Answer):
    """A page of join tokens."""

    tokens: list[JoinTokenAnswer]
    total: int = Field(description="How many there are in all.")


router = APIRouter(tags=["tokens"], route_class=IdempotentRoute)


@router.post("/join-tokens", status_code=201, responses=documented(404, 413, 415, 422))
async def create_join_token(
    plane: ThePlane, body: NewJoinToken, caller: WhoCalls, response: Response
) -> IssuedJoinToken:
    """Make a token with which gateways register themselves in an environment."""
    async with plane.database.transaction() as session:
        environment = await environments.find(session, caller, body.environment)
        caller.require("admin", environment.name)
        lifetime = timedelta(seconds=body.ttl)
        row, token = await issue_join(
            session, caller.organization, environment.uuid, caller.name, plane.now(), lifetime, body.max_uses
        )
        details = {"environment": environment.name, "maxUses": body.max_uses, "ttl": body.ttl}
        await audit.record(session, caller, "join-token.create", f"join-tokens/{row.id}", details=details)
    response.headers["cache-control"] = "no-store"
    response.headers["location"] = f"/api/v1/join-tokens/{row.id}"
    return IssuedJoinToken(**JoinTokenAnswer.of(plane, row).model_dump(), token=token)


@router.get("/join-tokens", responses=documented())
async def list_join_tokens(plane: ThePlane, caller: WhoCalls, page: Paged) -> JoinTokenList:
    """The join tokens of environments that the caller may see, the newest first."""
    async with plane.database.reading() as session:
        seen = environments.seen_by(caller).order_by(None).with_only_columns(Environment.uuid)
        query = select(JoinToken).where(JoinToken.environment_uuid.in_(seen))
        rows, total = await page_of(session, query.order_by(JoinToken.created_at.desc(), JoinToken.id), page)
    return JoinTokenList(tokens=[JoinTokenAnswer.of(plane, row) for row in rows], total=total)


@router.delete("/join-tokens/{tokenId}", status_code=204, response_class=Response, responses=documented(404))
async def revoke_join_token(plane: ThePlane, tokenId: str, caller: WhoCalls) -> None:  # noqa: N803
    """Revoke a join token. Gateways that have joined with it have tokens of their own, and keep them."""
    identity = token_id(tokenId)
    async with plane.database.transaction() as session:
        row = await session.get(JoinToken, identity, with_for_update=True)
        if row is None or row.organization_uuid != caller.organization:
            raise Problem(404, f"there is no join token {identity}")
        environment = await environments.get(session, caller, row.environment_uuid)
        caller.require("admin", environment.name)
        if row.revoked_at is None:
            row.revoked_at = plane.now()
            await audit.record(
                session,
                caller,
                "join-token.revoke",
                f"join-tokens/{row.id}",
                details={"environment": environment.name},
            )
