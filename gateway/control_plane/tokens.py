"""Credentials of gateways: tokens, of which each belongs to one gateway, and join tokens, with which they register.

A token is `fgw_<id>_<secret>` (`fgj_...` to join): it is found by its id, and only the SHA-256 of the whole is kept. A
secret has 32 random bytes, so that a plain hash is enough.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_messages import TOKEN
from gateway.control_plane.database.tables import Gateway, GatewayToken, JoinToken

Kind = Literal["fgw", "fgj"]

MOST_TOKENS: Final = 50  # of one gateway that hold at the same time


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token, which is shown once."""

    id: str
    token: str
    hash: str


@dataclass(frozen=True, slots=True)
class GatewayCaller:
    """The gateway that has shown a token."""

    gateway: UUID
    organization: UUID
    token: str  # its id
    expires_at: datetime | None


def mint(kind: Kind) -> Minted:
    """A token that cannot be guessed."""
    identity = secrets.token_hex(8)
    token = f"{kind}_{identity}_{secrets.token_urlsafe(32)}"
    return Minted(identity, token, hash_of(token))


def hash_of(token: str) -> str:
    """As it is kept."""
    return sha256(token.encode()).hexdigest()


def id_of(token: str, kind: Kind) -> str | None:
    """The id that a token is found by; None where it is no token of this kind."""
    match = TOKEN.fullmatch(token)
    return match[2] if match is not None and match[1] == kind else None


async def issue(
    session: AsyncSession, gateway: UUID, by: str, now: datetime, lifetime: timedelta | None = None
) -> tuple[GatewayToken, str]:
    """A further token of a gateway: the others hold on. Answers the row, and the token."""
    minted = mint("fgw")
    row = GatewayToken(
        id=minted.id,
        gateway_uuid=gateway,
        hash=minted.hash,
        created_at=now,
        created_by=by[:256],
        expires_at=None if lifetime is None else now + lifetime,
    )
    session.add(row)
    await session.flush()
    return row, minted.token


async def holding(session: AsyncSession, gateway: UUID, now: datetime) -> list[GatewayToken]:
    """The tokens of a gateway that can be used, the oldest first."""
    query = select(GatewayToken).where(GatewayToken.gateway_uuid == gateway, GatewayToken.revoked_at.is_(None))
    rows = (await session.scalars(query.order_by(GatewayToken.created_at, GatewayToken.id))).all()
    return [row for row in rows if holds(row, now)]


def holds(row: GatewayToken | JoinToken, now: datetime) -> bool:
    """Whether it can be used."""
    return row.revoked_at is None and (row.expires_at is None or now < row.expires_at)


async def find(session: AsyncSession, token: str, now: datetime) -> GatewayCaller | None:
    """The owner of this token; None if it is unknown or no longer valid."""
    identity = id_of(token, "fgw")
    if identity is None:
        return None
    query = select(GatewayToken, Gateway.organization_uuid).join(Gateway).where(GatewayToken.id == identity)
    found = (await session.execute(query)).one_or_none()
    if found is None or not compare_digest(found[0].hash, hash_of(token)) or not holds(found[0], now):
        return None
    row: GatewayToken = found[0]
    return GatewayCaller(row.gateway_uuid, found[1], row.id, row.expires_at)


async def issue_join(
    session: AsyncSession,
    organization: UUID,
    environment: UUID,
    by: str,
    now: datetime,
    lifetime: timedelta,
    most_uses: int,
) -> tuple[JoinToken, str]:
    """A token with which gateways register themselves. Answers the row, and the token."""
    minted = mint("fgj")
    row = JoinToken(
        id=minted.id,
        organization_uuid=organization,
        environment_uuid=environment,
        hash=minted.hash,
        created_at=now,
        created_by=by[:256],
        expires_at=now + lifetime,
        max_uses=most_uses,
        uses=0,
    )
    session.add(row)
    await session.flush()
    return row, minted.token


async def find_join(session: AsyncSession, token: str, now: datetime) -> JoinToken | None:
    """The join token that this is; None where there is none, or it holds no more, used up ones included."""
    identity = id_of(token, "fgj")
    row = None if identity is None else await session.get(JoinToken, identity)
    if row is None or not compare_digest(row.hash, hash_of(token)):
        return None
    return row if holds(row, now) and row.uses < row.max_uses else None


async def use_join(session: AsyncSession, row: JoinToken) -> bool:
    """Take one of its uses, of which there may be none left: others use it at the same time."""
    taking = update(JoinToken).where(
        JoinToken.id == row.id, JoinToken.uses < JoinToken.max_uses, JoinToken.revoked_at.is_(None)
    )
    done = await session.execute(taking.values(uses=JoinToken.uses + 1).returning(JoinToken.id))
    return done.scalar_one_or_none() is not None
