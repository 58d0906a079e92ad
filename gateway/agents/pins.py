"""Keys of peers, as they were at first contact: a file that only `gateway agents repin` changes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from gateway.agents.trust import key_of, key_text
from gateway.agents.whole_file import write_whole


class PinsError(Exception):
    """The file cannot be used; the text says why."""


def read_pins(path: str) -> Mapping[str, bytes]:
    """Keys by hostname. Raises PinsError for a file that is not a list of pins: no agent is trusted then."""
    return {hostname: key_of(pin.get("key")) for hostname, pin in _read(Path(path)).items()}


def pin(path: str, hostname: str, key: bytes, *, replace: bool = False) -> bytes:
    """Pin the key of a hostname, and return the one that is pinned now: the former one, unless it is to be replaced."""
    with _locked(Path(path)):
        pins = _read(Path(path))
        if hostname in pins and not replace:
            return key_of(pins[hostname].get("key"))
        pins[hostname] = {"key": key_text(key), "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        write_whole(Path(path), orjson.dumps(pins, option=orjson.OPT_INDENT_2), synced=True)
    return key


def unpin(path: str, hostname: str) -> bool:
    """Forget the key of a hostname, so that the next contact is the first one. Whether there was one."""
    with _locked(Path(path)):
        pins = _read(Path(path))
        if pins.pop(hostname, None) is None:
            return False
        write_whole(Path(path), orjson.dumps(pins, option=orjson.OPT_INDENT_2), synced=True)
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Several roles of one machine may share the file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise PinsError(f"the pinned keys in {path} cannot be read: {error}") from error
    if not isinstance(found, dict) or not all(
        isinstance(pin, dict) and key_of(pin.get("key")) for pin in found.values()
    ):
        raise PinsError(f'{path} is no list of pinned keys, {{"HOSTNAME": {{"key": "BASE64"}}}}')
    return found
