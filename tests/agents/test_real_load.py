"""What requests notice of the bridges of a gateway: `-s` prints the figures."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.agents.bridged import KEY, ROLES, Setting, setting_of
from tests.agents.world import World

pytestmark = [pytest.mark.agents, pytest.mark.timeout(240)]

RATE = 300  # requests of a second; the load, the backends, the bridges and the gateway share the cores
SECONDS = 4.0
CONNECTIONS = 20
RUNS = 4  # of each state
SPREAD = 1.5  # of a p99 beside the largest of identical runs without bridges: the cores are shared
GROWTH = 8 * 1024**2  # bytes of the gateway


async def test_requests_do_not_notice_whether_bridges_run_hang_or_are_gone(world: World, tmp_path: Path) -> None:
    """None fails, the slowest hundredth is as slow as in runs without bridges, and memory does not grow."""
    async with setting_of(world, tmp_path) as setting:
        await _load(setting)
        figures = {"without": [await _load(setting) for _ in range(RUNS)]}
        await setting.serve(*ROLES)
        await _load(setting)
        memory = _resident(setting.gateway.pid)
        figures["running"] = [await _load(setting) for _ in range(RUNS)]
        for node in setting.nodes.values():
            node.kill(signal.SIGSTOP)
        figures["daemons hang"] = [await _load(setting) for _ in range(RUNS)]
        for bridge in setting.bridges.values():
            os.kill(bridge.pid, signal.SIGSTOP)
        figures["bridges hang"] = [await _load(setting) for _ in range(RUNS)]
        for bridge in setting.bridges.values():
            bridge.kill()
        figures["killed"] = [await _load(setting) for _ in range(RUNS)]
        grown = _resident(setting.gateway.pid) - memory
    print(f"\np99 in ms of {RUNS} runs of {RATE * SECONDS:g} requests: {_shown(figures)}; {grown >> 10} KiB more")
    assert grown < GROWTH
    usual = max(figures["without"])
    assert {state: seconds for state, seconds in figures.items() if min(seconds) > SPREAD * usual} == {}


async def _load(setting: Setting) -> float:
    """Seconds that all but a hundredth of the requests took, from when they were due. Each is answered 200."""
    begin = time.perf_counter() + 0.1
    clients = (_client(setting.gateway.port, begin, first) for first in range(CONNECTIONS))
    took = sorted(seconds for all in await asyncio.gather(*clients) for seconds in all)
    assert len(took) == RATE * SECONDS
    return took[len(took) * 99 // 100]


async def _client(port: int, begin: float, first: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    for number in range(first, int(RATE * SECONDS), CONNECTIONS):
        due = begin + number / RATE
        await asyncio.sleep(due - time.perf_counter())
        writer.write(f"GET /users/{number} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        await reader.readexactly(2)
        took.append(time.perf_counter() - due)
    writer.close()
    return took


def _resident(pid: int) -> int:
    """Bytes of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _shown(figures: Mapping[str, list[float]]) -> str:
    return "; ".join(f"{state} {' '.join(f'{each * 1000:.1f}' for each in all)}" for state, all in figures.items())
