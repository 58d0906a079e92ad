"""/gateways/{id}/tokens and /join-tokens: the credentials of gateways. A token is shown once, when it is made."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy import select

from gateway.control_plane import audit, gateways
from gateway.control_plane.callers import WhoCalls
from gateway.control_plane.database.tables import GatewayToken
from gateway.control_plane.idempotency import IdempotentRoute
from gateway.control_plane.paging import Paged, page_of
from gateway.control_plane.plane import Plane, ThePlane
from gateway.control_plane.problems import Problem, documented
from gateway.control_plane.schemas import Answer, Body, Moment
from gateway.control_plane.tokens import MOST_TOKENS, holding, holds, issue

LONGEST: Final = 10 * 366 * 86400  # seconds that a token may hold

Seconds = Annotated[int, Field(strict=True, ge=1, le=LONGEST)]


class NewToken(Body):
    """A token of a gateway."""

    ttl: Seconds | None = Field(None, description="Seconds for which it holds; none: until it is revoked.")


class AnyToken(Answer):
    """What is shown of any kind of token, without what is secret of it."""

    id: str
    created_at: Moment
    created_by: str
    revoked_at: Moment | None


class TokenAnswer(AnyToken):
    """A token, without what is secret of it."""

    gateway_id: UUID
    expires_at: Moment | None
    last_used_at: Moment | None
    active: bool = Field(description="Whether it is valid.")

    @classmethod
    def of(cls, plane: Plane, row: GatewayToken) -> Self:
        """From a token."""
        return cls(
            id=row.id,
            gateway_id=row.gateway_uuid,
            created_at=row.created_at,
            created_by=row.created_by,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            last_used_at=row.last_used_at,
            active=holds(row, plane.now()),
        )


class Issued(Answer):
    """What is shown once, when a token is made."""

    token: str = Field(description="The token itself, which is not shown again.")


class IssuedToken(TokenAnswer, Issued):
    """A token that was made."""


class TokenList(Answer):
    """The tokens of a gateway."""

    tokens: list[TokenAnswer]
    total: int = Field(description="How many there are in all.")


router = APIRouter(tags=["tokens"], route_class=IdempotentRoute)


@router.post("/gateways/{id}/tokens", status_code=201, responses=documented(404, 409, 413, 415, 422))
async def create_gateway_token(
    plane: ThePlane, id: UUID, caller: WhoCalls, response: Response, body: NewToken | None = None
) -> IssuedToken:
    """Make a further token of a gateway; the others hold on, so that it can be exchanged without a gap."""
    now, ttl = plane.now(), body.ttl if body is not None else None
    async with plane.database.transaction() as session:
        gateway = await gateways.get(session, caller, id, lock=True)
        gateways.require(caller, "admin", (await gateways.environments_of(session, [id]))[id])
        if len(await holding(session, id, now)) >= MOST_TOKENS:
            raise Problem(409, f"the gateway has {MOST_TOKENS} valid tokens; revoke those that are not used")
        row, token = await issue(session, id, caller.name, now, None if ttl is None else timedelta(seconds=ttl))
        details = {"token": row.id, "gateway": gateway.name}
        await audit.record(session, caller, "token.create", f"gateways/{id}", details=details)
    response.headers["cache-control"] = "no-store"
    return IssuedToken(**TokenAnswer.of(plane, row).model_dump(), token=token)


@router.get("/gateways/{id}/tokens", responses=documented(404))
async def list_gateway_tokens(plane: ThePlane, id: UUID, caller: WhoCalls, page: Paged) -> TokenList:
    """The tokens of a gateway, the newest first, revoked ones included."""
    async with plane.database.reading() as session:
        await gateways.get(session, caller, id)
        query = select(GatewayToken).where(GatewayToken.gateway_uuid == id)
        ordered = query.order_by(GatewayToken.created_at.desc(), GatewayToken.id)
        rows, total = await page_of(session, ordered, page)
    return TokenList(tokens=[TokenAnswer.of(plane, row) for row in rows], total=total)


@router.delete("/gateways/{id}/tokens/{tokenId}", status_code=204, response_class=Response, responses=documented(404))
async def revoke_gateway_token(plane: ThePlane, id: UUID, tokenId: str, caller: WhoCalls) -> None:  # noqa: N803
    """Revoke a token: a gateway that is connected with it is let go within seconds."""
    identity = token_id(tokenId)
    async with plane.database.transaction() as session:
        gateway = await gateways.get(session, caller, id)
        gateways.require(caller, "admin", (await gateways.environments_of(session, [id]))[id])
        row = await session.get(GatewayToken, identity, with_for_update=True)
        if row is None or row.gateway_uuid != id:
            raise Problem(404, f"the gateway has no token {identity}")
        if row.revoked_at is None:
            row.revoked_at = plane.now()
            details = {"token": row.id, "gateway": gateway.name}
            await audit.record(session, caller, "token.revoke", f"gateways/{id}", details=details)
    plane.channel.revoked(identity)


def token_id(text: str) -> str:
    """The id of a token, as databases take it. Raises Problem."""
    if len(text) > 32 or not text.isascii() or not text.isalnum():
        raise Problem(404, "unknown token: the path has no valid identifier")
    return text
