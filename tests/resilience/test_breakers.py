"""What fails too often is left alone for a while, and tried with care."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.config.load import ConfigError, parse
from gateway.config.models.breakers import Breaker, BreakerProfile
from tests.resilience.support import InProcess, backend, response, running
from tests.support import eventually, exchange, running_gateway, scripted_backend
from tests.upstream.wire import Wire, read_message

OK, BAD = response(200, b"ok"), response(500)
SAMPLE = "breaker: {error_ratio: 50%, minimum: 20, window: 30s, open: 10s, profile: short}"
QUICK = "breaker: {minimum: 4, open: 200ms, trials: 2, ramp: 100ms, half_open: 300ms}"


def routes(address: str, breaker: str) -> str:
    return f"routes: [{{id: r, path: /*, target: '{address}', {breaker}}}]"


async def state(gateway: InProcess) -> str:
    (shown,) = (await gateway.admin.get("/breakers")).json()
    return str(shown["state"])


async def fail(gateway: InProcess, times: int) -> None:
    for _ in range(times):
        assert (await gateway.get()).status_code == 500


async def test_it_opens_and_says_so(tmp_path: Path) -> None:
    """After twenty failures the backend is left alone: a 503 of its own kind says why and for how long, at once."""
    async with backend(BAD) as bad, running(tmp_path, routes(bad.address, SAMPLE)) as gateway:
        began = time.monotonic()
        await fail(gateway, 20)
        refused = await gateway.get()
        took = time.monotonic() - began
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:problem-type:gateway:circuit-open")
        assert "the service behind this route fails" in refused.json()["detail"]
        assert 10 - took <= int(refused.headers["retry-after"]) <= 11
        assert len(bad.requests) == 20
        assert await state(gateway) == "open"
        explained = (await gateway.admin.get("/explain", params={"url": "/"})).json()
        assert any("open, 20 of 20 calls failed" in line for line in explained["resilience"])
        metrics = gateway.metrics.now("text").decode()
        assert f'gateway_breaker_state{{route_id="r",upstream="{bad.address}",state="open"}} 1.0' in metrics
        assert f'gateway_breaker_refused_total{{route_id="r",upstream="{bad.address}"}} 1.0' in metrics


async def test_it_survives_a_reload_and_concerns_one_gateway(tmp_path: Path) -> None:
    """A reload does not close it, not even one that changes its settings; another gateway judges for itself."""
    sample = SAMPLE.replace("open: 10s", "open: 60s")
    async with backend(BAD) as bad:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        async with (
            running(tmp_path / "a", routes(bad.address, sample)) as gateway,
            running(tmp_path / "b", routes(bad.address, sample)) as other,
        ):
            await fail(gateway, 20)
            await gateway.reload(routes(bad.address, sample.replace("50%", "60%")))
            assert (await gateway.get()).status_code == 503
            await fail(other, 1)
            await gateway.reload(routes(bad.address, ""))
            await fail(gateway, 1)


async def test_it_closes_again(tmp_path: Path) -> None:
    """After the open time trials are let through; when they go well, everything is, in the end."""
    async with backend(BAD) as backing, running(tmp_path, routes(backing.address, QUICK)) as gateway:
        await fail(gateway, 4)
        while (await gateway.get()).status_code != 503:  # on a slow machine the open time is over: a trial, which fails
            pass
        backing.answers[:] = [OK]
        answered = []
        async with asyncio.timeout(30):
            while await state(gateway) != "closed":
                answered.append((await gateway.get()).status_code)
        assert answered.count(200) >= 2


async def test_a_trial_whose_client_leaves(tmp_path: Path) -> None:
    """Its permit is given back: a lost trial does not keep the breaker half open."""
    asked = asyncio.Event()

    async def silent(message: Wire) -> bytes:
        asked.set()
        await asyncio.sleep(60)
        return b""

    quick = QUICK.replace("trials: 2", "trials: 1").replace("300ms", "60s")
    async with backend(*[BAD] * 4, silent, OK) as backing, running(tmp_path, routes(backing.address, quick)) as gateway:
        await fail(gateway, 4)
        await asyncio.sleep(0.25)
        task = asyncio.create_task(gateway.get())
        await asked.wait()
        assert (await gateway.get()).status_code == 503  # there is one trial only
        task.cancel()
        await asyncio.wait({task})
        assert (await gateway.get()).status_code == 200
        await eventually(lambda: gateway.outcomes[-1][1].status == 200)


async def test_what_is_no_fault_of_the_backend(tmp_path: Path) -> None:
    """Answers of 4xx do not open it, however many there are."""
    async with backend(response(404)) as backing, running(tmp_path, routes(backing.address, QUICK)) as gateway:
        for _ in range(10):
            assert (await gateway.get()).status_code == 404
        (shown,) = (await gateway.admin.get("/breakers")).json()
        assert (shown["state"], shown["calls"]) == ("closed", 0)


async def test_retries_are_one_call(tmp_path: Path) -> None:
    """A call that succeeds at the second endpoint is a success: one dead endpoint of two does not open it."""
    async with backend(None) as dead, backend(OK) as good:
        files = f"services: {{s: {{endpoints: ['{dead.address}', '{good.address}']}}}}\n" + routes("s", QUICK)
        async with running(tmp_path, files) as gateway:
            for _ in range(12):
                assert (await gateway.get()).status_code == 200
            (shown,) = (await gateway.admin.get("/breakers")).json()
            assert (shown["state"], shown["errors"]) == ("closed", 0)


async def test_slow_answers(tmp_path: Path) -> None:
    """It opens as well where answers are right, but come late."""

    async def slow(message: Wire) -> bytes:
        await asyncio.sleep(0.06)
        return OK

    breaker = "breaker: {minimum: 4, slow: 50ms, slow_ratio: 50%}"
    async with backend(slow) as backing, running(tmp_path, routes(backing.address, breaker)) as gateway:
        for _ in range(4):
            assert (await gateway.get()).status_code == 200
        assert (await gateway.get()).status_code == 503


async def test_operators_decide(tmp_path: Path) -> None:
    """The admin API forces it open and closed, and lets it judge again; what makes no sense is refused."""
    async with backend(OK) as backing, running(tmp_path, routes(backing.address, QUICK)) as gateway:
        forced = await gateway.admin.put("/breakers/r", json={"state": "open", "reason": "migration"})
        assert [each["state"] for each in forced.json()] == ["forced_open"]
        refused = await gateway.get()
        assert refused.status_code == 503
        assert "migration" in str(gateway.last.error)
        await gateway.admin.put("/breakers/r", json={"state": "closed"})
        backing.answers[:] = [BAD]
        await fail(gateway, 10)
        backing.answers[:] = [OK]
        await gateway.admin.put("/breakers/r", json={"state": "auto"})
        assert await state(gateway) == "closed"
        assert (await gateway.admin.put("/breakers/other", json={"state": "open"})).status_code == 404
        for body in ({"state": "ajar"}, {"state": "open", "target": "x"}, {"state": "open", "reason": "two\nlines"}):
            assert (await gateway.admin.put("/breakers/r", json=body)).status_code == 400
        anyone = await gateway.admin.put("/breakers/r", json={"state": "open"}, headers={"authorization": ""})
        assert anyone.status_code == 401


async def test_profiles(tmp_path: Path) -> None:
    """Profiles are there without being written, may be changed, and one that is nowhere is an error with its place."""
    async with backend(BAD) as bad:
        middleware = "breakers: {mine: {minimum: 3}}"
        async with running(tmp_path, routes(bad.address, "breaker: mine"), middleware) as gateway:
            await fail(gateway, 3)
            assert (await gateway.get()).status_code == 503
            for profile in ("short", "long-tail", "llm"):
                await gateway.reload(routes(bad.address, f"breaker: {{profile: {profile}}}"))
    with pytest.raises(ConfigError) as refused:
        parse({"routes.yaml": routes("a:1", "breaker: {profile: shrt}").encode()}, {}, base=tmp_path)
    (problem,) = refused.value.problems
    assert 'did you mean "short"' in str(problem)


def test_a_profile_that_is_changed() -> None:
    """Keeps what is not said again; one of another name begins with the defaults, and a route says it last."""
    profiles = {"long-tail": BreakerProfile(slow=180), "mine": BreakerProfile(slow=180)}
    judged = {name: Breaker(profile=name, window=60).judged_by(profiles) for name in (*profiles, "llm")}
    assert [(each.slow, each.window, each.minimum, each.half_open) for each in judged.values()] == [
        (180, 60, 10, 300),
        (180, 60, 20, 60),
        (30, 60, 10, 180),
    ]


async def test_responses_that_are_cut_short(tmp_path: Path) -> None:
    """A stream that ends in its middle is a failure, though its head was a 200."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(head)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"abc")

    async with scripted_backend(script) as port:
        with running_gateway(tmp_path, routes(f"127.0.0.1:{port}", "breaker: {minimum: 4, open: 60s}")) as gateway:
            for _ in range(4):
                answer = await exchange(gateway.port, b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert b"200 OK" in answer
            answer = await exchange(gateway.port, b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert b"circuit-open" in answer
