"""`GET /events`: what happens, as it happens, as server-sent events (WHATWG HTML, 9.2).

Nothing is done on the way of a request: a few times a second, while a client is connected, what came since the last
time is read from the last requests that are kept anyway. Each client has a bounded queue; one that does not read is
dropped, comes again by itself, and goes on behind the last event that it has seen.

`requests`  the requests of this client's filters, with the number of those that were not kept long enough to be shown
`state`     what is wrong, and how much there is to do
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.admin.answers import encoded, json_answer
from gateway.admin.operations import Operation
from gateway.admin.pages import without_secrets
from gateway.admin.recent_api import shown
from gateway.admin.wanted_requests import WANTED, WantedRequests, wanted_requests
from gateway.monitor.recent_requests import RecentRequests

MOST_CLIENTS: Final = 50
MOST_WAITING: Final = 512 * 1024  # bytes for one client that does not read
MOST_SHOWN: Final = 50  # requests in one event
REQUESTS_EVERY: Final = 0.5  # seconds
STATE_EVERY: Final = 2.0
COMMENT_EVERY: Final = 15.0  # below the idle time-out of any proxy
RETRY: Final = b"retry: 2000\n\n"  # milliseconds until a client comes again
COMMENT: Final = b": still here\n\n"

State = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(eq=False, slots=True)
class Client:
    """One that is connected."""

    wanted: WantedRequests
    number: int  # of requests that it has been sent
    still_allowed: Callable[[], bool]
    waiting: deque[bytes] = field(default_factory=deque)
    size: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, event: bytes) -> None:
        """Queue it for the client; if the queue is full, the connection is closed and the queue dropped."""
        if self.size + len(event) > MOST_WAITING:
            self.take()
            self.end()
        elif not self.over.is_set():
            self.waiting.append(event)
            self.size += len(event)
            self.news.set()

    def end(self) -> None:
        """Send nothing more."""
        self.over.set()
        self.news.set()

    def take(self) -> bytes:
        """All that waits."""
        events = b"".join(self.waiting)
        self.waiting.clear()
        self.size = 0
        self.news.clear()
        return events


class Live:
    """All clients, and what they are sent. On the event loop."""

    def __init__(self, recent: RecentRequests, state: State, hide: Callable[[str], str] = str) -> None:
        """`hide`: a text without the secrets in it."""
        self._hide = hide
        self._recent = recent
        self._state = state
        self._clients: set[Client] = set()
        self._joined = asyncio.Event()
        self._epoch = secrets.token_hex(4)  # in the ids of events: numbers of another process mean nothing here

    def operations(self) -> list[Operation]:
        """The API."""
        described = (
            "`requests`: those that fit, at first those that are kept; with `Last-Event-ID` those behind that event. "
            f"`state`: what is wrong, every two seconds. At most {MOST_CLIENTS} clients."
        )
        return [
            Operation(
                "GET",
                "/events",
                self.events,
                "What happens, as it happens: server-sent events.",
                WANTED,
                media_type="text/event-stream",
                refusals={400: "a filter is invalid", 503: "too many look already"},
                description=described,
            )
        ]

    async def run(self) -> None:
        """Send clients what happens, for ever."""
        state_due = comment_due = 0.0
        while True:
            if not self._clients:
                self._joined.clear()
                await self._joined.wait()
                state_due = 0.0
            now = time.monotonic()
            await self._send_requests()
            if now >= state_due:
                state_due = now + STATE_EVERY
                event = _event("state", await self._state())
                for client in self._clients:
                    client.offer(event)
            if now >= comment_due:
                comment_due = now + COMMENT_EVERY
                for client in self._clients:
                    if client.still_allowed():
                        client.offer(COMMENT)
                    else:
                        client.end()
            await asyncio.sleep(REQUESTS_EVERY)

    def end(self) -> None:
        """Disconnect all clients."""
        for client in self._clients:
            client.end()

    async def events(self, request: Request) -> Response:
        """The events, for one client."""
        wanted = wanted_requests(request.query_params)
        if len(self._clients) >= MOST_CLIENTS:
            message = f"{MOST_CLIENTS} clients look already; close a page, or try again later"
            return json_answer({"error": message}, 503, {"retry-after": "30"})
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        number = self._seen(request.headers.get("last-event-id", ""))
        return EventStream(self, Client(wanted, number, request.state.still_allowed))

    @contextlib.contextmanager
    def looking(self, client: Client) -> Iterator[None]:
        """While this client looks."""
        self._clients.add(client)
        self._joined.set()
        try:
            yield
        finally:
            self._clients.discard(client)

    def _seen(self, event_id: str) -> int:
        """How many requests a client knows, by the id of its last event."""
        epoch, _, number = event_id.partition("-")
        known = epoch == self._epoch and number.isascii() and number.isdecimal() and len(number) < 20
        return min(int(number), self._recent.number) if known else 0

    async def _send_requests(self) -> None:
        events: dict[tuple[int, WantedRequests], tuple[bytes, int]] = {}  # most clients want the same
        for client in list(self._clients):
            key = client.number, client.wanted
            if key not in events:
                events[key] = self._requests(*key), self._recent.number
                await asyncio.sleep(0)
            event, client.number = events[key]
            if event:
                client.offer(event)

    def _requests(self, number: int, wanted: WantedRequests) -> bytes:
        """The requests behind this number; empty if there are none."""
        came = self._recent.number - number
        if not came:
            return b""
        found = [without_secrets(shown(each), self._hide) for each in self._recent.since(number) if wanted.has(each)]
        missed = max(0, came - self._recent.kept) if number else 0
        cut = max(0, len(found) - MOST_SHOWN)
        if not found and not missed:
            return b""
        content = {"requests": found[cut:], "missed": missed + cut}
        return _event("requests", content, f"{self._epoch}-{self._recent.number}")


class EventStream(Response):
    """The answer that goes on until the client leaves, or gets its end. One that reads nothing gets that when
    it reads again, and has its place until then: so the memory of all of them is bounded."""

    media_type = "text/event-stream"

    def __init__(self, live: Live, client: Client) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._live = live
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with self._live.looking(self._client):
            await send({"type": "http.response.body", "body": RETRY, "more_body": True})
            tasks = [asyncio.create_task(work) for work in (self._send(send), _gone(receive))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        client = self._client
        over = False
        while not over:
            await client.news.wait()
            over = client.over.is_set()
            await send({"type": "http.response.body", "body": client.take(), "more_body": not over})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(name: str, content: Mapping[str, Any], event_id: str | None = None) -> bytes:
    number = b"" if event_id is None else b"id: %b\n" % event_id.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (number, name.encode(), encoded(content))
