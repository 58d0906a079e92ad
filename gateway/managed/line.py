"""The WebSocket to the control plane: heartbeats go out, and what is wanted comes in."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from gateway.control_messages import (
    ACK_SECONDS,
    CONNECT,
    DEAD_SECONDS,
    MOST_BYTES,
    PING_SECONDS,
    ConfigAvailable,
    ConnectionAck,
    Heartbeat,
    Wanted,
    read,
)
from gateway.managed.errors import CallError, NoWebSocketError

OPEN_SECONDS: Final = 10.0
MOST_SHOWN: Final = 200


class _Connect(connect):
    """Redirects are not followed: the token is for this server only."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Line:
    """One connection, which is open and greeted."""

    def __init__(self, socket: ClientConnection, greeting: ConnectionAck) -> None:
        self.gateway = greeting.gateway_id
        self._socket = socket

    @classmethod
    async def open(cls, url: str, token: str, ca: Path | None) -> Line:
        """Raises CallError."""
        try:
            tls = await asyncio.to_thread(ssl.create_default_context, cafile=ca) if url.startswith("wss:") else None
        except OSError as error:
            raise CallError(f"{ca} cannot be used: {error}; correct control_plane.ca") from None
        try:
            socket = await _Connect(
                url + CONNECT,
                ssl=tls,
                additional_headers={"api-key": token},
                proxy=None,
                open_timeout=OPEN_SECONDS,
                ping_interval=PING_SECONDS,
                ping_timeout=DEAD_SECONDS - PING_SECONDS,
                close_timeout=2,
                max_size=MOST_BYTES,
            )
        except InvalidStatus as error:
            raise _refused(error) from None
        except TimeoutError:
            raise NoWebSocketError(f"no WebSocket is opened within {OPEN_SECONDS:g} s") from None
        except OSError as error:
            raise CallError(error.strerror or str(error) or type(error).__name__) from None
        except (WebSocketException, ValueError, EOFError) as error:
            raise NoWebSocketError(f"no WebSocket is opened: {error}"[:MOST_SHOWN]) from None
        try:
            async with asyncio.timeout(ACK_SECONDS):
                greeting = read(ConnectionAck, await socket.recv())
        except (TimeoutError, ValueError, ConnectionClosed):
            await socket.close()
            raise NoWebSocketError("the WebSocket is opened, but the control plane does not greet") from None
        return cls(socket, greeting)

    async def say(self, heartbeat: Heartbeat) -> None:
        """Raises CallError."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._socket.send(json.dumps(heartbeat.wire()))
        except (TimeoutError, ConnectionClosed) as error:
            raise CallError(_ended(error)) from None

    async def hear(self, want: Callable[[Wanted], None], former: Callable[[], Wanted | None]) -> None:
        """Take what is wanted, until the connection ends. Raises CallError."""
        try:
            async for data in self._socket:
                wanted = _wanted(data, former())
                if wanted is not None:
                    want(wanted)
        except ConnectionClosed as error:
            raise CallError(_ended(error)) from None
        raise CallError(_ended(None))

    async def close(self) -> None:
        """End it."""
        await self._socket.close()


def _wanted(data: str | bytes, former: Wanted | None) -> Wanted | None:
    """The wanted revision in a message; None if it has none, or cannot be read."""
    try:
        message: Any = json.loads(data)
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "heartbeat.ack":
            return read(Wanted, data)
        if kind == "config.available":
            available = read(ConfigAvailable, data)
            said = available.model_dump(include={"revision", "wanted_at", "deployment_id"})
            return (former or Wanted()).model_copy(update={**said, "reapply": False, "upload": False})
    except (ValueError, RecursionError):
        return None
    return None


def _refused(error: InvalidStatus) -> CallError:
    status, body = error.response.status_code, error.response.body or b""
    try:
        said = json.loads(body)
        message = said.get("message") if isinstance(said, dict) else None
    except (ValueError, RecursionError):
        message = None
    words = f": {message}" if isinstance(message, str) and message.isprintable() else ""
    text = f"it answers {status}{words}"[:MOST_SHOWN]
    # A refusal of the token is one by any other way, too.
    return CallError(text, status) if status in (401, 403) else NoWebSocketError(text, status)


def _ended(error: Exception | None) -> str:
    received = error.rcvd if isinstance(error, ConnectionClosed) else None
    if received is not None and received.reason and received.reason.isprintable():
        return f"it closed the connection: {received.reason}"[:MOST_SHOWN]
    return "it does not read" if isinstance(error, TimeoutError) else "the connection ended"
