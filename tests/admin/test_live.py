"""What happens, as it happens: the events of the admin port."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from gateway.admin.live import MOST_CLIENTS, MOST_SHOWN, MOST_WAITING, Live
from gateway.admin.operations import routes_of
from gateway.http import Exchange, Identity, Outcome
from gateway.monitor.recent_requests import MOST, RecentRequests
from tests.support import running_gateway


class Reader:
    """A client of the events: an ASGI server's side of one connection."""

    def __init__(self, live: Live, query: str = "", last: str = "") -> None:
        self.allowed = True
        self.status = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self.leaves = asyncio.Event()
        self.came = asyncio.Event()
        self.text = ""
        headers = [(b"last-event-id", last.encode())] if last else []
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": "/events",
            "query_string": query.encode(),
            "headers": headers,
        }
        scope["state"] = {"still_allowed": lambda: self.allowed}
        self.task = asyncio.create_task(self._run(live, scope))

    async def _run(self, live: Live, scope: dict[str, Any]) -> None:
        await Starlette(routes=routes_of(live.operations()))(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        self.status = message.get("status", self.status)
        self.text += message.get("body", b"").decode()
        self.came.set()

    async def until(self, text: str) -> str:
        """Wait for this to come."""
        async with asyncio.timeout(30):
            while text not in self.text:
                self.came.clear()
                await self.came.wait()
        return self.text

    def events(self, name: str) -> list[Any]:
        """The contents of all events of this name."""
        blocks = [
            dict(line.split(": ", 1) for line in block.splitlines()) for block in self.text.split("\n\n") if block
        ]
        return [json.loads(block["data"]) for block in blocks if block.get("event") == name]

    def paths(self) -> list[str]:
        return [each["path"] for event in self.events("requests") for each in event["requests"]]

    @property
    def last_id(self) -> str:
        return self.text.rsplit("id: ", 1)[1].partition("\n")[0]


@asynccontextmanager
async def looking(recent: RecentRequests) -> AsyncIterator[Live]:
    async def state() -> Mapping[str, Any]:
        return {"requests": recent.number}

    live = Live(recent, state)
    task = asyncio.create_task(live.run())
    try:
        yield live
    finally:
        task.cancel()
        live.end()


def request(
    recent: RecentRequests, path: str, status: int = 200, route: str | None = "r", consumer: str | None = None
) -> None:
    exchange = Exchange("id-" + path, "GET", path, b"", [], {}, "http", "a.example", "10.0.0.1", False, "10.0.0.1")
    exchange.route = route
    exchange.identity = Identity(consumer, "keys") if consumer is not None else None
    recent.report(exchange, Outcome(1.0, 0.0, status))


async def test_requests_come_as_they_happen() -> None:
    """At first those that are kept, then each one once; and what is wrong, every two seconds."""
    recent = RecentRequests()
    request(recent, "/before")
    async with looking(recent) as live:
        reader = Reader(live)
        await reader.until("event: state")
        assert reader.status == 200
        assert reader.text.startswith("retry: ")
        assert reader.paths() == ["/before"]
        request(recent, "/after", 503)
        await reader.until("/after")
        assert reader.paths() == ["/before", "/after"]
        assert reader.events("requests")[-1]["requests"][0]["status"] == 503


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("", ["/a", "/b", "/c", "/d"]),
        ("route=orders", ["/a"]),
        ("status=5xx", ["/b"]),
        ("status=404,5xx", ["/b", "/c"]),
        ("consumer=acme", ["/d"]),
        ("text=ID-/C", ["/c"]),
        ("text=10.0.0.1&status=2xx", ["/a", "/d"]),
    ],
)
async def test_only_what_is_asked_for_comes(query: str, paths: list[str]) -> None:
    """The gateway filters, so that a few requests among very many are not missed."""
    recent = RecentRequests()
    async with looking(recent) as live:
        reader = Reader(live, query)
        request(recent, "/a", route="orders")
        request(recent, "/b", 502)
        request(recent, "/c", 404, route=None)
        request(recent, "/d", consumer="acme")
        await reader.until(paths[-1])
        assert reader.paths() == paths


async def test_wrong_filters_are_refused() -> None:
    """With what is expected."""
    async with looking(RecentRequests()) as live:
        for query in ("status=ok", "status=700", "text=" + "x" * 300):
            reader = Reader(live, query)
            await reader.task
            assert reader.status == 400


