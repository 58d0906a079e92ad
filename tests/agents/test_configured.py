"""The configuration that a bridge shares with its gateway, as it changes."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from gateway.agents.configured import Configured
from gateway.config.models import Configuration
from gateway.config.secrets import KnownSecrets
from tests.support import eventually


async def test_only_what_the_bridge_goes_by_needs_its_restart(tmp_path: Path) -> None:
    """Of the group `agents`, the gateway takes what it alone uses at its next reload."""
    (tmp_path / "routes.yaml").write_text("routes: [{path: /, respond: 204}]")
    middleware = tmp_path / "middleware.yaml"
    middleware.write_text("agents: {prefix: acme, stale_after: 1m}")
    configured = Configured(tmp_path, {}, KnownSecrets())

    async def changed(configuration: Configuration) -> None: ...

    watching = asyncio.create_task(configured.watch(changed))
    middleware.write_text("agents: {prefix: acme, stale_after: 30s, min_endpoints: 3}")
    await eventually(lambda: configured.agents.min_endpoints == 3, 30)
    assert configured.problem == ""
    middleware.write_text("agents: {prefix: acme, stale_after: 30s, min_endpoints: 3, sample: 0.5}")
    await eventually(lambda: "start the bridge again" in configured.problem, 30)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
