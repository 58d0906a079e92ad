"""PgBouncer before a PostgreSQL, each transaction on another connection."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.control_plane.postgres import Postgres
from tests.support import free_port, until


@contextmanager
def running_pgbouncer(server: Postgres) -> Iterator[int]:
    """Starts one without authentication; returns its port."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise RuntimeError("pgbouncer is missing: make test-control-plane installs it")
    directory, port = Path(tempfile.mkdtemp(prefix="pgbouncer-")), free_port()
    directory.chmod(0o755)
    settings = directory / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\n"
        "default_pool_size = 5\nunix_socket_dir =\n"
    )
    as_root = os.getuid() == 0
    process = subprocess.Popen(
        [program, "-q", settings],
        stderr=subprocess.DEVNULL,
        user="postgres" if as_root else None,
        group="postgres" if as_root else None,
        extra_groups=[] if as_root else None,
    )
    try:
        until(lambda: _listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(directory, ignore_errors=True)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
