"""Checks of the machine for a configuration: writable files, ports, a Redis."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final
from urllib.parse import urlsplit

from gateway.config.models import Configuration
from gateway.config.problems import Fault, Problem, Severity
from gateway.config.yaml.places import to_problem

SECONDS: Final = 1.0  # to connect
REDIS_PORT: Final = 6379

Port = tuple[str, str, int]
"""The option that chooses it, and where it is."""


def missing_here(configuration: Configuration, ports: Iterable[Port], severity: Severity) -> Iterator[Problem]:
    """Obstacles for `serve` on this machine at present."""
    for fault in _unwritable(configuration):
        yield to_problem(configuration.documents["middleware.yaml"], fault, severity)
    for fault in _redis(configuration):
        yield to_problem(configuration.documents["middleware.yaml"], fault, severity)
    for option, host, port in ports:
        if (reason := _taken(host, port)) is not None:
            yield Problem(option, 0, 0, "", f"{reason}; stop what listens there, or choose another port", severity)


def _unwritable(configuration: Configuration) -> Iterator[Fault]:
    """Outputs that cannot be written, tested without leaving anything behind."""
    base, middleware = configuration.base, configuration.middleware
    state = base / middleware.state_directory
    existing = next(path for path in (state, *state.parents) if path.exists())
    if existing.is_dir() and not _can_have_files(existing):
        message = f"{state} cannot be written here, so that nothing is kept over a restart; name another one"
        yield Fault(("state_directory",), message)
    if middleware.access_log.output not in ("stdout", "stderr", "off"):
        yield from _file(("access_log", "output"), base / middleware.access_log.output)
    if middleware.audit_log.file is not None:
        yield from _file(("audit_log", "file"), base / middleware.audit_log.file)


def _can_have_files(directory: Path) -> bool:
    """Permissions do not say it to root, nor of a file system that takes none."""
    try:
        with TemporaryFile(dir=directory):  # without a name
            return True
    except OSError:
        return False


def _file(where: tuple[str, ...], path: Path) -> Iterator[Fault]:
    if not path.parent.is_dir():
        yield Fault(where, f"there is no directory {path.parent} here; create it, or name another file")
    elif not (os.access(path, os.W_OK) if path.exists() else _can_have_files(path.parent)):
        yield Fault(where, f"{path} cannot be written here; correct its permissions, or name another file")


def _redis(configuration: Configuration) -> Iterator[Fault]:
    redis = configuration.middleware.redis
    if redis is None:
        return
    parts = urlsplit(redis.url.get_secret_value())
    if parts.scheme == "unix":
        reason = _unreachable(socket.AF_UNIX, parts.path)
        where = parts.path
    else:
        host, port = parts.hostname or "localhost", parts.port or REDIS_PORT
        reason, where = _unreachable(socket.AF_INET, (host, port)), f"{host}:{port}"
    if reason is not None:
        yield Fault(("redis", "url"), f"no Redis is reached at {where} from here: {reason}; start it, or correct it")


def _unreachable(family: int, address: str | tuple[str, int]) -> str | None:
    """Why a connection there is not accepted; None if it is."""
    try:
        if isinstance(address, tuple):
            socket.create_connection(address, SECONDS).close()
        else:
            with socket.socket(family) as connection:
                connection.settimeout(SECONDS)
                connection.connect(address)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _taken(host: str, port: int) -> str | None:
    """Why a port cannot be listened on. A gateway that listens there already is what is checked for, most likely."""
    try:
        for family, kind, _, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen(1)
    except OSError as error:
        return f"{host}:{port} cannot be listened on here: {error.strerror}"
    return None


def gateway_answers(host: str, port: int) -> bool:
    """Whether what listens there is a gateway."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    with suppress(OSError), socket.create_connection((reached, port), SECONDS) as connection:
        connection.settimeout(SECONDS)
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b'"status"' in connection.recv(4096)
    return False
