"""A reload of many routes goes on beside the requests."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.deadlines import Deadlines
from gateway.live import Owner
from gateway.reload import Reloader
from gateway.upstream.transport import Connector, Resolver

ROUTES = 20_000
STALL_SECONDS = 0.25


async def worst_gap(reloader: Reloader) -> float:
    """The longest time in which the loop did nothing else, while the files are loaded again."""
    reloading = asyncio.ensure_future(reloader.reload())
    worst, last, ended = 0.0, time.perf_counter(), False
    while not ended:
        ended = reloading.done()
        await asyncio.sleep(0.001)
        worst, last = max(worst, (now := time.perf_counter()) - last), now
    assert reloading.result() is None
    return worst


@pytest.mark.timeout(180)
async def test_requests_are_not_held_up(tmp_path: Path) -> None:
    """20,000 routes: compiling them, collecting garbage and freeing the former ones leave the loop its turns."""
    routes = "".join(f"- {{path: /a{number}/*, target: 's'}}\n" for number in range(ROUTES))
    (tmp_path / "routes.yaml").write_text(f"services: {{s: {{endpoints: ['127.0.0.1:9']}}}}\nroutes:\n{routes}")
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    reloader = Reloader(tmp_path, {}, Owner(), connector)
    await reloader.start()
    try:
        gaps: list[float] = []
        while not gaps or (min(gaps) > STALL_SECONDS and len(gaps) < 6):  # the machine has other work
            gaps.append(await worst_gap(reloader))
    finally:
        await reloader.stop()
    assert min(gaps) <= STALL_SECONDS, gaps
