"""All of it on one route, as the page on backends has it, and what one part must not do to another."""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median

import pytest

from gateway.config.checks import WARNINGS, run
from gateway.config.load import parse
from tests.resilience.support import backend, response, running
from tests.support import free_port, running_gateway, scripted_backend
from tests.upstream.wire import connected, read_message

OK = response(200, b"ok")
SAMPLE = """
- path: /v1/users/*
  target: user-api
  split: [{target: user-api, weight: 95}, {target: user-api-v2, weight: 5, when: {header: {x-canary: "yes"}}}]
  mirror: {target: shadow, percent: 10}
  retry: {attempts: 3, on: [connect, reset, 502, 503, 504], per_try: 2s}
  breaker: {error_ratio: 50%, minimum: 20, window: 30s, open: 10s, profile: short}
  fallback: {status: 503, body: '{"message":"back soon"}', content_type: application/json}
  hedge: {after: 10s}
  priority: low
"""


def services(first: str, second: str, shadow: str) -> str:
    named = {"user-api": first, "user-api-v2": second, "shadow": shadow}
    lines = "".join(f"  {name}: {{endpoints: ['{address}'], concurrency: 50}}\n" for name, address in named.items())
    return f"services:\n{lines}routes:"


async def test_the_sample(tmp_path: Path) -> None:
    """Requests are answered, retried, and then replaced; each target has a breaker of its own."""
    async with backend(OK) as first, backend(response(503), OK) as second, backend(OK) as shadow:
        files = services(first.address, second.address, shadow.address) + SAMPLE
        async with running(tmp_path, files) as gateway:
            canary = {"x-canary": "yes"}
            await gateway.in_time()
            assert (await gateway.get("/v1/users/1", headers=canary)).text == "ok"
            assert len(second.requests) == 2
            asked = 0
            while asked < 60 or not shadow.requests:  # one in ten, by chance
                await gateway.in_time()
                assert (await gateway.get("/v1/users/1")).text == "ok"
                asked += 1
                assert asked < 1000
            second.answers[:] = [None]
            for _ in range(21):
                await gateway.in_time()
                answer = await gateway.get("/v1/users/1", headers=canary)
                assert answer.json() == {"message": "back soon"}
            assert [(each["target"], each["state"]) for each in (await gateway.admin.get("/breakers")).json()] == [
                ("user-api", "closed"),
                ("user-api-v2", "open"),
            ]
            explained = (await gateway.admin.get("/explain", params={"url": "/v1/users/1"})).json()
            assert [line.partition(":")[0].partition(" ")[0] for line in explained["resilience"]] == [
                "fallback,",
                "mirror",
                "split",
                "breaker",
                "concurrency",
                "hedge",
                "retries",
            ]


async def test_a_body_that_comes_slowly(tmp_path: Path) -> None:
    """A backend that says 503 before it has all of the body does not cost the next attempt any of it."""
    early = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"first")
        if not early.is_set():
            early.set()
            writer.write(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
            await reader.read()
            return
        rest = await reader.readuntil(b"0\r\n\r\n")
        writer.write(response(200, rest))

    async with scripted_backend(script) as port:
        files = f"routes: [{{path: /*, target: '127.0.0.1:{port}', retry: {{on: [503]}}}}]"
        with running_gateway(tmp_path, files) as gateway:
            async with connected(gateway.port) as (reader, writer):
                writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                await early.wait()
                await asyncio.sleep(0.1)
                writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
                answer = await read_message(reader)
                assert (answer.status, b"second" in answer.body) == (200, True)


@pytest.mark.parametrize(
    ("route", "warned"),
    [
        ("redirect: /b, retry: {attempts: 2}, fallback: {body: x}", ["retry", "fallback"]),
        ("target: 'asgi:tests.lifecycle.apps:one', retry: {attempts: 2}, breaker: llm", ["retry"]),
        ("target: 'a:1', retry: {attempts: 2}, breaker: llm, hedge: {}", []),
    ],
)
def test_what_has_no_effect(tmp_path: Path, route: str, warned: list[str]) -> None:
    """`gateway check` warns of it."""
    files = {"routes.yaml": f"routes: [{{path: /a, {route}}}]".encode()}
    warnings = [str(each) for each in run(WARNINGS, parse(files, {}, base=tmp_path), "warning")]
    assert [each.partition(":")[0] for each in (text.partition("routes[0].")[2] for text in warnings)] == warned


async def test_without_any_endpoint(tmp_path: Path) -> None:
    """Three dead endpoints are a failure within moments, as one is that is not tried again, not after pauses."""
    dead = ", ".join(f"'127.0.0.1:{free_port()}'" for _ in range(3))
    retried = "retry: {attempts: 3, on: [connect, reset, 502, 503, 504]}"
    files = f"services: {{s: {{endpoints: [{dead}]}}}}\nroutes:\n- {{path: /three, target: s, {retried}}}\n"
    async with running(tmp_path, files + "- {path: /one, target: s, retry: {attempts: 1}}") as gateway:
        took: dict[int, list[float]] = {1: [], 3: []}
        for path in ("/one", "/three") * 20:
            assert (await gateway.get(path)).status_code in (502, 503)
            exchange, outcome = gateway.outcomes[-1]
            took[len(exchange.attempts)].append(outcome.seconds)
        assert [len(each) for each in took.values()] == [20, 20]
        pauses = (25 + 75) / 2 / 1000  # the seconds of two pauses, half of the longest that are drawn
        assert median(took[3]) < 6 * median(took[1]) + pauses / 2
