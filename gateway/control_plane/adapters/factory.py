"""Makes the one adapter of the process, as the configuration says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway.control_plane.adapters.cloud import CloudGateways
from gateway.control_plane.adapters.custom import UnusableAdapter, custom_adapter
from gateway.control_plane.adapters.networks import DEFAULT, EVERYWHERE, allowed_addresses
from gateway.control_plane.adapters.on_premise import OnPremise
from gateway.control_plane.adapters.outbound import Outbound
from gateway.control_plane.adapters.protocol import Adapter
from gateway.control_plane.settings.adapter import AdapterSettings


async def create_adapter(
    settings: AdapterSettings, networks: Sequence[str] = DEFAULT, directory: Path = Path()
) -> Adapter:
    """The adapter; relative paths, and custom modules, are relative to `directory`. Raises UnusableAdapter."""
    if settings.type == "custom" and settings.custom is not None:
        return custom_adapter(settings.custom, directory)
    provider = settings.cloud if settings.type == "cloud" else None
    ca = settings.calls.ca
    try:
        # Where the provider is, stands in the configuration: `networks` is about what callers register.
        allowed = allowed_addresses(EVERYWHERE if provider is not None else networks)
        outbound = await asyncio.to_thread(Outbound, allowed, directory / ca if ca else None)
    except OSError as error:
        raise UnusableAdapter(f"gateway.adapter: `ca`: {ca}: {error.strerror or error}") from None
    if provider is not None:
        return CloudGateways(provider, outbound)
    return OnPremise(settings.on_premise, outbound)


__all__ = ["UnusableAdapter", "create_adapter"]
