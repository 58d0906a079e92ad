"""Backends that close idle connections just as the next request comes, and requests that must not be sent twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gamedays.support import Client, backends, bursts, statuses
from tests.support import running_gateway


def routes(addresses: list[str]) -> str:
    listed = ", ".join(addresses)
    return f"""\
services:
  node:
    endpoints: [{listed}]
    connections: {{idle: 512}}
routes:
- path: /*
  target: node
"""


async def test_posts_at_the_idle_time_of_the_backend(tmp_path: Path) -> None:
    """Where a backend closes after 0.4 s without saying so, that is learned, and no POST meets a close."""
    with (
        backends(1, "idle=0.4", "lag=0.05", "delay=0.05") as (backend,),
        running_gateway(tmp_path, routes([backend.address])) as at,
    ):
        client = Client(at.port)
        await bursts(client, 10, (0.5, 0.6), 2, method="GET")  # the closes of these are seen
        await bursts(client, 20, (0.3, 0.5), 5)
        assert statuses(client) == {200: 120}
        client.close()


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_twenty_thousand_posts(tmp_path: Path) -> None:
    """Of POSTs to backends that close after 5 s as Node.js does, at intervals around that time, none fails."""
    with (
        backends(4, "idle=5", "lag=0.1", "delay=0.2") as started,
        running_gateway(tmp_path, routes([each.address for each in started])) as at,
    ):
        client = Client(at.port)
        await bursts(client, 500, (3.7, 5.3), 40)
        assert statuses(client) == {200: 20_000}
        client.close()
