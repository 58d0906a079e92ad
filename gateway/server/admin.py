"""The admin port's settings in the configuration, and when it must not be opened."""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.admin.listening import NO_TOKEN, Listening
from gateway.admin.tokens import FILE, Credentials, LocalToken, local_token
from gateway.config.models.admin import Admin
from gateway.config.problems import ConfigError, Problem
from gateway.config.secrets import KnownSecrets
from gateway.snapshot import Snapshot

logger = logging.getLogger("gateway.admin")


class AdminAccess:
    """The credentials of the admin port. `refusal` says why it must not be opened at the start, if so."""

    def __init__(self, directory: Path, listening: Listening, secrets: KnownSecrets) -> None:
        self.refusal: str | None = None
        self._directory = directory
        self._listening = listening
        self._secrets = secrets
        self._state_directory: Path | None = None
        self._local: LocalToken | None = None
        self._temporary: TemporaryDirectory[str] | None = None  # removed when the process ends
        self._credentials = Credentials(Admin.unset(), None, loaded=False)

    def credentials(self) -> Credentials:
        """Those in force."""
        return self._credentials

    def check(self, snapshot: Snapshot) -> None:
        """Raises ConfigError where a new configuration would open the port to every client."""
        middleware = snapshot.configuration.middleware
        if not self._listening.loopback and not middleware.admin.tokens:
            message = NO_TOKEN.format(address=self._listening.host)
            self.refusal = message
            line, column = snapshot.configuration.locate("middleware.yaml", ("admin", "tokens"))
            raise ConfigError([Problem("middleware.yaml", line, column, "admin.tokens", message)])
        self.refusal = None

    def take_over(self, snapshot: Snapshot) -> None:
        """Use the credentials of a new configuration, which was checked."""
        middleware = snapshot.configuration.middleware
        state_directory = self._directory / middleware.state_directory
        if state_directory != self._state_directory and self._listening.loopback:
            # The token of this machine; for this process only, where the state directory cannot be written.
            local: LocalToken | None
            try:
                local = local_token(state_directory)
            except OSError as error:
                logger.warning(
                    "%s cannot be written: %s; make the directory writable", state_directory / FILE, error.strerror
                )
                local = self._temporary_token()
            if local is not None:
                self._secrets.add(local.token)
            self._local = local
        self._state_directory = state_directory
        self._credentials = Credentials(middleware.admin, self._local)

    def _temporary_token(self) -> LocalToken | None:
        try:
            self._temporary = TemporaryDirectory(prefix="gateway-admin-", ignore_cleanup_errors=True)
            return local_token(Path(self._temporary.name))
        except OSError as error:
            reason, remedy = error.strerror, "add one under admin.tokens of middleware.yaml"
            logger.warning("no token for the admin port, since no file can be written: %s; %s", reason, remedy)
            return None
