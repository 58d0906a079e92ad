"""Instances that name servers know: the addresses of a name (A, AAAA), or what its SRV records name (RFC 2782)."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from gateway.outside.names import Found, NameServers, NoAnswer
from gateway.registry.sightings import Sighting, Sightings
from gateway.registry.source import Instances, Sink, SourceLost
from gateway.upstream.member import Address, Member

Family = Literal["A", "AAAA"]

BOTH: Final[tuple[Family, ...]] = ("A", "AAAA")
SHORTEST: Final = 1.0  # seconds between two answers about one name, whatever their TTL
BEFORE_EXPIRY: Final = (0.85, 0.95)  # of the TTL: when to ask again
UNIT: Final = 100  # what a weight of 1 counts beside one of 0, which RFC 2782 gives "a very small chance"


@dataclass(frozen=True, slots=True)
class Ttl:
    """How long answers are used, in seconds."""

    least: float = SHORTEST
    most: float = 3600.0
    override: float | None = None

    def of(self, ttl: float) -> float:
        """The TTL to use for that of an answer."""
        return max(SHORTEST, min(max(ttl, self.least), self.most) if self.override is None else self.override)


@dataclass(slots=True)
class _Answers:
    """The result of one round of queries."""

    seen: dict[Address, Sighting] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)  # the questions, and why
    ttl: float = float("inf")  # the shortest

    def add(self, member: Member, question: str, ttl: float) -> None:
        self.ttl = min(self.ttl, ttl)
        before = self.seen.get(member.address)
        if before is None or member.priority < before.member.priority:  # two records may name the same
            self.seen[member.address] = Sighting(member, question)


class DnsSource:
    """One name, asked for again shortly before what is known of it expires. No request waits for that."""

    def __init__(
        self,
        name: str,
        port: int | None,
        servers: NameServers,
        families: tuple[Family, ...] = BOTH,
        ttl: Ttl | None = None,
        hold: float = 10.0,
    ) -> None:
        """`port`: None for SRV records, which have their own. `hold`: seconds after which a missing instance is
        removed.

        Of both families, IPv6 is used only where this machine has a way to it.
        """
        self.name = name
        self.place = f"DNS {name}" + (f" of {', '.join(servers.servers)}" if servers.servers else "")
        self._port = port
        self._servers = servers
        self._families = families
        self._ttl = ttl or Ttl()
        self._hold = hold
        self._sightings = Sightings(hold)

    async def watch(self, sink: Sink) -> None:
        """See `Source`."""
        while True:
            began = time.perf_counter()
            answers = await self._ask()
            if answers.unanswered and not answers.seen:
                raise SourceLost("; ".join(answers.unanswered.values()))
            members = self._sightings.take(answers.seen, answers.unanswered, time.perf_counter())
            sink.deliver(Instances(members, "", began))
            # Seconds until the next question. While something is missing, three of them make up the hold time.
            ttl = answers.ttl
            wait = self._ttl.of(ttl) * random.uniform(*BEFORE_EXPIRY)
            if ttl == float("inf") or self._sightings.incomplete:
                wait = min(wait, self._hold / 3)
            await asyncio.sleep(max(SHORTEST, wait))

    async def _ask(self) -> _Answers:
        answers = _Answers()
        if self._port is not None:
            await self._resolve(answers, self.name, Member(Address("", self._port)))
            return answers
        try:
            services = await self._servers.ask(self.name, "SRV")
        except NoAnswer as reason:
            answers.unanswered[self.name] = str(reason)
            return answers
        # A target of "." says that the service is not here, and nothing listens at port 0.
        records = [record for record in services.records if record.value and record.port]
        answers.ttl = min((record.ttl for record in records), default=answers.ttl)
        await asyncio.gather(
            *(self._resolve(answers, record.value, member, services.beside) for record, member in _weighted(records))
        )
        return answers

    async def _resolve(
        self, answers: _Answers, host: str, member: Member, known: Mapping[str, Sequence[Found]] | None = None
    ) -> None:
        """One member for each address of a host, all like this one. `known`: addresses that came along already."""
        beside = known.get(host, ()) if known else ()
        await asyncio.gather(
            *(self._resolve_family(answers, host, member, family, beside) for family in self._families)
        )

    async def _resolve_family(
        self, answers: _Answers, host: str, member: Member, family: Family, beside: Sequence[Found]
    ) -> None:
        question = f"{host} {family}"
        try:
            found = (
                [found for found in beside if (":" in found.value) == (family == "AAAA")]
                if beside
                else await self._servers.addresses(host, family)
            )
        except NoAnswer as reason:
            answers.unanswered[question] = str(reason)
            return
        for each in found:
            address = Address(each.value, member.address.port)
            if family == "A" or len(self._families) == 1 or _has_a_way_to(address):
                answers.add(replace(member, address=address), question, each.ttl)


def _weighted(records: Sequence[Found]) -> Iterator[tuple[Found, Member]]:
    """The hosts of SRV records. To us a weight of 0 would mean that no new requests go there."""
    lightest: dict[int, int] = {}
    heaviest: dict[int, int] = {}
    for each in records:
        lightest[each.priority] = min(each.weight, lightest.get(each.priority, each.weight))
        heaviest[each.priority] = max(each.weight, heaviest.get(each.priority, 0))
    for each in records:
        mixed = lightest[each.priority] == 0 < heaviest[each.priority]
        weight = max(1, each.weight * UNIT if mixed else each.weight)
        yield each, Member(Address("", each.port), weight, priority=each.priority)


def _has_a_way_to(address: Address) -> bool:
    """Whether this machine has a route to an IPv6 address. Nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((address.host, address.port))
    except OSError:
        return False
    return True
