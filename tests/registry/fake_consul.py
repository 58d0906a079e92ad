"""A stand-in for an agent of Consul, which can be had from no package registry: it obeys the rules of its index.

A query with an index is answered when the index is passed, or after its `wait`; one without, or with 0, at once. The
shape of the answers is that of Consul's documentation (`/v1/health/service/:service`).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support import read_head


def entry(host: str, port: int, *, node: str = "10.9.9.9", **more: Any) -> dict[str, Any]:
    """An instance: `checks` by name with their status, `weights`, `tags`, `zone`."""
    checks = {"serfHealth": "passing"} | more.get("checks", {})
    service = {
        "ID": f"mail-{host}-{port}",
        "Service": "mail",
        "Tags": more.get("tags", []),
        "Address": host,
        "Port": port,
    }
    service["Weights"] = more.get("weights", {"Passing": 1, "Warning": 1})
    if "zone" in more:
        service["Locality"] = {"Region": "r", "Zone": more["zone"]}
    return {
        "Node": {"Node": "one", "Address": node, "Datacenter": "dc1"},
        "Service": service,
        "Checks": [{"CheckID": name, "Name": name, "Status": status} for name, status in checks.items()],
    }


@dataclass
class FakeConsul:
    """One agent, as a script of `scripted_backend`."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    index: int = 10
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    queries: list[dict[str, str]] = field(default_factory=list)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def change(self, *entries: dict[str, Any], index: int | None = None) -> None:
        """These are the instances from now on; the index goes up, unless another one is given."""
        self.entries = list(entries)
        self.index = self.index + 1 if index is None else index
        self.wake()

    def wake(self) -> None:
        """Answer all queries that wait, whether there is anything new or not."""
        self._woken.set()
        self._woken = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer queries of one connection."""
        while True:
            head = (await read_head(reader)).decode()
            target = urlsplit(head.split(" ")[1])
            query = {name: values[0] for name, values in parse_qs(target.query, keep_blank_values=True).items()}
            self.queries.append(query)
            await self._wait(query)
            body = json.dumps([each for each in self.entries if query.get("tag", "") in ["", *each["Service"]["Tags"]]])
            status = "200 OK"
            if self.token and f"x-consul-token: {self.token}" not in head.lower():
                status, body = "403 Forbidden", "Permission denied: token lacks permission 'service:read'"
            headers = {"X-Consul-Index": str(self.index), "X-Consul-KnownLeader": "true"} | self.headers
            lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
            writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode())
            await writer.drain()

    async def _wait(self, query: dict[str, str]) -> None:
        index = int(query.get("index", "0"))
        if index and index >= self.index:
            try:
                async with asyncio.timeout(float(query.get("wait", "300s").rstrip("s"))):
                    await self._woken.wait()
            except TimeoutError:
                pass
