"""A backend in a process of its own, to be killed, stopped, and made to misbehave: `python -m tests.gamedays.backend`.

It answers `ok`, after `delay` seconds; with a 500 to `errors` percent of the requests; piece by piece with `drip`
seconds between two bytes; and closes connections that have been idle for `idle` seconds, as Node.js does. What comes in
the `lag` seconds between its decision to close and the close is lost. `POST /control` with a query changes all that:
`/control?errors=50`. Its health check is `/health`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from tests.upstream.wire import read_message


@dataclass
class Behaviour:
    """What it does, until that is changed."""

    delay: float = 0.0
    errors: float = 0.0  # per cent
    drip: float = 0.0
    idle: float = 3600.0
    lag: float = 0.0
    requests: int = 0


async def serve(behaviour: Behaviour, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            try:
                async with asyncio.timeout(behaviour.idle):
                    message = await read_message(reader)
            except TimeoutError:
                await asyncio.sleep(behaviour.lag)
                break
            await _answer(behaviour, urlsplit(message.start.split()[1]), writer)
    writer.close()


async def _answer(behaviour: Behaviour, target: object, writer: asyncio.StreamWriter) -> None:
    path, query = target.path, target.query  # type: ignore[attr-defined]
    if path == "/control":
        for key, value in parse_qsl(query):
            setattr(behaviour, key, float(value))
    elif path != "/health":
        behaviour.requests += 1
        if behaviour.delay:
            await asyncio.sleep(behaviour.delay)
    wrong = path != "/control" and random.random() * 100 < behaviour.errors
    status, body = ("500 Internal Server Error", b"no") if wrong else ("200 OK", b"ok")
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    if behaviour.drip and path not in ("/control", "/health"):
        for byte in head + body:
            writer.write(bytes([byte]))
            await asyncio.sleep(behaviour.drip)
    else:
        writer.write(head + body)


async def main(port: int, settings: list[str]) -> None:
    behaviour = Behaviour()
    for setting in settings:
        key, _, value = setting.partition("=")
        setattr(behaviour, key, float(value))
    server = await asyncio.start_server(lambda r, w: serve(behaviour, r, w), "127.0.0.1", port, backlog=2048)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
