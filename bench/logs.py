"""Access logs of proxies: whether there is a line of JSON for every request."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson

from bench.programs import BenchError

SETTLING_SECONDS = 0.3  # longer than any of the proxies keeps lines back


def emptied(file: Path) -> None:
    """Forget what is in it. The proxies append, and go on at its beginning."""
    _settle(file)
    file.write_bytes(b"")


def records(file: Path) -> list[dict[str, Any]]:
    """Its lines, once no more come. Raises BenchError where one of them is no JSON."""
    _settle(file)
    lines = file.read_bytes().splitlines()
    try:
        return [orjson.loads(line) for line in lines]
    except ValueError as error:
        raise BenchError(f"{file.name} has a line that is no JSON: {error}") from error


def _settle(file: Path) -> None:
    before, size = -1, file.stat().st_size
    while size != before:
        time.sleep(SETTLING_SECONDS)
        before, size = size, file.stat().st_size
