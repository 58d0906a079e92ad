"""One WebSocket of a gateway: the greeting, heartbeats, wanted revisions, and its end when the token becomes
invalid."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway.control_messages import ConfigAvailable, ConnectionAck, DeploymentAck, Heartbeat, Message, read_document
from gateway.control_plane.acknowledging import acknowledge
from gateway.control_plane.database.connection import DatabaseUnavailable
from gateway.control_plane.schemas import on_the_wire
from gateway.control_plane.tokens import GatewayCaller

if TYPE_CHECKING:
    from gateway.control_plane.plane import Plane

REVOKED: Final = (1008, "the token is no longer valid")
GONE: Final = (1008, "the gateway is not known any more")
CROWDED: Final = (1013, "there are too many connections of this gateway")
FLOODED: Final = (1008, "too many messages")
ENDING: Final = (1012, "the control plane ends")

BURST: Final = 60.0  # messages that may come at once
PER_SECOND: Final = 5.0  # that may come for long


class Line:
    """One of them."""

    def __init__(self, socket: WebSocket, caller: GatewayCaller) -> None:
        self.id = str(uuid4())
        self.caller = caller
        self._socket = socket
        self._ending: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._allowance, self._at = BURST, time.monotonic()

    def end(self, code: int, reason: str) -> None:
        """Close it, soon."""
        if not self._ending.done():
            self._ending.set_result((code, reason))

    async def serve(self, plane: Plane) -> None:
        """Serve the connection until one side closes it."""
        now = plane.now()
        await self._say(
            ConnectionAck(gateway_id=str(self.caller.gateway), connection_id=self.id, timestamp=on_the_wire(now))
        )
        work: list[asyncio.Future[Any]] = [
            asyncio.create_task(self._hear(plane)),
            asyncio.create_task(self._send_wanted(plane)),
            asyncio.create_task(self._expire(now)),
            asyncio.create_task(plane.ending.wait()),
        ]
        try:
            await asyncio.wait([*work, self._ending], return_when=asyncio.FIRST_COMPLETED)
            if work[3].done():
                self.end(*ENDING)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        if self._ending.done() and self._socket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect):
                await self._socket.close(*self._ending.result())

    async def _hear(self, plane: Plane) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                at = time.monotonic()
                self._allowance = min(BURST, self._allowance + (at - self._at) * PER_SECOND) - 1
                self._at = at
                if self._allowance < 0:
                    self.end(*FLOODED)
                    return
                data = message.get("text")
                await self._answer(plane, data if data is not None else message.get("bytes") or b"")

    async def _answer(self, plane: Plane, data: str | bytes) -> None:
        try:
            message = orjson.loads(data)
            kind = message.get("type")
        except (ValueError, AttributeError):
            await self._refuse("expected a JSON object with a type")
            return
        try:
            if kind == "heartbeat":
                await self._say(await plane.channel.heard(plane, self.caller, read_document(Heartbeat, message)))
            elif kind == "deployment.ack":
                await acknowledge(plane, self.caller, read_document(DeploymentAck, message))
            # Others are of newer gateways, or of other ones.
        except ValueError as error:
            await self._refuse(str(error))
        except DatabaseUnavailable:
            await self._refuse("the database does not answer; go on with what there is, and say it again later")

    async def _refuse(self, message: str) -> None:
        await self._socket.send_text(orjson.dumps({"type": "error", "message": message[:500]}).decode())

    async def _send_wanted(self, plane: Plane) -> None:
        """Send the wanted revision, at the beginning and on each change."""
        sent = None
        with plane.channel.wanted.changes(self.caller.gateway) as changed:
            while True:
                changed.clear()
                try:
                    wanted = await plane.channel.wanted.of(plane.database, self.caller.gateway)
                except DatabaseUnavailable:
                    await asyncio.sleep(1.0)
                    continue
                if wanted.digest is not None and wanted.digest != sent:
                    sent = wanted.digest
                    said = ConfigAvailable(revision=wanted.digest, deployment_id=wanted.deployment, wanted_at=wanted.at)
                    await self._say(said)
                await changed.wait()

    async def _expire(self, now: datetime) -> None:
        if self.caller.expires_at is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(min(max(0.0, (self.caller.expires_at - now).total_seconds()), 30 * 86400.0))
            self.end(*REVOKED)

    async def _say(self, message: Message) -> None:
        await self._socket.send_text(message.model_dump_json(by_alias=True))
