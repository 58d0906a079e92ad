"""Access logs of proxies: whether there is a line of JSON for every request."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import orjson

from bench.programs import BenchError

SETTLING_SECONDS = 0.3  # longer than any of the proxies keeps lines back
PATIENCE = 3.0  # seconds, in which lines must have come that are awaited


def emptied(file: Path) -> None:
    """Forget what is in it. The proxies append, and go on at its beginning."""
    file.write_bytes(b"")


def records(file: Path, awaited: int = 0) -> list[dict[str, Any]]:
    """Its lines, once there are as many as are awaited, and no more come. Raises BenchError where one is no JSON."""
    ends = time.monotonic() + PATIENCE
    while _written(file).count(b"\n") < awaited and time.monotonic() < ends:
        time.sleep(SETTLING_SECONDS / 10)
    before, size = -1, file.stat().st_size
    while size != before:
        time.sleep(SETTLING_SECONDS if not awaited else SETTLING_SECONDS / 5)
        before, size = size, file.stat().st_size
    try:
        return [orjson.loads(line) for line in _written(file).splitlines()]
    except ValueError as error:
        raise BenchError(f"{file.name} has a line that is no JSON: {error}") from error


def _written(file: Path) -> bytes:
    """What was written since the file was emptied. HAProxy goes on where it was, and leaves a hole before that."""
    if file.stat().st_size == 0:
        return b""
    with file.open("rb") as opened:
        opened.seek(os.lseek(opened.fileno(), 0, os.SEEK_DATA))
        return opened.read().lstrip(b"\0")
