"""What is known of endpoints, and what is reported of it, across changes of the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from tests.gamedays.support import backends
from tests.lifecycle.support import admin_url
from tests.support import GatewayProcess, eventually, running_gateway

ROUTES = """\
services:
  shop:
    endpoints: [{addresses}]
    health: {{path: /health, interval: {interval}, timeout: 1s, unhealthy_after: 2}}
routes:
- path: /*
  target: shop
"""


def line_of(gateway: GatewayProcess, address: str) -> dict[str, Any]:
    """What the admin API says of one endpoint."""
    service = httpx2.get(admin_url(gateway, "/services/shop"), headers=gateway.admin_token).json()
    (line,) = (each for each in service["endpoints"] if each["endpoint"] == address)
    return dict(line)


async def test_an_endpoint_that_is_out_stays_out(tmp_path: Path) -> None:
    """The admin API says why and since when; a changed check lets no endpoint in, and a passed one does."""
    with backends(2) as (well, ill):
        routes = ROUTES.format(addresses=f"{well.address}, {ill.address}", interval="200ms")
        with running_gateway(tmp_path, routes) as gateway:
            await eventually(lambda: line_of(gateway, ill.address)["last_probe"] is not None)
            await ill.become("errors=100")
            await eventually(lambda: line_of(gateway, ill.address)["state"] == "out")
            before = line_of(gateway, ill.address)
            assert before["reason"].startswith("probe: ")
            assert "checks failed: answered 500" in before["reason"]
            assert before["last_probe"]["passed"] is False
            gateway.write(ROUTES.format(addresses=f"{ill.address}, 127.0.0.1:1, {well.address}", interval="30s"))
            await eventually(lambda: bool(httpx2.post(admin_url(gateway, "/reload"), headers=gateway.admin_token)))
            after = line_of(gateway, ill.address)
            assert (after["state"], after["since"]) == ("out", before["since"])
            await ill.become("errors=0")
            gateway.write(routes)
            await eventually(lambda: line_of(gateway, ill.address)["state"] == "in")
