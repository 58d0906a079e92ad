"""A gateway that registers itself with a join token, and gets a token of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_messages import Join, Joined
from gateway.control_plane import audit
from gateway.control_plane.database.tables import Gateway, GatewayEnvironment, JoinToken
from gateway.control_plane.problems import FieldError, Problem
from gateway.control_plane.tokens import MOST_TOKENS, find_join, holding, issue, use_join

JOINED: Final = "joinedEnvironment"
"""The key of adapterConfig that says with whose join token a gateway has registered itself."""

NOT_KNOWN: Final = "this join token is not known here, was revoked, has expired, or was used as often as it may be"


async def join(session: AsyncSession, token: str, body: Join, now: datetime) -> Joined:
    """Register the gateway, or know it again, and issue its token. Raises Problem.

    A gateway that has lost its token may come again under its name, with a join token of the same environment: so one
    of another environment cannot take over a name.
    """
    row = await find_join(session, token, now)
    if row is None or not await use_join(session, row):
        raise Problem(401, NOT_KNOWN)
    gateway = await _gateway(session, row, body)
    held = await holding(session, gateway.uuid, now)
    for former in held[: max(0, len(held) + 1 - MOST_TOKENS)]:
        former.revoked_at = now
    issued, secret = await issue(session, gateway.uuid, f"join-token:{row.id}", now)
    details = {"name": gateway.name, "environment": str(row.environment_uuid), "token": issued.id}
    organization = row.organization_uuid
    subject = f"gateways/{gateway.uuid}"
    await audit.record(
        session, f"join-token:{row.id}", "gateway.join", subject, details=details, organization=organization
    )
    return Joined(gateway_id=str(gateway.uuid), name=gateway.name, token=secret)


async def _gateway(session: AsyncSession, token: JoinToken, body: Join) -> Gateway:
    query = select(Gateway).where(Gateway.organization_uuid == token.organization_uuid, Gateway.name == body.name)
    found = (await session.scalars(query)).one_or_none()
    if found is None:
        made = Gateway(
            organization_uuid=token.organization_uuid,
            name=body.name,
            display_name=body.name,
            gateway_type=body.gateway_type,
            status="ACTIVE",
            adapter_config={"kind": "flowmaster", JOINED: str(token.environment_uuid)},
        )
        try:
            async with session.begin_nested():
                session.add(made)
                await session.flush()
                session.add(GatewayEnvironment(gateway_uuid=made.uuid, environment_uuid=token.environment_uuid))
                await session.flush()
        except IntegrityError:  # another one was faster
            raise _taken(body.name) from None
        return made
    if (found.adapter_config or {}).get(JOINED) != str(token.environment_uuid):
        raise _taken(body.name)
    return found


def _taken(name: str) -> Problem:
    message = f"there is another gateway with the name {name}; set control_plane.name of this one"
    return Problem(409, message, [FieldError("name", message)])
