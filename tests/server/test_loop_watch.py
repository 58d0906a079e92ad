"""Code that keeps the event loop is named, in the log and in the metrics."""

from __future__ import annotations

from pathlib import Path

import httpx2

from tests.support import GatewayProcess, eventually

POLICY = """
import time


class Policy:
    def wrap(self, handler):
        async def asked(exchange):
            if b"block" in exchange.fields:
                time.sleep(2.5)
            if b"spin" in exchange.fields:
                end = time.monotonic() + 2.5
                while time.monotonic() < end:
                    pass
            return await handler(exchange)
        return asked
"""
ROUTES = "- {path: /x, redirect: /there}"


def lines(gateway: GatewayProcess) -> list[str]:
    return [line for line in gateway.log.splitlines() if "p.py" in line and "keeps the event loop" in line]


async def test_what_blocks_the_loop_is_named(tmp_path: Path) -> None:
    """The log has file and line of a policy that sleeps, once, however often it does; the metrics count each time."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "p.py").write_text(POLICY)
    gateway = GatewayProcess(config)
    gateway.write(ROUTES, "policies: {mine: {class: 'p.py:Policy'}}")
    try:
        gateway.start()
        async with httpx2.AsyncClient(timeout=60) as client:
            assert (await client.get(gateway.url + "/x")).status_code == 307
            assert not lines(gateway)
            await client.get(gateway.url + "/x", headers={"block": "1"})
            await eventually(lambda: len(lines(gateway)) == 1)
            assert "p.py:9 (asked) keeps the event loop" in lines(gateway)[0]
            await client.get(gateway.url + "/x", headers={"spin": "1"})
            metrics = (await client.get(f"http://127.0.0.1:{gateway.admin_port}/metrics")).text
        assert len(lines(gateway)) == 1
        counted = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("gateway_loop_"))
        assert float(counted["gateway_loop_stalls_total"]) >= 2
        assert float(counted["gateway_loop_stalled_seconds_total"]) > 4
    finally:
        gateway.stop()
