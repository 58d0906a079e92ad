"""Where the contenders are: of Debian, of the test dependencies (Envoy), or of an environment of their own."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.programs import BenchError

ENVIRONMENT = Path(".venv/contenders/bin")  # below a checkout: Caddy and Traefik
_PLACES = f"{ENVIRONMENT}:/usr/sbin:/usr/local/sbin"
_NUMBER = re.compile(r"\d+\.\d+\.\d+")

NAMES = {"nginx": "-v", "haproxy": "-v", "envoy": "--version", "caddy": "version", "traefik": "version"}
"""Their commands, and how each is asked for its version."""


def find(command: str) -> str | None:
    """Where one is. None: it is not installed."""
    package = importlib.util.find_spec("envoy") if command == "envoy" else None
    for place in (package.submodule_search_locations or ()) if package else ():
        packaged = Path(place, "_bin", "envoy")
        if packaged.is_file():
            return str(packaged)
    found = shutil.which(command, path=_PLACES) or shutil.which(command)
    return str(Path(found).absolute()) if found else None


def nginx() -> str:
    """Where nginx is, without which nothing can be measured."""
    found = find("nginx")
    if found is None:
        raise BenchError("nginx is missing; it is the backend and the yardstick (Debian: apt-get install nginx-light)")
    return found


def versions(find: Callable[[str], str | None] = find) -> dict[str, str]:
    """The version of each; "" where it is not installed."""
    return {command: _version(find(command), option) for command, option in NAMES.items()}


def _version(binary: str | None, option: str) -> str:
    if binary is None:
        return ""
    try:
        done = subprocess.run([binary, option], check=False, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return f"does not run: {error}"
    number = _NUMBER.search(done.stdout + done.stderr)
    return number[0] if number else "of an unknown version"
