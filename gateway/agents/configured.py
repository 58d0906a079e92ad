"""The configuration that the bridge shares with its gateway: read at the start, and again when the files change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from gateway.config.files import read_files
from gateway.config.load import parse
from gateway.config.models import Configuration
from gateway.config.models.agents import Agents
from gateway.config.problems import ConfigError
from gateway.config.secrets import KnownSecrets
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.agents")

LOOK_SECONDS: Final = 2.0
SETTLE_SECONDS: Final = 0.4
LOG_SECONDS: Final = 60.0

_OF_THE_GATEWAY: Final = {"min_endpoints": 0, "stale_after": 0.0}
"""Settings that the gateway alone goes by, and takes without a restart."""


class Configured:
    """The configuration in use. Raises ConfigError where the files cannot be used at the start."""

    def __init__(self, directory: Path, environment: Mapping[str, str], secrets: KnownSecrets) -> None:
        self._directory = directory
        self._environment = environment
        self._secrets = secrets
        self._files = read_files(directory)
        self._log = ThrottledLog(logger.error, LOG_SECONDS)
        self.configuration = self._parse(self._files)
        self._began_with = self.agents

    @property
    def agents(self) -> Agents:
        """The group of the bridge."""
        return self.configuration.middleware.agents or Agents()

    @property
    def problem(self) -> str:
        """That the gateway may go by another group `agents` than the bridge; else empty."""
        if _of_bridge(self.agents) == _of_bridge(self._began_with):
            return ""
        return "the group agents of middleware.yaml has changed; start the bridge again to use it"

    def wanted(self, service: str, prefix: str) -> bool:
        """Whether a service is one of the files, and not what an agent of this prefix has said itself."""
        found = self.configuration.routes.services.get(service)
        return found is not None and (found.discovery is None or found.discovery.agents != prefix)

    async def watch(self, changed: Callable[[Configuration], Awaitable[None]]) -> None:
        """Have `changed` called with what the files say, for ever. The group `agents` holds from the start on."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                files = await asyncio.to_thread(read_files, self._directory)
                if files == self._files:
                    continue
                await asyncio.sleep(SETTLE_SECONDS)
                if await asyncio.to_thread(read_files, self._directory) != files:
                    continue
                self._files = files
                former, configuration = self.agents, await asyncio.to_thread(self._parse, files)
                await changed(configuration)
                self.configuration = configuration
                if _of_bridge(self.agents) != _of_bridge(former):
                    logger.warning("%s", self.problem or "the group agents of middleware.yaml is as it was again")
            except (ConfigError, OSError) as error:
                self._log.line("the files stay as they were: %s", self._secrets.hide(str(error)))

    def _parse(self, files: Mapping[str, bytes]) -> Configuration:
        return parse(files, self._environment, base=self._directory, secrets=self._secrets)


def _of_bridge(agents: Agents) -> Agents:
    return agents.model_copy(update=_OF_THE_GATEWAY)
