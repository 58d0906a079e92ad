"""Output files must be neither inputs nor shared: a log in routes.yaml would destroy both."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from gateway.config.models import FILES, Configuration
from gateway.config.problems import Fault
from gateway.config.problems import Path as Way
from gateway.config.route_files import is_route_file

# What the gateway itself keeps in the state directory, whether or not this configuration needs it.
_DATABASES = ("blocklist.sqlite", "alerts.sqlite", "monitor.sqlite", "registry.sqlite")
OWN_FILES = ("admin-token", "sticky-key", "models-key", "mcp-key")
OWN_DIRECTORIES = ("control-plane", "agents")
_OTHERS = (*OWN_DIRECTORIES, "takeover.socket")
_REFUSED = ("audit log", "access log")  # without which nothing is served; all others are done without
_BESIDE_SQLITE = ("", "-wal", "-shm", "-journal")

_Identity = str | tuple[int, int]
_RealPath = Callable[[Path], str]


def check_outputs(configuration: Configuration) -> Iterator[Fault]:
    """Errors of the files that middleware.yaml makes the gateway write."""
    base = configuration.base
    real_path: _RealPath = cache(os.path.realpath)  # most are in the same few directories
    names = (*FILES, *configuration.route_files, *configuration.sources, *configuration.named)
    inputs = {name: base / name for name in names}
    taken: dict[_Identity, tuple[str, str]] = {}
    for name, path in inputs.items():
        for identity in _identities(path, real_path):
            taken.setdefault(identity, ("", f"it is {name}, which the configuration is read from"))
    if (obstacle := _obstacle(base / configuration.middleware.state_directory)) is not None:
        if known := [taken[identity] for identity in _identities(obstacle, real_path) if identity in taken]:
            yield Fault(("state_directory",), f"{obstacle} is not a directory: {known[0][1]}; name another one")
        return
    for name in _OTHERS:
        own = real_path(base / configuration.middleware.state_directory / name)
        taken.setdefault(own, (name, f"{name} of state_directory is the gateway's own"))
    for kind, where, paths in _outputs(configuration, base):
        for path in paths:
            if _is_wrong(path, kind):
                yield Fault(where, f"this file cannot be written: {path.name} is no regular file; name another one")
                break
            around = [real_path(each) for each in (path, *path.parents)]
            found = [taken[identity] for identity in (*_identities(path, real_path), *around) if identity in taken]
            others = [reason for other, reason in found if other != kind]
            if others:
                yield Fault(where, f"this file cannot be written: {others[0]}; name another one")
                break
            if is_route_file(path.name) and real_path(path.parent) == real_path(base):
                message = f"once written, {path.name} would be a file of routes; name another one"
                yield Fault(where, f"this file cannot be written: {message}")
                break
            for identity in _identities(path, real_path):
                taken[identity] = kind, f"{'.'.join(map(str, where))} writes it, too"


def unwritable(configuration: Configuration) -> Iterator[Fault]:
    """Outputs that cannot be written: the gateway serves, but stores nothing there."""
    base, middleware = configuration.base, configuration.middleware
    if (obstacle := _obstacle(base / middleware.state_directory)) is not None:
        message = f"{obstacle} is not a directory, so that nothing is kept over a restart; name another one"
        yield Fault(("state_directory",), message)
        return
    for kind, where, paths in _outputs(configuration, base):
        wrong = [path.name for path in paths if kind not in _REFUSED and path.exists() and not path.is_file()]
        if wrong:
            yield Fault(where, f"{wrong[0]} is no regular file, so that nothing is kept over a restart; remove it")


def _outputs(configuration: Configuration, base: Path) -> Iterator[tuple[str, Way, Iterable[Path]]]:
    """An output: its kind, its place, and all paths that belong to it."""
    middleware = configuration.middleware
    state = base / middleware.state_directory
    for name in _DATABASES:
        yield name, ("state_directory",), _sqlite(state / name)
    for name in OWN_FILES:
        yield name, ("state_directory",), [state / name]
    for name, quota in middleware.quotas.items():
        if quota.store != "redis":
            yield "quotas", ("quotas", name, "file"), _sqlite(state / quota.file)
    if configuration.models is not None:
        for store, file in configuration.models.stores.values():
            if store == "sqlite":
                yield "quotas", ("state_directory",), _sqlite(state / file)
    if middleware.audit_log.file is not None:
        log = base / middleware.audit_log.file
        yield "audit log", ("audit_log", "file"), [log, log.with_name(log.name + ".head")]
    if middleware.access_log.output not in ("stdout", "stderr", "off"):
        yield "access log", ("access_log", "output"), [base / middleware.access_log.output]


def _sqlite(path: Path) -> list[Path]:
    return [Path(f"{path}{ending}") for ending in _BESIDE_SQLITE]


def _obstacle(directory: Path) -> Path | None:
    """The obstacle to a directory, which need not exist yet."""
    existing = next((path for path in (directory, *directory.parents) if os.path.lexists(path)), directory)
    return existing if os.path.lexists(existing) and not existing.is_dir() else None


def _is_wrong(path: Path, kind: str) -> bool:
    """Whether there is something that cannot be served with. An access log may go to a pipe or a device."""
    return path.is_dir() if kind == "access log" else kind in _REFUSED and path.exists() and not path.is_file()


def _identities(path: Path, real_path: _RealPath) -> list[_Identity]:
    """The identity of a file: its real path, and its inode, which hard links share. Empty for devices."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return [real_path(path)] if "\0" not in str(path) else []
    if not stat.S_ISREG(status.st_mode):
        return []
    return [real_path(path), (status.st_dev, status.st_ino)]
