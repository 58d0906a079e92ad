"""The webhook of a daemon, as version 1.18.0 sends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx2
import pytest

from gateway.agents.webhook import webhook
from tests.support import eventually, free_port

RECORDED = (
    b'{"event_id":10,"event":"trust.changed","node_id":1,"timestamp":"2026-11-26T18:38:51.71921389Z",'
    b'"data":{"peer_node_id":2,"reason":"by_peer","state":"revoked"}}'
)
SIGNATURE = "95889a27e723536472c3f5397f4e84a09d41ea0d5a35957e1f396d316d719e87"
"""Of the recorded body, with the secret `geheim`."""


@contextlib.asynccontextmanager
async def listening(changes: list[None]) -> AsyncIterator[httpx2.AsyncClient]:
    port = free_port()
    task = asyncio.create_task(webhook(f"127.0.0.1:{port}", "geheim", lambda: changes.append(None)))
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        for _ in range(3000):
            with contextlib.suppress(httpx2.ConnectError):
                await client.get("/")
                break
            await asyncio.sleep(0.01)
        yield client
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_genuine_message_about_trust_is_noticed() -> None:
    """With the signature that the daemon made of it."""
    changes: list[None] = []
    async with listening(changes) as client:
        answer = await client.post("/hook", content=RECORDED, headers={"X-Pilot-Signature-256": SIGNATURE})
        assert answer.status_code == 204
        await eventually(lambda: len(changes) == 1)


@pytest.mark.parametrize(
    ("body", "signature", "status"),
    [
        (RECORDED, "", 401),
        (RECORDED, "0" * 64, 401),
        (RECORDED + b" ", SIGNATURE, 401),
        (b"x" * 70_000, SIGNATURE, 400),
    ],
)
async def test_what_is_not_genuine_changes_nothing(body: bytes, signature: str, status: int) -> None:
    """Without its signature, or too long."""
    changes: list[None] = []
    async with listening(changes) as client:
        answer = await client.post("/hook", content=body, headers={"X-Pilot-Signature-256": signature})
        assert (answer.status_code, changes) == (status, [])


async def test_a_length_that_is_no_number_is_refused() -> None:
    """Of more digits than a number may have."""
    async with listening([]) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"POST /hook HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 400 Bad Request\r\n"
        writer.close()


async def test_a_port_that_is_taken_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Several roles of one machine have one configuration: the first listens, the others look by themselves."""
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as taken:
        port = taken.sockets[0].getsockname()[1]
        task = asyncio.create_task(webhook(f"127.0.0.1:{port}", "geheim", lambda: None))
        await eventually(lambda: "cannot be listened for" in caplog.text)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
