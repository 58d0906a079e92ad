"""Operations for gateways, which authenticate with their tokens, in the header `api-key` or as a bearer token."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Final, TypeVar

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.bundles import MEDIA_TYPE, BundleError, is_digest, unpack
from gateway.bundles import MOST_BYTES as MOST_FILES
from gateway.control_messages import INSTANCE, DeploymentAck, Heartbeat, Join, Message, read
from gateway.control_messages import MOST_BYTES as MOST_MESSAGE
from gateway.control_plane.acknowledging import acknowledge
from gateway.control_plane.body_limit import SLOW, seconds_for
from gateway.control_plane.database.connection import DatabaseUnavailable
from gateway.control_plane.database.tables import Deployment, Revision
from gateway.control_plane.drift import uploaded
from gateway.control_plane.joining import join
from gateway.control_plane.lines import CROWDED, Line
from gateway.control_plane.plane import Plane, ThePlane
from gateway.control_plane.problems import NO_DATABASE, RETRY_SECONDS, Problem, answer
from gateway.control_plane.tokens import GatewayCaller
from gateway.control_plane.wanted import KIND

LONGEST_WAIT: Final = 30.0  # seconds of a long poll
SELF: Final = "self"  # in the place of the id of the gateway that asks
NO_TOKEN: Final = "send the token of the gateway in the header api-key, or as Authorization: Bearer TOKEN"
NOT_KNOWN: Final = "this token is not known here, was revoked, or has expired"

M = TypeVar("M", bound=Message)

router = APIRouter()


@router.websocket("/ws/gateways/connect")
async def connect(plane: ThePlane, socket: WebSocket) -> None:
    """The WebSocket of a gateway, until it ends."""
    try:
        line = Line(socket, await _caller(plane, socket))
    except Problem as problem:
        await socket.send_denial_response(answer(problem))
        return
    except DatabaseUnavailable:
        away = Problem(503, NO_DATABASE, headers={"retry-after": str(RETRY_SECONDS)})
        await socket.send_denial_response(answer(away))
        return
    await socket.accept()
    if not plane.channel.open(line):
        await socket.close(*CROWDED)
        return
    try:
        await line.serve(plane)
    except WebSocketDisconnect:
        pass
    finally:
        plane.channel.closed(line)


@router.post("/gateways/join")
async def join_gateway(plane: ThePlane, request: Request) -> Response:
    """Register the gateway that has a join token."""
    token, body = _shown(request), await _message(request, Join)
    async with plane.database.transaction() as session:
        joined = await join(session, token, body, plane.now())
    return _json(joined, 201)


@router.post("/gateways/{id}/heartbeat")
async def heartbeat(plane: ThePlane, id: str, request: Request) -> Response:
    """Take a heartbeat; the answer is the wanted revision."""
    caller = await _caller(plane, request, id)
    return _json(await plane.channel.heard(plane, caller, await _message(request, Heartbeat)))


@router.get("/gateways/{id}/revision")
async def wanted_revision(plane: ThePlane, id: str, request: Request) -> Response:
    """The wanted revision, as soon as it differs from `after`; 204 after a time-out."""
    caller = await _caller(plane, request, id)
    after = request.query_params.get("after", "")
    deadline = asyncio.get_running_loop().time() + _seconds(request.query_params.get("wait"))
    with plane.channel.wanted.changes(caller.gateway) as changed:
        while True:
            changed.clear()
            wanted = await plane.channel.wanted.of(plane.database, caller.gateway)
            if wanted.digest is not None and wanted.digest != after:
                return _json(wanted.answer)
            if not await _waited(changed, plane.ending, deadline) or await request.is_disconnected():
                return Response(status_code=204)
            caller = await _caller(plane, request, id)  # which may be revoked meanwhile


@router.post("/gateways/{id}/revision")
async def own_files(plane: ThePlane, id: str, request: Request) -> Response:
    """Its own files, which it was asked for: they are kept as a revision."""
    caller = await _caller(plane, request, id)
    try:
        packed = await _body(request, MOST_FILES)
        # A few bytes may unpack to many: not more of them at once than of other work on revisions.
        bundle = await plane.beside.run("unpacking of local files", partial(unpack, packed))
    except BundleError as error:
        error.__traceback__ = None  # which would keep what was unpacked until garbage is collected
        raise Problem(400, str(error)) from None
    digest = await uploaded(plane, caller.organization, caller.gateway, bundle)
    return JSONResponse({"revision": digest}, 201)


@router.get("/gateways/{id}/revisions/{digest}")
async def revision(plane: ThePlane, id: str, digest: str, request: Request) -> Response:
    """The bundle. Only what is, or was, meant for this gateway: it may be of another environment."""
    caller = await _caller(plane, request, id)
    wanted = await plane.channel.wanted.of(plane.database, caller.gateway)
    headers = {"etag": f'"{digest}"', "cache-control": "private, max-age=31536000, immutable"}
    packed = await _bundle(plane, caller, digest, wanted=digest == wanted.digest) if is_digest(digest) else None
    if packed is None:
        raise Problem(404, "there is no revision of this digest for this gateway")
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(packed, headers=headers, media_type=MEDIA_TYPE)


@router.delete("/gateways/{id}/instances/{instance}")
async def leave(plane: ThePlane, id: str, instance: str, request: Request) -> Response:
    """Forget an instance of the gateway, which ends."""
    caller = await _caller(plane, request, id)
    if INSTANCE.fullmatch(instance) is not None:
        await plane.channel.heartbeats.leave(plane.database, caller.gateway, instance)
    return Response(status_code=204)


@router.post("/gateways/{id}/deployments/ack")
async def acknowledged(plane: ThePlane, id: str, request: Request) -> Response:
    """Take the result of a wanted revision."""
    caller = await _caller(plane, request, id)
    await acknowledge(plane, caller, await _message(request, DeploymentAck))
    return Response(status_code=204)


def _shown(connection: HTTPConnection) -> str:
    """The token that a gateway shows: what is in `api-key` goes first. Raises Problem."""
    shown = set(connection.headers.getlist("api-key"))
    if not shown:
        pairs = [value.partition(" ") for value in connection.headers.getlist("authorization")]
        shown = {token.strip() if scheme.lower() == "bearer" else "" for scheme, _, token in pairs}
    if len(shown) != 1 or not (token := shown.pop().strip()):
        raise Problem(401, NO_TOKEN, headers={"www-authenticate": "Bearer"})
    return token


async def _caller(plane: Plane, connection: HTTPConnection, id: str | None = None) -> GatewayCaller:
    """Who asks. `id`: the gateway of the path, which must be the one that asks, or `self`. Raises Problem."""
    caller = await plane.channel.caller(plane.database, _shown(connection), plane.now())
    if caller is None:
        raise Problem(401, NOT_KNOWN, headers={"www-authenticate": 'Bearer error="invalid_token"'})
    if id is not None and id.lower() not in (SELF, str(caller.gateway)):
        raise Problem(403, "this token is of another gateway than the path names")
    return caller


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(seconds_for(most)):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise Problem(413, f"the body is larger than {most // 1024} KiB", headers={"connection": "close"})
    except TimeoutError:
        raise Problem(408, SLOW, headers={"connection": "close"}) from None
    return bytes(body)


async def _message(request: Request, kind: type[M]) -> M:
    try:
        return read(kind, await _body(request, MOST_MESSAGE))
    except ValueError as error:
        raise Problem(400, str(error)) from None


def _json(message: Message, status: int = 200) -> Response:
    content = message.model_dump_json(by_alias=True)
    return Response(content, status, {"cache-control": "no-store"}, media_type="application/json")


def _seconds(text: str | None) -> float:
    """Seconds of a long poll; the maximum if it is not a number."""
    try:
        seconds = float(text) if text is not None else LONGEST_WAIT
    except ValueError:
        seconds = LONGEST_WAIT
    return min(max(0.0, seconds), LONGEST_WAIT) if math.isfinite(seconds) else LONGEST_WAIT


async def _waited(changed: asyncio.Event, ending: asyncio.Event, deadline: float) -> bool:
    """Whether it has changed before the deadline, and before the process ends."""
    waits = [asyncio.create_task(changed.wait()), asyncio.create_task(ending.wait())]
    try:
        left = deadline - asyncio.get_running_loop().time()
        done, _ = await asyncio.wait(waits, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        return waits[0] in done
    finally:
        for wait in waits:
            wait.cancel()


async def _bundle(plane: Plane, caller: GatewayCaller, digest: str, *, wanted: bool) -> bytes | None:
    async with plane.database.reading() as session:
        if not wanted:
            deployed = select(Deployment.uuid).where(
                Deployment.gateway_uuid == caller.gateway, Deployment.kind == KIND, Deployment.revision == digest
            )
            if (await session.execute(deployed)).first() is None:
                return None
        row = await session.get(Revision, (caller.organization, digest))
        return None if row is None else row.files
