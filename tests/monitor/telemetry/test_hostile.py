"""Collectors that do not do what they should: nothing waits for them, and what they lose is counted and said once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.monitor.telemetry.collector import Handler, running_collector
from tests.monitor.telemetry.test_spans import backend, get, route
from tests.support import GatewayProcess, eventually, running_gateway

FAST = {"OTEL_BSP_SCHEDULE_DELAY": "20"}


@contextlib.contextmanager
def gateway(
    directory: Path, port: int, collector: str, more: str = "", environment: dict[str, str] | None = None
) -> Iterator[GatewayProcess]:
    middleware = f"telemetry: {{otlp: '{collector}'{more}}}\ntrace: {{sample: 1}}\n"
    with running_gateway(directory, route(port), middleware, environment=FAST | (environment or {})) as running:
        yield running


def health(running: GatewayProcess) -> list[str]:
    url = f"http://127.0.0.1:{running.admin_port}/health"
    found: list[str] = httpx2.get(url, headers=running.admin_token, trust_env=False).json()["failing"]
    return [trouble for trouble in found if "collector" in trouble]


async def ask_until(running: GatewayProcess, condition: Callable[[], bool]) -> None:
    """Request after request, until it holds: one that meets a moment in which this machine is slow says nothing."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, health(running)
        assert b" 200 " in await get(running.port, "/orders/1")
        await asyncio.sleep(0.05)


def lost(running: GatewayProcess) -> int:
    text = httpx2.get(f"http://127.0.0.1:{running.admin_port}/metrics", trust_env=False).text
    (line,) = (line for line in text.splitlines() if line.startswith("gateway_telemetry_lost_total "))
    return int(float(line.split()[1]))


def refusing(handler: Handler) -> None:
    handler.reply(400, b"no")


def redirecting(handler: Handler) -> None:
    handler.reply(307, Location=f"{handler.collector.url}/elsewhere/v1/traces")


def busy(handler: Handler) -> None:
    handler.reply(429, Retry_After="1")


def closing(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def talking(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", str(10**9))
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"x" * 65536)


def lying(handler: Handler) -> None:
    handler.wfile.write(b"this is no HTTP\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refusing, "400"),
        (redirecting, "a redirect, which is not followed"),
        (busy, "429"),
        (closing, ""),
        (talking, "does not end"),
        (lying, ""),
    ],
)
async def test_a_collector_that_does_not_take_spans_is_reported(
    tmp_path: Path, answer: Callable[[Handler], None], reason: str
) -> None:
    """In /health and once in the log, with the reason; the requests are served, and what follows a redirect is not."""
    async with backend() as behind:
        with running_collector() as collector:
            collector.answer = answer
            with gateway(tmp_path, behind.port, collector.url, ", timeout: 300ms") as running:
                for number in range(3):
                    assert b" 200 " in await get(running.port, f"/orders/{number}")
                    await eventually(lambda: bool(health(running)))
                await ask_until(running, lambda: any(reason in trouble for trouble in health(running)))
                assert collector.url in " ".join(health(running))
                await eventually(lambda: "takes no traces" in running.log)  # which a thread writes
                assert collector.url in running.log
                assert running.log.count("takes no traces") == 1
                collector.answer = None
                await ask_until(running, lambda: not health(running))
                assert lost(running) >= 1
    assert {span.kind for span in collector.spans} == {2, 3}


async def test_records_that_are_taken_in_part_are_counted(tmp_path: Path) -> None:
    """A success that says that something was rejected."""
    rejected = b"\x0a\x06\x08\x02\x12\x02no"

    def partly(handler: Handler) -> None:
        handler.reply(200, rejected)

    async with backend() as behind:
        with running_collector() as collector:
            collector.answer = partly
            with gateway(tmp_path, behind.port, collector.url) as running:
                await get(running.port, "/orders/1")
                await eventually(lambda: bool(health(running)))
                assert "rejected 2: no" in health(running)[0]
                assert lost(running) == 1


async def test_a_collector_that_hangs_costs_nothing(tmp_path: Path) -> None:
    """No request waits, what finds no room is counted, and the end of the process is not put off for long."""
    async with backend() as behind:
        with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as stack:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            more = ", timeout: 30s, queue: 16KiB"
            running = stack.enter_context(gateway(tmp_path, behind.port, url, more, {"OTEL_BSP_EXPORT_TIMEOUT": "1"}))
            slowest = 0.0
            for number in range(100):
                began = time.monotonic()
                assert b" 200 " in await get(running.port, f"/orders/{number}")
                slowest = max(slowest, time.monotonic() - began)
            assert slowest < 15
            assert lost(running) > 50
            began = time.monotonic()
            stack.close()
            assert time.monotonic() - began < 20


async def test_a_collector_that_does_not_listen_is_reported(tmp_path: Path) -> None:
    """With what the system says of it."""
    async with backend() as behind:
        with gateway(tmp_path, behind.port, "http://127.0.0.1:9", ", timeout: 300ms") as running:
            await get(running.port, "/orders/1")
            await eventually(lambda: "Connection refused" in " ".join(health(running)))


async def test_what_waits_is_sent_before_the_process_ends(tmp_path: Path) -> None:
    """Although its time had not come."""
    async with backend() as behind:
        with running_collector() as collector:
            slow = {"OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5"}
            with gateway(tmp_path, behind.port, collector.url, "", slow) as running:
                for number in range(8):
                    await get(running.port, f"/orders/{number}")
                await asyncio.to_thread(collector.wait, 10)  # a whole batch: what sends is there, and not to be loaded
                assert len(collector.spans) == 10
    assert len(collector.spans) == 16


async def test_a_reload_to_another_collector_loses_nothing(tmp_path: Path) -> None:
    """What waited is sent to the former one."""
    async with backend() as behind:
        with running_collector() as first, running_collector() as second:
            slow = {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
            with gateway(tmp_path, behind.port, first.url, "", slow) as running:
                await get(running.port, "/orders/1")
                running.write(route(behind.port), f"telemetry: {{otlp: '{second.url}'}}\ntrace: {{sample: 1}}\n")
                reload = f"http://127.0.0.1:{running.admin_port}/reload"
                httpx2.post(reload, headers=running.admin_token, trust_env=False, timeout=60).raise_for_status()
                await asyncio.to_thread(first.wait, 2)
                await get(running.port, "/orders/2")
            assert len(first.spans) == len(second.spans) == 2


async def test_the_variables_of_opentelemetry_turn_it_off_and_say_where_it_goes(tmp_path: Path) -> None:
    """As for everything else that has its SDK."""
    async with backend() as behind:
        with running_collector() as collector:
            there = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=shop"}
            for more in ({}, {"OTEL_SDK_DISABLED": "true"}):
                middleware = "telemetry: {headers: {X-Token: secret}}\ntrace: {sample: 1}\n"
                environment = FAST | there | more
                with running_gateway(tmp_path, route(behind.port), middleware, environment=environment) as running:
                    await get(running.port, "/orders/1")
                    await asyncio.to_thread(collector.wait, 2)
    assert len(collector.spans) == 2
    assert (collector.headers[0]["x-token"], collector.headers[0]["x-tenant"]) == ("secret", "shop")
    assert [flags for _, _, flags in behind.parents()] == ["03", "03"]
