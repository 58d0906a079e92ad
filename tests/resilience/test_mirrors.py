"""Copies of requests: for another service, beside the real ones, and never at their expense."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.upstream.mirror import AT_ONCE, WAITING
from tests.resilience.support import InProcess, backend, response, running
from tests.support import eventually, free_port
from tests.upstream.wire import Wire

OK = response(200, b"real")


def routes(real: str, shadow: str, mirror: str = "{target: shadow}") -> str:
    endpoints = f"services: {{s: {{endpoints: ['{real}']}}, shadow: {{endpoints: ['{shadow}']}}}}\n"
    return endpoints + f"routes:\n- {{id: r, path: /*, target: s, rewrite: '/in/$1', mirror: {mirror}}}\n"


def copies(gateway: InProcess, result: str) -> float:
    name = f'gateway_mirror_copies_total{{route_id="r",upstream="shadow",result="{result}"}} '
    (line,) = (line for line in gateway.metrics.now("text").decode().splitlines() if line.startswith(name))
    return float(line.removeprefix(name))


async def test_a_copy(tmp_path: Path) -> None:
    """The mirror gets method, path, headers and body of the real request; statuses are compared, clients get one."""
    async with (
        backend(OK) as real,
        backend(response(500)) as shadow,
        running(tmp_path, routes(real.address, shadow.address)) as gateway,
    ):
        answer = await gateway.client.post("/a?b=c", content=b"order", headers={"x-a": "1"})
        assert answer.text == "real"
        await eventually(lambda: copies(gateway, "different") == 1)
        (copied,) = shadow.requests
        assert copied.start == real.requests[0].start == "POST /in/a?b=c HTTP/1.1"
        assert (copied.body, copied.fields["x-a"]) == (b"order", "1")
        shadow.answers[:] = [OK]
        await gateway.get("/a")
        await eventually(lambda: copies(gateway, "same") == 1)


async def test_it_is_no_part_of_the_request(tmp_path: Path) -> None:
    """A mirror that is down or slow fails and slows no request, and neither log nor health know of it."""

    async def silent(message: Wire) -> bytes:
        await asyncio.sleep(60)
        return b""

    async with backend(OK) as real, backend(silent) as shadow:
        async with running(tmp_path, routes(real.address, shadow.address)) as gateway:
            async with asyncio.timeout(20):
                for _ in range(AT_ONCE + WAITING + 5):
                    assert (await gateway.get("/a")).text == "real"
            await eventually(lambda: copies(gateway, "dropped") == 5)
            assert len(gateway.last.attempts) == 1
        (tmp_path / "2").mkdir()
        async with running(tmp_path / "2", routes(real.address, f"127.0.0.1:{free_port()}")) as gateway:
            assert (await gateway.get("/a")).text == "real"
            await eventually(lambda: copies(gateway, "failed") == 1)


async def test_its_connections_are_its_own(tmp_path: Path) -> None:
    """A mirror to the very service that the route leads to counts neither in its endpoints nor in its budget."""
    async with backend(OK) as real:
        files = routes(real.address, real.address).replace("{target: shadow}", "{target: s}")
        async with running(tmp_path, files) as gateway:
            await gateway.get("/a")
            await eventually(lambda: len(real.requests) == 2)
            endpoints = (await gateway.admin.get("/endpoints")).json()
            assert {each["service"]: each["requests"] for each in endpoints} == {"s": 1, "mirror:s": 1}


async def test_percent_and_large_bodies(tmp_path: Path) -> None:
    """One in ten is copied, by chance; a body over the limit is not copied, and counted."""
    async with (
        backend(OK) as real,
        backend(OK) as shadow,
        running(tmp_path, routes(real.address, shadow.address, "{target: shadow, percent: 10%}")) as gateway,
    ):
        for _ in range(300):
            await gateway.get("/a")
        await eventually(lambda: copies(gateway, "same") == len(shadow.requests))
        assert 5 <= len(shadow.requests) <= 70
        await gateway.reload(routes(real.address, shadow.address, "{target: shadow, max_body: 10B}"))
        await gateway.client.post("/a", content=b"x" * 11)
        assert copies(gateway, "left_out") == 1
