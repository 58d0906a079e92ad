"""Several gateways on one port, for those who ask for it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import httpx2

from tests.lifecycle.support import backend
from tests.support import GatewayProcess, eventually, running_gateway

DRAIN = "drain: {window: 0}\n"


async def test_a_second_gateway_listens_on_the_same_port(tmp_path: Path) -> None:
    """With --reuse-port both serve, and when the first one ends, the second one answers everything."""
    async with backend() as upstream, httpx2.AsyncClient() as client:
        routes = f"routes:\n- path: /*\n  target: 127.0.0.1:{upstream.port}\n"
        with running_gateway(tmp_path, routes, DRAIN, arguments=("--reuse-port",)) as first:
            second = GatewayProcess(first.directory, first.port, arguments=("--reuse-port",), logs="second")
            try:
                await asyncio.to_thread(second.start)
                await eventually(lambda: "listening on" in second.log)
                first.signal(signal.SIGTERM)
                assert await asyncio.to_thread(first.wait, 20) == 0
                assert (await client.get(second.url + "/x")).text == "ok"
            finally:
                second.stop()


def test_without_it_the_port_is_taken(tmp_path: Path) -> None:
    """A second gateway does not slip in beside the first: it ends with 1, and its error names the ways out."""
    with running_gateway(tmp_path, "routes:\n- path: /*\n  target: 127.0.0.1:1\n", DRAIN) as first:
        second = GatewayProcess(first.directory, first.port, logs="second")
        with suppress(AssertionError):  # it ends, unless the first one is asked before
            second.start()
        assert second.wait(20) == 1
        assert "start with --takeover if it is a gateway" in second.log
