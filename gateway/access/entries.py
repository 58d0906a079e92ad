"""Entries of the blocklist, and the table in which requests look them up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, Literal, get_args

import orjson

from gateway.algorithms.globs import Glob
from gateway.algorithms.networks import NetworkMap, unmapped
from gateway.config.models.blocklist import parse_glob, parse_path_glob
from gateway.config.values.addresses import parse_network
from gateway.config.values.instants import format_instant
from gateway.http.paths import normalise_literal

Kind = Literal["network", "consumer", "user_agent", "path"]
Source = Literal["file", "admin", "automatic"]
Key = tuple[Kind, str]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MAX_TEXT: Final = 200  # characters of a consumer's name, and of a reason that comes at runtime
REMEMBERED: Final = 4096  # user agents or paths
REMEMBERED_LENGTH: Final = 512  # characters; longer ones are looked at each time


@dataclass(frozen=True, slots=True)
class Entry:
    """Whom it is about, why, until when (Unix time; None: permanent), and where it comes from.

    `changed` orders changes of the same entry that several gateways make. An entry that has ended, or was `lifted`, is
    kept until `kept`: `bans` is how often in a row there was one, and a gateway that was away must hear of the end.
    """

    kind: Kind
    value: str
    reason: str = ""
    until: float | None = None
    source: Source = "file"
    changed: float = 0.0
    bans: int = 0
    lifted: bool = False
    kept: float | None = None

    @property
    def key(self) -> Key:
        """There is one entry for each."""
        return self.kind, self.value

    def holds(self, now: float) -> bool:
        """Whether it blocks anything at this time."""
        return not self.lifted and (self.until is None or now < self.until)

    def is_over(self, now: float) -> bool:
        """Whether it need not be kept any more."""
        end = self.until if self.kept is None else self.kept
        return not self.holds(now) and end is not None and now >= end

    def described(self) -> str:
        """A text for logs and `explain`."""
        until = f" until {format_instant(self.until)}" if self.until is not None else ""
        return f"{self.kind} {self.value} is blocked{until} ({self.source})" + (
            f": {self.reason}" if self.reason else ""
        )

    def to_json(self) -> bytes:
        """The entry for stores."""
        return orjson.dumps(asdict(self))


def from_json(text: bytes | str) -> Entry:
    """An entry from a store. Raises ValueError where it is none."""
    try:
        fields: dict[str, Any] = orjson.loads(text)
        entry = Entry(**fields)
        numbers = (entry.changed, entry.bans, entry.until or 0, entry.kept or 0)
        right = entry.kind in KINDS and all(isinstance(number, int | float) for number in numbers)
        value = canonical(entry.kind, entry.value) if right else None
        if value is not None and entry.kind == "path":
            return replace(entry, value=value)  # it may be older than the form in which paths are compared
        if entry.value != value:
            raise ValueError("it is no entry of a blocklist")
    except TypeError:
        raise ValueError("it is no entry of a blocklist") from None
    return entry


def canonical(kind: str, value: Any) -> str:
    """The one way in which a value is written. Raises ValueError, with what is expected instead."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("expected a text without control characters")
    if kind == "network":
        return str(unmapped(parse_network(value)))
    if kind == "consumer":
        if not 0 < len(value) <= MAX_TEXT:
            raise ValueError(f"the name of a consumer has 1 to {MAX_TEXT} characters")
        return value
    if kind == "user_agent":
        return parse_glob(value).lower()
    return normalise_literal(parse_path_glob(value)).lower()


class _Globs:
    """The entries of one kind whose values are patterns; what fits a text is remembered."""

    __slots__ = ("_entries", "_remembered")

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Glob, Entry]] = {}
        self._remembered: dict[str, tuple[Entry, ...]] = {}

    def add(self, entry: Entry) -> None:
        self._entries[entry.value] = Glob(entry.value), entry
        self._remembered.clear()

    def remove(self, value: str) -> None:
        self._entries.pop(value, None)
        self._remembered.clear()

    def fitting(self, text: str) -> tuple[Entry, ...]:
        found = self._remembered.get(text)
        if found is None:
            lowered = text.lower()
            found = tuple(entry for glob, entry in self._entries.values() if glob.matches(lowered))
            if len(text) <= REMEMBERED_LENGTH:
                if len(self._remembered) >= REMEMBERED:
                    self._remembered.clear()
                self._remembered[text] = found
        return found

    def __len__(self) -> int:
        return len(self._entries)


class EntryTable:
    """Entries, as requests look them up: the cost does not depend on how many networks and consumers there are."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.requests = 0  # entries that `about` may find
        self._networks: NetworkMap[Entry] = NetworkMap()
        self.consumers: dict[str, Entry] = {}  # by name, also those that have ended
        self._agents = _Globs()
        self._paths = _Globs()
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Put an entry in, in place of the one with the same key."""
        if entry.kind == "network":
            self._networks.add(_network(entry.value), entry)
        elif entry.kind == "consumer":
            self.consumers[entry.value] = entry
        else:
            self._globs(entry.kind).add(entry)
        self._count()

    @property
    def patterns(self) -> int:
        """How many entries are patterns: each of these is compared with every text that was not seen lately."""
        return len(self._agents) + len(self._paths)

    def remove(self, key: Key) -> None:
        """Take an entry out, if it is there."""
        kind, value = key
        if kind == "network":
            self._networks.remove(_network(value))
        elif kind == "consumer":
            self.consumers.pop(value, None)
        else:
            self._globs(kind).remove(value)
        self._count()

    def _globs(self, kind: Kind) -> _Globs:
        return self._agents if kind == "user_agent" else self._paths

    def _count(self) -> None:
        self.requests = len(self._networks) + len(self._agents) + len(self._paths)

    def about(self, client: str, agents: Iterable[bytes], paths: Iterable[str]) -> Iterator[Entry]:
        """The entries about a request, also those that have ended.

        `agents` are all lines of its User-Agent, `paths` all forms of its path.
        """
        yield from self._networks.covering(client)
        if self._agents:
            for agent in agents:
                yield from self._agents.fitting(agent.decode("latin-1"))
        if self._paths:
            for path in paths:
                yield from self._paths.fitting(path)


def _network(value: str) -> IPv4Network | IPv6Network:
    return ip_network(value)