async def test_a_client_that_comes_again_goes_on_where_it_was() -> None:
    """What it has seen does not come again; what another process counted means nothing here."""
    recent = RecentRequests()
    async with looking(recent) as live:
        first = Reader(live)
        request(recent, "/one")
        await first.until("/one")
        first.leaves.set()
        await first.task
        request(recent, "/two")
        again, stranger = Reader(live, last=first.last_id), Reader(live, last="00000000-1")
        await again.until("/two")
        await stranger.until("/two")
        assert again.paths() == ["/two"]
        assert stranger.paths() == ["/one", "/two"]


async def test_what_is_too_much_is_counted() -> None:
    """Under load the newest are shown, and how many were not."""
    recent = RecentRequests()
    async with looking(recent) as live:
        reader = Reader(live)
        request(recent, "/first")
        await reader.until("/first")
        for number in range(MOST + 300):
            request(recent, f"/{number}")
        await reader.until(f'"/{MOST + 299}"')
        last = reader.events("requests")[-1]
        assert len(last["requests"]) == MOST_SHOWN
        assert last["missed"] == MOST + 300 - MOST_SHOWN


async def test_a_client_that_does_not_read_is_dropped() -> None:
    """Its queue is bounded in bytes, and let go; when it reads again, its stream ends, so that it comes again.
    Those who read notice nothing."""
    recent = RecentRequests()
    async with looking(recent) as live:
        slow = Reader(live)
        await slow.until("event: state")
        (client,) = live._clients
        quick = Reader(live)
        await quick.until("event: state")
        slow.reads.clear()
        rounds = 0
        while not client.over.is_set():
            for number in range(MOST_SHOWN):
                request(recent, f"/{rounds}/{number}/" + "x" * 1000)
            await live._send_requests()
            rounds += 1
            assert client.size <= MOST_WAITING
            await asyncio.sleep(0.01)
            assert rounds < 200
        assert (client.size, len(client.waiting)) == (0, 0)
        assert not slow.task.done()
        await quick.until(f"/{rounds - 1}/0/")
        slow.reads.set()
        async with asyncio.timeout(30):
            await slow.task
        assert not quick.task.done()


async def test_the_number_of_clients_is_bounded() -> None:
    """One more is asked to come later; when one leaves, there is room."""
    async with looking(RecentRequests()) as live:
        readers = [Reader(live) for _ in range(MOST_CLIENTS)]
        await asyncio.gather(*(reader.until("retry") for reader in readers))
        late = Reader(live)
        await late.task
        assert late.status == 503
        readers[0].leaves.set()
        await readers[0].task
        assert (await Reader(live).until("retry")).startswith("retry")


async def test_who_may_not_look_any_more_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that has ended ends the events that were begun with it."""
    monkeypatch.setattr("gateway.admin.live.COMMENT_EVERY", 0.0)
    async with looking(RecentRequests()) as live:
        reader = Reader(live)
        await reader.until("event: state")
        reader.allowed = False
        async with asyncio.timeout(30):
            await reader.task


async def test_texts_of_clients_stay_texts() -> None:
    """A path with line breaks, or a name that is no Unicode, is neither another event nor an error."""
    recent = RecentRequests()
    async with looking(recent) as live:
        reader = Reader(live)
        request(recent, "/x\n\nevent: state\ndata: {}\n\n", consumer="half \ud800")
        request(recent, "/y")
        await reader.until("/y")
        assert reader.paths() == ["/x\n\nevent: state\ndata: {}\n\n", "/y"]
        assert reader.events("requests")[0]["requests"][0]["consumer"] == "half \ud800"


def test_a_gateway_with_listeners_ends_quietly(tmp_path: Path) -> None:
    """They are closed in order rather than reset, without an error in the log."""
    with running_gateway(tmp_path, "routes: [{path: /x, respond: 204}]") as gateway:
        with socket.create_connection(("127.0.0.1", gateway.admin_port), timeout=10) as listening:
            listening.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            received = b""
            while b"event: state" not in received:
                received += listening.recv(65536)
            gateway.stop()
            while piece := listening.recv(65536):
                received += piece
        assert received.endswith(b"0\r\n\r\n")
        assert "Traceback" not in gateway.log
