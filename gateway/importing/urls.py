"""URLs of backends, whose host and port may be placeholders of variables."""

from __future__ import annotations

import re
from dataclasses import dataclass

_URL = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?:[^@/]*@)?(?P<host>\[[^\]]*\]|(?:\$\{\w+\}|[^:/?#])*)"
    r"(?::(?P<port>\$\{\w+\}|\d*))?(?P<path>/[^?#]*)?.*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL; those that it does not have are empty."""

    scheme: str
    host: str
    port: str
    path: str

    @property
    def netloc(self) -> str:
        """Host and port, without a user."""
        return f"{self.host}:{self.port}" if self.port else self.host


def split_url(text: str) -> Url:
    """The parts of a text that is meant as a URL."""
    match = _URL.fullmatch(text)
    if match is None:
        return Url("", "", "", "")
    return Url((match["scheme"] or "").lower(), match["host"], match["port"] or "", match["path"] or "")
