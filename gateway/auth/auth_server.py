"""An authorization server, asked over HTTP while a request waits: client, deadline, and when it is left alone."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Hashable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Literal

import httpx2

from gateway.auth.turns import BusyError, Turns
from gateway.http.redaction import shown_url
from gateway.outside.throttled_log import ThrottledLog

MAX_BYTES = 256 * 1024  # of an answer
CONNECTIONS = 128
logger = logging.getLogger("gateway.auth")

FAILURES = 5  # in a row, and of different callers, after which it is left alone
PAUSE = 5.0  # seconds for which it is
TRIES = 32  # addresses that may try in any PAUSE afterwards
AT_ONCE_OF_ONE = 96  # queries of one address, out of CONNECTIONS
WAITING_OF_ONE = 500
WAITING = 1000


class AuthServerError(Exception):
    """There is no reply; the text says why, to the log."""


class AuthServerBusyError(AuthServerError):
    """It was not asked, because too many others wait for their answers."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said. Names of headers in lower case."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked."""

    method: Literal["GET", "POST"]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    form: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Requester:
    """Who makes the gateway ask. None: what happens is not of their doing."""

    address: Hashable | None = None
    credential: bytes | None = None  # a digest


NO_REQUESTER = Requester()


class Breaker:
    """Leaves a server alone that did not answer several times in a row; then single calls find out.

    What one address or one credential causes counts once: a caller whose tokens make the server hang does not close it
    for all others. Nor does that caller's failure, when it is tried again, keep it closed: others may try, too.
    """

    def __init__(self, failures: int = FAILURES, pause: float = PAUSE) -> None:
        self._limit = failures
        self._pause = pause  # seconds
        self._failures = 0
        self._closed_until = 0.0
        self._causes: set[tuple[str, Hashable]] = set()  # of the failures that were counted
        self._not_before: dict[Hashable | None, float] = {}  # when each address may try that tried in vain

    def allows(self, now: float, address: Hashable | None = None) -> bool:
        """Whether to try. When the pause is over, every address may once, until one finds that it works."""
        if self._failures < self._limit:
            return True
        if now < self._closed_until or now < self._not_before.get(address, now):
            return False
        if len(self._not_before) >= TRIES:
            self._not_before = {who: time for who, time in self._not_before.items() if now < time}
            if len(self._not_before) >= TRIES:
                return False
        self._not_before[address] = now + self._pause
        return True

    def succeeded(self) -> None:
        self._failures = 0
        self._causes.clear()
        self._not_before.clear()

    def failed(self, now: float, requester: Requester = NO_REQUESTER) -> None:
        if self._failures >= self._limit:
            self._not_before[requester.address] = now + self._pause
            return
        named = (("address", requester.address), ("credential", requester.credential))
        causes = {cause for cause in named if cause[1] is not None}
        if causes and not causes.isdisjoint(self._causes):
            return
        self._causes |= causes
        self._failures += 1
        self._closed_until = now + self._pause


class AuthServer:
    """One URL, with a client and a breaker that outlive a reload.

    Redirects are not followed, cookies not kept, and the proxies of the environment not used. Requests that began
    before a reload get their answers from what the reload stopped: its connections are closed behind the last of them.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url
        self.shown = shown_url(url)  # for logs
        self._timeout = timeout  # seconds, for all of one call
        self._breaker = Breaker()
        self._turns = Turns(CONNECTIONS, AT_ONCE_OF_ONE, WAITING_OF_ONE, WAITING)
        self._client: httpx2.AsyncClient | None = None
        self._asked = 0  # queries that wait for their answers
        self._log = ThrottledLog(logger.warning, PAUSE)
        self._stopped = False

    async def start(self) -> None:
        """Make the client, which connects when it is asked for something."""
        self._client = await self._made()

    async def _made(self) -> httpx2.AsyncClient:
        tls = await asyncio.to_thread(ssl.create_default_context)  # reads a large file
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        return httpx2.AsyncClient(
            verify=tls,
            trust_env=False,
            follow_redirects=False,
            timeout=self._timeout,
            limits=limits,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one caller's are never sent for another
        )

    async def stop(self) -> None:
        """Close its connections, once no query waits for a reply any more."""
        self._stopped = True
        await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._stopped and not self._asked and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def ask(self, query: Query, requester: Requester = NO_REQUESTER) -> Reply:
        """What it says, within the time; as long at most it takes until it can be asked. Raises AuthServerError."""
        if not self._breaker.allows(time.monotonic(), requester.address):
            times = f"{FAILURES} times in a row"
            raise AuthServerError(f"{self.shown} did not answer {times}, and is left alone for {PAUSE:g} s")
        self._asked += 1
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._timeout):
                    await stack.enter_async_context(self._turns.turn(requester.address))
                return await self._answer(query, requester)
        except (BusyError, TimeoutError):
            raise AuthServerBusyError(f"{self.shown}: too many questions wait for their answers") from None
        finally:
            self._asked -= 1
            await self._close_if_unused()

    async def _answer(self, query: Query, requester: Requester) -> Reply:
        try:
            async with asyncio.timeout(self._timeout):
                if self._client is None:  # it was stopped, and a query still came
                    made = await self._made()
                    self._client = self._client or made
                reply = await self._exchange(self._client, query)
        except TimeoutError:
            raise self._failed(f"it did not answer within {self._timeout:g} s", requester) from None
        except httpx2.ConnectError as error:  # whatever the token
            raise self._failed(str(error) or type(error).__name__, NO_REQUESTER) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise self._failed(str(error) or type(error).__name__, requester) from None
        self._breaker.succeeded()
        if reply.status >= 500:  # no reason to leave it alone: one caller's credential may be what it cannot digest
            raise AuthServerError(f"{self.shown}: it answered {reply.status}")
        return reply

    def warn(self, scheme: str, failure: object) -> None:
        """Log a failure; of many, one in PAUSE seconds, with the number of those in between."""
        self._log.line("scheme %s: %s", scheme, failure)

    def _failed(self, reason: str, requester: Requester) -> AuthServerError:
        self._breaker.failed(time.monotonic(), requester)
        return AuthServerError(f"{self.shown}: {reason}")

    async def _exchange(self, client: httpx2.AsyncClient, query: Query) -> Reply:
        request = client.build_request(query.method, self.url, headers=query.headers, data=query.form)
        response = await client.send(request, stream=True)
        try:
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_BYTES:
                    raise AuthServerError(f"{self.shown} sent more than {MAX_BYTES // 1024} KiB")
            return Reply(response.status_code, _lower(response.headers.raw), bytes(body))
        finally:
            await response.aclose()


def _lower(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers]
