"""The last good bundle on this machine's disk: with it, a gateway starts where the control plane is not there.

`control-plane/` of the state directory has the last two bundles, each in a file that is named by its digest, and
`applied.json`, which says which of them was applied, and in place of which local files. A bundle is what its digest
says, or it is not used. All of it is for threads.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.bundles import Bundle, BundleError, is_digest, unpack
from gateway.config.problems import ConfigError
from gateway.config.watch import Contents

logger = logging.getLogger("gateway.managed")

DIRECTORY: Final = "control-plane"
APPLIED: Final = "applied.json"
IDENTITY: Final = "identity.json"
INSTANCE_FILE: Final = "instance.json"
KEPT: Final = 2
MOST_PACKED: Final = 32 * 1024**2
_ENDING: Final = ".bundle"


@dataclass(frozen=True, slots=True)
class Applied:
    """The bundle that was applied last."""

    digest: str
    local: str  # what the local files were then; see `fingerprint`
    superseded: bool = False  # the local files were changed since, and serve
    wanted_at: str | None = None  # since when the control plane has wanted it, as it said


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this gateway became when it joined."""

    url: str  # of the control plane; its token is for no other
    gateway: str
    token: str


def fingerprint(contents: Contents) -> str:
    """Identifies a state of the local files."""
    if isinstance(contents, ConfigError):
        return sha256(str(contents).encode("utf-8", "replace")).hexdigest()
    digest = sha256()
    for name, data in sorted(contents.items()):
        digest.update(b"%d:%s%d:" % (len(name.encode()), name.encode(), len(data)) + data)
    return digest.hexdigest()


class BundleStore:
    """In one state directory."""

    def __init__(self, state: Path) -> None:
        self.path = state / DIRECTORY

    def applied(self) -> Applied | None:
        """The revision that was applied last; None: none, or it cannot be read."""
        read = self._read(APPLIED)
        digest, local = read.get("digest"), read.get("local")
        if not isinstance(digest, str) or not is_digest(digest) or not isinstance(local, str):
            return None
        wanted_at = read.get("wanted_at")
        return Applied(digest, local, read.get("superseded") is True, wanted_at if isinstance(wanted_at, str) else None)

    def bundle(self, digest: str) -> Bundle | None:
        """The bundle of this digest, if it is here and whole."""
        path = self.path / f"{digest}{_ENDING}"
        try:
            with path.open("rb") as file:
                bundle = unpack(file.read(MOST_PACKED))
        except FileNotFoundError:
            return None
        except (OSError, BundleError) as error:
            logger.warning("%s cannot be used: %s", path, error)
            return None
        if bundle.digest != digest:
            logger.warning("%s has not the contents that its name says; it is not used", path)
            return None
        return bundle

    def save(self, bundle: Bundle, applied: Applied) -> None:
        """This one is applied. Raises OSError."""
        self.path.mkdir(0o700, parents=True, exist_ok=True)
        file = self.path / f"{bundle.digest}{_ENDING}"
        if self.bundle(bundle.digest) is None:
            self._write(file.name, bundle.pack())
        with contextlib.suppress(OSError):
            os.utime(file)  # the last that was applied is the youngest
        self.note(applied)
        found = sorted(self.path.glob(f"*{_ENDING}"), key=_age, reverse=True)
        for old in [path for path in found if path != file][KEPT - 1 :]:
            with contextlib.suppress(OSError):
                old.unlink()

    def note(self, applied: Applied) -> None:
        """Write down what is applied. Raises OSError."""
        self._write(APPLIED, json.dumps(asdict(applied)).encode())

    def identity(self, url: str) -> Identity | None:
        """Who this gateway is to the control plane with this URL, if it has joined it."""
        read = self._read(IDENTITY)
        words = [read.get(name) for name in ("url", "gateway", "token")]
        if words[0] != url or not all(isinstance(word, str) for word in words):
            return None
        return Identity(*map(str, words))

    def join(self, identity: Identity) -> None:
        """Keep it. Raises OSError."""
        self.path.mkdir(0o700, parents=True, exist_ok=True)
        self._write(IDENTITY, json.dumps(asdict(identity)).encode())

    def instance(self, made: str) -> str:
        """The name of this process: that of the one before it here, or else `made`, for those that follow. A disk that
        was copied to another machine, whose name stands before the last hyphen, brings it no name."""
        from gateway.control_messages import INSTANCE  # noqa: PLC0415  a gateway without a control plane needs none

        read = self._read(INSTANCE_FILE).get("instance")
        if isinstance(read, str) and INSTANCE.fullmatch(read) and read.rpartition("-")[0] == made.rpartition("-")[0]:
            return read
        with contextlib.suppress(OSError):  # the next process then has another name
            self.path.mkdir(0o700, parents=True, exist_ok=True)
            self._write(INSTANCE_FILE, json.dumps({"instance": made}).encode())
        return made

    def _read(self, name: str) -> Mapping[str, object]:
        try:
            with (self.path / name).open("rb") as file:
                read = json.loads(file.read(64 * 1024))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            logger.warning("%s cannot be used: %s", self.path / name, error)
            return {}
        return read if isinstance(read, dict) else {}

    def _write(self, name: str, data: bytes) -> None:
        """The file is there as a whole, or as it was: also where the power fails."""
        temporary = self.path / f".{name}.{secrets.token_hex(8)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(self.path / name)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
