"""Demo providers on a thread of their own, and a gateway before them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gateway.config.load import load
from gateway.demo_models import DemoModels, serving
from tests.support import GatewayProcess

KEY = "consumer-key-of-acme"
AUTH = f"""
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
consumers: [{{name: acme, keys: [{{hash: 'sha256:{sha256(KEY.encode()).hexdigest()}'}}]}}]
default: [keys]
"""
ROUTES = "routes: [{id: elsewhere, path: /elsewhere, respond: {status: 204}}]\n"


@dataclass(frozen=True, slots=True)
class World:
    """A gateway and the providers behind it, by name."""

    gateway: GatewayProcess
    providers: Mapping[str, DemoModels]
    ports: Mapping[str, int]

    @property
    def url(self) -> str:
        return self.gateway.url

    def direct(self, provider: str) -> str:
        """The URL of a provider itself."""
        return f"http://127.0.0.1:{self.ports[provider]}"


@contextmanager
def demo_providers(*names: str) -> Iterator[tuple[Mapping[str, DemoModels], Mapping[str, int]]]:
    """Providers that run until the block ends: they, and their ports."""
    providers = {name: DemoModels() for name in names}
    ports: dict[str, int] = {}
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def run() -> None:
        async with AsyncExitStack() as opened:
            for name, provider in providers.items():
                ports[name] = await opened.enter_async_context(serving(provider))
            ready.set()
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        ready.wait(60)
        yield providers, ports
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(60)
        loop.close()


@contextmanager
def world(
    directory: Path, models: str, *names: str, middleware: str = "", auth: str = AUTH, routes: str = ROUTES
) -> Iterator[World]:
    """A gateway with this models.yaml, in which `<name>` stands for the address of the demo provider of this name."""
    with demo_providers(*names) as (providers, ports):
        config = directory / "config"
        config.mkdir(exist_ok=True)
        for name, port in ports.items():
            models = models.replace(f"<{name}>", f"127.0.0.1:{port}")
        (config / "models.yaml").write_text(models)
        gateway = GatewayProcess(config)
        gateway.write(routes, middleware or None, auth)
        load(config, {})  # says at once what is wrong
        try:
            gateway.start()
            yield World(gateway, providers, ports)
        finally:
            gateway.stop()
