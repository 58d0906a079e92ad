"""Who may call, from auth.yaml and control-plane.yaml: read at the start, and again when they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.admin.listening import Listening
from gateway.admin.tokens import local_token
from gateway.config.models import Configuration
from gateway.config.problems import ConfigError, Problem
from gateway.config.regular_files import read_regular
from gateway.config.secrets import KnownSecrets
from gateway.control_plane.recognising import FILE, Local, Recognising, read_auth, recognising
from gateway.control_plane.settings.file import ControlPlaneFile
from gateway.control_plane.settings.reading import FILE as SETTINGS
from gateway.control_plane.settings.reading import read_settings
from gateway.control_plane.settings.roles import EVERYWHERE, RoleGrant
from gateway.live import Owner
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.control_plane")

TOKEN_FILE: Final = "control-plane-token"
LOOK_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 0.4
LOG_SECONDS: Final = 60.0  # between two lines about files that cannot be read
MOST_BYTES: Final = 8 * 1024 * 1024  # of one file

_Seen = Mapping[str, bytes | None]
"""Contents of the two files by name, and digests of those that they name."""

_EVERYTHING: Final = RoleGrant(role="admin", consumers=("local",))


@dataclass(frozen=True, slots=True)
class Rules:
    """The current rules."""

    recognising: Recognising | Local
    roles: tuple[RoleGrant, ...]
    hosts: tuple[str, ...]  # beside the addresses, as `Host` has them
    local: bool  # whether there is no auth.yaml


def _without_admin(roles: Sequence[RoleGrant]) -> Iterator[str]:
    """A warning for each organization without an administrator."""
    for organization in sorted({grant.organization for grant in roles}):
        admins = [grant for grant in roles if grant.role == "admin" and grant.organization == organization]
        if not any(EVERYWHERE in grant.environments for grant in admins):
            may = "make environments, or read the audit log" if admins else "administer anything"
            yield (
                f"{SETTINGS}: roles: no caller of the organization {organization} may {may}; give one the role admin "
                f'with environments: ["*"]. With an {FILE}, the token of this machine is no longer valid'
            )


class RuleFiles:
    """Keeps the rules as the files say. What is wrong in files that change is logged, and changes nothing."""

    def __init__(
        self, directory: Path, state: Path, listening: Listening, environment: Mapping[str, str], secrets: KnownSecrets
    ) -> None:
        self._directory = directory
        self._state = state
        self._listening = listening
        self._environment = environment
        self._secrets = secrets
        self._owner = Owner()
        self._named: set[str] = set()
        self._seen: _Seen = {}
        self._rules: Rules | None = None
        self._log = ThrottledLog(logger.error, LOG_SECONDS)

    def rules(self) -> Rules:
        """Those that hold now."""
        if self._rules is None:
            raise RuntimeError("the rules are read by start()")
        return self._rules

    async def start(self) -> None:
        """Read the files. Raises ConfigError with every error, and OSError where the token cannot be kept."""
        await self._adopt(await asyncio.to_thread(self._look))
        self._owner.tasks.supervise("the watch over auth.yaml and control-plane.yaml", self._watch)

    async def stop(self) -> None:
        """End what the schemes keep alive."""
        await self._owner.stop()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                seen = await self._changed()
                if seen is not None:
                    self._seen = seen
                    await self._adopt(seen)
                    logger.info("callers and roles are those of the files as they are now")
            except (ConfigError, OSError) as error:
                self._log.line("callers and roles stay as they were: %s", self._secrets.hide(str(error)))

    async def _changed(self) -> _Seen | None:
        """The rules of the files, if they have changed and stay so. Raises ConfigError."""
        seen = await asyncio.to_thread(self._look)
        if seen == self._seen:
            return None
        await asyncio.sleep(SETTLE_SECONDS)
        return seen if await asyncio.to_thread(self._look) == seen else None

    def _look(self) -> _Seen:
        """The contents of the files by name; digests of the files that they name."""
        found: dict[str, bytes | None] = {name: self._read(name) for name in (FILE, SETTINGS)}
        for name in self._named:
            data = self._read(name)
            found[name] = None if data is None else sha256(data).digest()
        return found

    def _read(self, name: str) -> bytes | None:
        try:
            return read_regular(self._directory / name, MOST_BYTES)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            if name in (FILE, SETTINGS):
                raise ConfigError([Problem(name, 0, 0, "", f"the file cannot be read: {reason}")]) from None
            return None

    async def _adopt(self, seen: _Seen) -> None:
        settings = await asyncio.to_thread(read_settings, self._directory, self._environment, self._secrets)
        data, plan = seen[FILE], self._owner.plan()
        recognises: Recognising | Local
        if data is None:
            recognises = await asyncio.to_thread(self._local)
            roles: tuple[RoleGrant, ...] = (_EVERYTHING,)
        else:
            configuration = await asyncio.to_thread(self._configuration, data, settings)
            recognises = await asyncio.to_thread(recognising, configuration, plan)
            roles = settings.roles
        await self._owner.adopt(plan)
        self._seen = {**await asyncio.to_thread(self._look), **seen}  # with what is named now
        self._rules = Rules(recognises, roles, tuple(host.lower() for host in settings.hosts), local=data is None)
        await self._owner.release()
        if data is not None:
            for line in _without_admin(roles):
                logger.warning("%s", line)

    def _local(self) -> Local:
        if not self._listening.loopback:
            message = (
                f"the file does not exist, so that only this machine may call, but the control plane listens on "
                f"{self._listening.host}; write {FILE} beside {SETTINGS} (`gateway control-plane token new` says what "
                "goes into it), or listen on 127.0.0.1"
            )
            raise ConfigError([Problem(FILE, 0, 0, "", message)])
        return Local(local_token(self._state, TOKEN_FILE))

    def _configuration(self, data: bytes, settings: ControlPlaneFile) -> Configuration:
        named: set[str] = set()
        configuration = read_auth(data, self._directory, self._environment, self._secrets, named)
        self._named = named
        if not settings.roles:
            message = f"no consumer of {FILE} has a role, so every request would be refused; add `roles`"
            raise ConfigError([Problem(SETTINGS, 1, 1, "roles", message)])
        return configuration
