"""`Idempotency-Key`: a POST that is repeated because its answer was lost has its effect once.

The first request with a key claims it; its answer, sealed because it may have a token, is kept for a day. A request
that failed had no effect, so its key is free again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.adapters.protocol import AdapterError
from gateway.control_plane.callers import caller_of
from gateway.control_plane.database.connection import DatabaseUnavailable
from gateway.control_plane.database.tables import IdempotentAnswer
from gateway.control_plane.plane import Plane
from gateway.control_plane.problems import Problem

logger = logging.getLogger("gateway.control_plane")

HEADER: Final = "idempotency-key"
KEPT: Final = timedelta(hours=24)
ABANDONED: Final = timedelta(minutes=10)  # after which a request without an answer is one whose process died
MOST_BYTES: Final = 64 * 1024  # of an answer that is kept
MOST_KEYS: Final = 10_000  # of one caller
SWEEP_SECONDS: Final = 600.0
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS: Final = frozenset({"content-type", "etag", "location"})

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_Name = tuple[UUID, str, str]  # organization, caller, key


class IdempotentRoute(APIRoute):
    """A route whose POST may be repeated."""

    def get_route_handler(self) -> _Handler:
        handler = super().get_route_handler()
        if "POST" not in (self.methods or ()):
            return handler

        async def idempotent(request: Request) -> Response:
            if HEADER not in request.headers:
                return await handler(request)
            plane: Plane = request.app.state.plane
            key = request.headers[HEADER]
            if len(request.headers.getlist(HEADER)) > 1 or not _KEY.fullmatch(key):
                raise Problem(
                    400, "Idempotency-Key: expected one key of at most 255 printable characters, such as a UUID"
                )
            caller = await caller_of(request)
            name = (caller.organization, caller.name, key)
            # The body may hold a password: a plain hash of it would let those who have the database try guesses.
            line = f"{request.method} {request.url.path}?{request.url.query}\n"
            digest = plane.keys.fingerprint(line.encode() + await request.body())
            if (former := await _claim(plane, name, digest)) is not None:
                return former
            try:
                response = await handler(request)
            except BaseException:
                await asyncio.shield(_release(plane, name))
                raise
            await _keep(plane, name, response)
            return response

        return idempotent


async def _claim(plane: Plane, name: _Name, digest: str) -> Response | None:
    """The answer that there is already; None: the key is ours now. Raises Problem."""
    try:
        async with plane.database.transaction() as session:
            found = await session.get(IdempotentAnswer, name, with_for_update=True)
            if found is not None:
                age = plane.now() - found.created_at
                if age <= KEPT and (found.status is not None or age <= ABANDONED):
                    return _former(plane, found, digest)
                await session.delete(found)
                await session.flush()
            await _make_room(session, name)
            organization, caller, key = name
            session.add(
                IdempotentAnswer(
                    organization_uuid=organization, caller=caller, key=key, request_hash=digest, created_at=plane.now()
                )
            )
            await session.flush()
    except IntegrityError:
        raise _in_progress() from None
    return None


def _former(plane: Plane, found: IdempotentAnswer, digest: str) -> Response:
    if found.request_hash != digest:
        raise Problem(422, "this Idempotency-Key was used for another request; take a new one")
    if found.status is None:
        raise _in_progress()
    try:
        body = plane.keys.open((found.body or b"").decode())["body"]
    except AdapterError:
        raise Problem(409, "this was done, but its answer was sealed with a key that is not here any more") from None
    return Response(body.encode(), found.status, {**(found.headers or {}), "idempotency-replayed": "true"})


def _in_progress() -> Problem:
    message = "the first request with this Idempotency-Key is still being answered; repeat this one a little later"
    return Problem(409, message, headers={"retry-after": "1"})


async def _make_room(session: AsyncSession, name: _Name) -> None:
    """Forget the oldest of a caller that has too many."""
    organization, caller, _ = name
    theirs = (IdempotentAnswer.organization_uuid == organization, IdempotentAnswer.caller == caller)
    count = (await session.execute(select(func.count()).select_from(IdempotentAnswer).where(*theirs))).scalar_one()
    if count >= MOST_KEYS:
        oldest = select(IdempotentAnswer.created_at).where(*theirs).order_by(IdempotentAnswer.created_at)
        until = (await session.execute(oldest.offset(MOST_KEYS // 10).limit(1))).scalar_one()
        await session.execute(delete(IdempotentAnswer).where(*theirs, IdempotentAnswer.created_at < until))


async def _keep(plane: Plane, name: _Name, response: Response) -> None:
    """A completed operation is answered, also if the database has become unavailable meanwhile."""
    body = bytes(getattr(response, "body", b""))
    if response.status_code >= 400 or len(body) > MOST_BYTES:
        await _release(plane, name)
        return
    headers = {key: value for key, value in response.headers.items() if key in _KEPT_HEADERS}
    sealed = plane.keys.seal({"body": body.decode()}).encode()
    kept = update(IdempotentAnswer).where(*_is(name)).values(status=response.status_code, headers=headers, body=sealed)
    try:
        async with plane.database.transaction() as session:
            await session.execute(kept)
    except DatabaseUnavailable as error:
        logger.warning("the answer to a request with an Idempotency-Key is not kept: %s", error)


async def _release(plane: Plane, name: _Name) -> None:
    """Free the key. If the database is unavailable, it becomes free when it counts as abandoned."""
    with suppress(DatabaseUnavailable):
        async with plane.database.transaction() as session:
            await session.execute(delete(IdempotentAnswer).where(*_is(name), IdempotentAnswer.status.is_(None)))


def _is(name: _Name) -> tuple[Any, ...]:
    organization, caller, key = name
    return (
        IdempotentAnswer.organization_uuid == organization,
        IdempotentAnswer.caller == caller,
        IdempotentAnswer.key == key,
    )


async def sweep(plane: Plane) -> None:
    """Forget what is older than a day; without end."""
    while True:
        try:
            async with plane.database.transaction() as session:
                await session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at < plane.now() - KEPT))
        except DatabaseUnavailable as error:
            logger.warning("answers that are too old are kept for now: %s", error)
        await asyncio.sleep(SWEEP_SECONDS)
