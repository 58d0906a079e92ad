"""Durations, rates, networks and URLs of other configurations, as ours are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001, "ns": 0.000000001}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|us|ns|m|s)")


_UNITS = {1.0: "s", 60.0: "m", 3600.0: "h"}


def seconds_of(text: str) -> float:
    """`1m30s` of a program in Go, or a number of seconds, as 90.0."""
    if text.isdigit():
        return float(text)
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def rate(amount: float, seconds: float) -> str:
    """So many in so many seconds, as a limit of ours: a whole number of them in a whole number of seconds."""
    if seconds < 1:
        amount, seconds = amount / seconds, 1
    for factor in (1, 10, 60, 600, 3600):
        whole = amount * factor
        if whole >= 1 and abs(whole - round(whole)) < 0.001 and float(seconds * factor).is_integer():
            return f"{round(whole)}/{_UNITS.get(seconds * factor, f'{seconds * factor:.0f}s')}"
    factor = 3600
    return f"{max(1, round(amount * factor))}/{max(1, round(seconds * factor))}s"


def duration(text: str) -> str:
    """`1m30s`, or a number of seconds, as `90s`."""
    if text.isdigit():
        return f"{text}s"
    total = seconds_of(text)
    return f"{total * 1000:g}ms" if total < 1 else f"{total:.10g}s"


def network(text: str) -> str:
    """The network of an address with a prefix length; what is none stays as it is. Others take `10.0.0.1/8` for one."""
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        return text
    return str(found) if "/" in text else text


NO_USER = "the user and password of the URL are not sent; set Authorization by `headers` of middleware.yaml"

_URL = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?:(?P<user>[^@/]*)@)?(?P<host>\[[^\]]*\]|(?:\$\{\w+\}|[^:/?#])*)"
    r"(?::(?P<port>\$\{\w+\}|\d*))?(?P<path>/[^?#]*)?.*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL of a backend; those that it does not have are empty. Host and port may be placeholders."""

    scheme: str
    host: str
    port: str
    path: str
    user: str
    """The user and the password in front of the host."""

    @property
    def netloc(self) -> str:
        """Host and port, without a user."""
        return f"{self.host}:{self.port}" if self.port else self.host


def split_url(text: str) -> Url:
    """The parts of a text that is meant as a URL."""
    match = _URL.fullmatch(text)
    if match is None:
        return Url("", "", "", "", "")
    scheme, host, port, path, user = (match[part] or "" for part in ("scheme", "host", "port", "path", "user"))
    return Url(scheme.lower(), host, port, path, user)
