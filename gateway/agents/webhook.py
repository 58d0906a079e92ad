"""The webhook of the daemon: says at once that trust has changed, which is else noticed at the next look.

POST with `X-Pilot-Signature-256: sha256=HEX`, the HMAC-SHA256 of the body.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections.abc import Callable
from typing import Final

import orjson

logger = logging.getLogger("gateway.agents")

HEAD_MOST: Final = 16 * 1024  # bytes
BODY_MOST: Final = 64 * 1024
WITHIN: Final = 5.0  # seconds
AT_ONCE: Final = 16
AGAIN: Final = 2.0  # seconds until a port that is taken is tried again; trust is looked at meanwhile, too


async def webhook(address: str, secret: str, changed: Callable[[], None]) -> None:
    """Listen at `host:port` until cancelled; `changed` is called for what concerns trust."""
    host, _, port = address.rpartition(":")
    turn = asyncio.Semaphore(AT_ONCE)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with turn:
            with contextlib.suppress(
                TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
            ):
                async with asyncio.timeout(WITHIN):
                    status = await _answer(reader, secret, changed)
                    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                    await writer.drain()
            writer.close()

    said = False
    while True:
        try:
            server = await asyncio.start_server(serve, host.strip("[]"), int(port), limit=HEAD_MOST)
            break
        except OSError as error:
            if not said:
                logger.warning(
                    "the webhook of the daemon cannot be listened for at %s: %s; agents.webhook may have an address "
                    "for each role of a machine",
                    address,
                    error,
                )
            said = True
            await asyncio.sleep(AGAIN)
    async with server:
        await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, secret: str, changed: Callable[[], None]) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    length = headers.get("content-length", "")
    if not head[0].startswith("POST ") or not length.isascii() or not length.isdigit() or len(length) > 9:
        return "400 Bad Request"
    if int(length) > BODY_MOST:
        return "400 Bad Request"
    body = await reader.readexactly(int(length))
    signature = headers.get("x-pilot-signature-256", "").removeprefix("sha256=")
    wanted = hmac.new(secret.encode(), body, "sha256").hexdigest()
    if secret and not hmac.compare_digest(signature.encode(), wanted.encode()):
        return "401 Unauthorized"
    if _concerns_trust(body):
        changed()
    return "204 No Content"


def _concerns_trust(body: bytes) -> bool:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    event = found.get("event", found.get("type")) if isinstance(found, dict) else None
    return isinstance(event, str) and event.startswith(("trust.", "handshake."))
