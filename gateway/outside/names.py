"""Asks name servers for records: with their TTL, and with distinct kinds of failure.

The answers of c-ares are remembered by its channel for as long as their TTL says, which hides what has changed from
those who have reason to ask sooner. No name is asked twice in RESOLVER_SECONDS, which is how long a channel is used.
The names of /etc/hosts come before what name servers say.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from aiodns import DNSResolver
    from pycares import DNSRecord

RecordKind = Literal["A", "AAAA", "SRV"]

RESOLVER_SECONDS: Final = 0.5
TRY_SECONDS: Final = 1.0  # for the first try of each server; doubled for the second
TRIES: Final = 2
SYSTEM_TTL: Final = 10.0  # seconds, of what has no TTL

# Codes of c-ares.
_NO_DATA: Final = 1
_NO_SUCH_NAME: Final = 4
_FAILURES: Final = {
    3: "answers SERVFAIL",
    5: "cannot do that (NOTIMP)",
    6: "refuses to answer",
    10: "answers with an invalid DNS message",
    11: "cannot be reached",
    12: "does not answer",
}
_NO_SUCH_HOST: Final = (socket.EAI_NONAME, socket.EAI_NODATA)


class NoAnswer(Exception):
    """No name server says whether there are such records: what was known before is as good as ever (RFC 8767)."""


@dataclass(frozen=True, slots=True)
class Found:
    """An address, or for SRV a name, and for how many seconds it may be used."""

    value: str
    ttl: float
    port: int = 0  # of SRV, as the two below
    priority: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a name server. Without records: there are none."""

    records: Sequence[Found] = ()
    beside: Mapping[str, Sequence[Found]] = field(default_factory=dict)  # addresses of the names in records


class NameServers:
    """Some name servers, or the name service of the system."""

    def __init__(self, servers: tuple[str, ...] = ()) -> None:
        """`servers`: addresses with a port, `"127.0.0.1:53"`. None: those of /etc/resolv.conf, behind /etc/hosts."""
        self.servers = servers
        self._hosts = None if servers else HostsFile()
        self._resolver: DNSResolver | None = None
        self._made_at = 0.0

    async def addresses(self, name: str, kind: Literal["A", "AAAA"]) -> Sequence[Found]:
        """The addresses of a name, which is taken as absolute where it holds a dot. Raises NoAnswer."""
        if self._hosts is None:
            return (await self.ask(name, kind)).records
        listed = self._hosts.addresses(name)
        if not listed and "." in name:
            return (await self.ask(name, kind)).records
        if not listed:
            listed = await _by_the_system(name)
        return [Found(address, SYSTEM_TTL) for address in listed if (":" in address) == (kind == "AAAA")]

    async def ask(self, name: str, kind: RecordKind) -> Answer:
        """The records of a name, which is taken as absolute. Raises NoAnswer, with the reason."""
        from aiodns import DNSResolver  # noqa: PLC0415
        from aiodns.error import DNSError  # noqa: PLC0415  not needed by most gateways

        now = asyncio.get_running_loop().time()
        if self._resolver is None or now - self._made_at > RESOLVER_SECONDS:
            self._resolver = DNSResolver(list(self.servers) or None, timeout=TRY_SECONDS, tries=TRIES)
            self._made_at = now
        resolver = self._resolver  # which must stay referenced while it is waited for
        try:
            result = await resolver.query_dns(name, kind)
        except DNSError as error:
            code = error.args[0] if error.args else 0
            if code in (_NO_DATA, _NO_SUCH_NAME):
                return Answer()
            where = ", ".join(self.servers) or "the system's name server"
            raise NoAnswer(f"{where} {_FAILURES.get(code, error.args[-1])} ({name}, {kind})") from None
        ttl = min((record.ttl for record in result.answer), default=0)  # a CNAME's counts, too
        records = [found for record in result.answer if (found := _found(record, kind, ttl)) is not None]
        beside: defaultdict[str, list[Found]] = defaultdict(list)
        for record in result.additional:
            address = _found(record, "A", record.ttl) or _found(record, "AAAA", record.ttl)
            if address is not None:
                beside[record.name.lower()].append(address)
        return Answer(records, beside)


async def _by_the_system(name: str) -> list[str]:
    """Raises NoAnswer."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        if error.errno in _NO_SUCH_HOST:
            return []
        raise NoAnswer(f"the system's name service: {error.strerror or error} ({name})") from None
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def _found(record: DNSRecord, kind: RecordKind, ttl: float) -> Found | None:
    """The record as ours, where it is of this kind."""
    from pycares import AAAARecordData, ARecordData, SRVRecordData  # noqa: PLC0415

    data = record.data
    if isinstance(data, SRVRecordData) and kind == "SRV":
        return Found(data.target.lower().removesuffix("."), ttl, data.port, data.priority, data.weight)
    if isinstance(data, ARecordData if kind == "A" else AAAARecordData) and kind != "SRV":
        return Found(data.addr, ttl)
    return None


LARGEST: Final = 1024**2  # bytes that are read


class HostsFile:
    """Read again when it changes, which costs a look at its time of change for each question."""

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._changed = 0
        self._addresses: dict[str, list[str]] = {}

    def addresses(self, name: str) -> list[str]:
        """The addresses of a name (lower-cased), or none."""
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._changed:
                self._addresses = self._read()
                self._changed = changed
        except OSError:  # there need be none
            return []
        return self._addresses.get(name, [])

    def _read(self) -> dict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        with self._path.open(errors="replace") as file:
            for line in file.read(LARGEST).splitlines():
                address, *names = line.partition("#")[0].split() or [""]
                with contextlib.suppress(ValueError):
                    ip_address(address)
                    for name in names:
                        found[name.lower().removesuffix(".")].append(address)
        return dict(found)
