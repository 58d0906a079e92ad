"""Instances in Consul, by blocking queries on the health of a service (/v1/health/service).

A query waits until its index is passed, and answers with the whole set. It may answer without a change, which is
compared here; an index that goes back begins again at 0, and one below 1 counts as 1, so that no query returns at once
for ever (Consul's documentation, "Blocking queries").
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx2
import orjson

from gateway.http.redaction import shown_url
from gateway.outside.http_client import whole_body
from gateway.registry.asking import UNREADABLE, client_of
from gateway.registry.instances import MAX_WEIGHT, parse_instance
from gateway.registry.parsing import parsed
from gateway.registry.source import Instances, Sink, SourceLost, one_line
from gateway.upstream.member import Member

ANSWER_SECONDS: Final = 5.0
WAIT_SECONDS: Final = 55  # for a change; the server adds up to a sixteenth
APART_SECONDS: Final = 0.1  # between two queries, however often it answers
OLD_MILLISECONDS: Final = 60_000  # since an answer's server heard of its leader
MAX_BYTES: Final = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class ConsulQuery:
    """The query and its address."""

    url: str
    service: str
    tag: str | None = None
    datacenter: str | None = None
    stale: bool = True  # any server may answer, not only the leader
    token: str | None = None
    ca: Path | None = None


class ConsulSource:
    """The instances of one service, as one datacenter knows them."""

    def __init__(self, query: ConsulQuery, wait: int = WAIT_SECONDS) -> None:
        self._query = query
        self._wait = wait
        self._bad: frozenset[str] = frozenset()  # what is known to be wrong

    @property
    def place(self) -> str:
        """The agent, and the service."""
        return f"consul {shown_url(self._query.url)} {self._query.service}"

    async def watch(self, sink: Sink) -> None:
        """See `Source`."""
        seconds = self._wait * 17 / 16 + ANSWER_SECONDS
        async with client_of(seconds, self._query.ca) as client:
            index, known = 0, b""
            while True:
                began = time.perf_counter()
                async with asyncio.timeout(seconds if index else ANSWER_SECONDS):
                    answered, body = await self._ask(client, index)
                if body == known:
                    sink.alive()
                else:
                    happened, known = time.perf_counter(), body
                    members, bad = await parsed("consul", partial(_parsed, body), len(body))
                    for wrong in sorted(bad - self._bad):
                        sink.fault(wrong)
                    self._bad = bad
                    sink.deliver(Instances(members, str(answered), happened, sorted(bad)))
                index = max(1, answered) if answered >= index else 0
                await asyncio.sleep(APART_SECONDS - (time.perf_counter() - began))

    async def _ask(self, client: httpx2.AsyncClient, index: int) -> tuple[int, bytes]:
        """The index and the body of an answer. Raises SourceLost, or what HTTP raises."""
        query = self._query
        parameters: dict[str, str] = {"index": str(index), "wait": f"{self._wait}s"} if index else {}
        parameters |= {"tag": query.tag} if query.tag else {}
        parameters |= {"dc": query.datacenter} if query.datacenter else {}
        parameters |= {"stale": ""} if query.stale else {}
        url = f"{query.url.rstrip('/')}/v1/health/service/{quote(query.service, safe='')}"
        headers = {"x-consul-token": query.token} if query.token else {}
        async with client.stream("GET", url, params=parameters, headers=headers) as response:
            body = await whole_body(response, MAX_BYTES)
        if response.status_code != 200:
            reason = " ".join(body.decode(errors="replace").split())[:200]
            raise SourceLost(f"it answers {response.status_code}: {reason or 'without a reason'}")
        return _index_of(response.headers), body


def _index_of(headers: httpx2.Headers) -> int:
    """The index of an answer. Raises SourceLost where its server cannot know what there is."""
    if headers.get("x-consul-knownleader", "true").lower() == "false":
        raise SourceLost("it has no leader, so its data may be old")
    contact, index = headers.get("x-consul-lastcontact", "0"), headers.get("x-consul-index", "")
    if _is_number(contact) and int(contact) > OLD_MILLISECONDS:
        raise SourceLost(f"its server has not heard of the leader for {int(contact) // 1000} s")
    if not _is_number(index):
        raise SourceLost("it answers without an index; the url is that of an agent of Consul, http://host:8500")
    return int(index)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(2**64))


def _parsed(body: bytes) -> tuple[tuple[Member, ...], frozenset[str]]:
    """The instances, and what is wrong with those that are left out."""
    members: list[Member] = []
    bad: set[str] = set()
    try:
        entries = orjson.loads(body)
        for entry in entries:
            try:
                members.append(_member(entry))
            except ValueError as error:
                name = entry["Service"].get("ID", "")
                bad.add(f"the instance {str(name)[:100]!r} is left out: {error}")
    except UNREADABLE as error:
        raise SourceLost("it does not answer as Consul does") from error
    return tuple(members), frozenset(bad)


def _member(entry: Mapping[str, Any]) -> Member:
    """Raises ValueError where the instance cannot be used, or KeyError and its like where this is not Consul's."""
    service, node = entry["Service"], entry["Node"]
    checks = {check["Status"]: check for check in entry["Checks"]}  # of the node, and of the service
    weights = service.get("Weights") or {}
    critical = next((check for status, check in checks.items() if status not in ("passing", "warning")), None)
    weight = weights.get("Warning" if "warning" in checks else "Passing", 1)
    locality = service.get("Locality") or node.get("Locality") or {}
    member = parse_instance(
        {
            "host": service.get("Address") or node["Address"],
            "port": service["Port"],
            "weight": min(weight, MAX_WEIGHT),
            "zone": locality.get("Zone", ""),
        }
    )
    if critical is None:
        return member
    name = str(critical.get("Name") or critical.get("CheckID"))[:100]
    return replace(member, up=False, reason=f"its check {name!r} is {one_line(str(critical['Status'])[:100])}")
