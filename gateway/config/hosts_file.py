"""`hosts` beside the four files: addresses of names that the name service of this machine need not know.

As /etc/hosts is written: an address, then its names; `#` begins a comment. It is read once, when a command begins.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from gateway.config.problems import ConfigError, Problem, quote

FILE = "hosts"
MAX_BYTES = 1024**2


def read_hosts(directory: Path) -> dict[str, str]:
    """Addresses by name; none if the file does not exist. Raises ConfigError."""
    try:
        with (directory / FILE).open("rb") as stream:
            lines = stream.read(MAX_BYTES).decode().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(FILE, 0, 0, "", f"it cannot be read: {error}")]) from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        address, *names = line.partition("#")[0].split() or ("",)
        if address:
            try:
                ip_address(address)
            except ValueError:
                names = []
            if not names:
                message = f"expected an address and its names, such as 127.0.0.1 users (got {quote(address)})"
                raise ConfigError([Problem(FILE, number, 1, "", message)])
            for name in names:
                found.setdefault(name.lower(), address)
    return found
