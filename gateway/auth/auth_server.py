"""An authorization server, asked over HTTP while a request waits: client, deadline, and when it is left alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, Literal

import httpx2

from gateway.auth.turns import BusyError, Turns
from gateway.http.redaction import shown_url
from gateway.outside.breaker import FAILURES, NO_REQUESTER, PAUSE, Breaker, Requester
from gateway.outside.http_client import HTTP_ERRORS, TooLargeError, http_client, reason_of, whole_body
from gateway.outside.throttled_log import ThrottledLog
from gateway.plurals import counted

MAX_BYTES = 256 * 1024  # of an answer
CONNECTIONS = 128
REPORTED = 300.0  # seconds for which a failure is current, where nothing is asked after it
logger = logging.getLogger("gateway.auth")

_CUT: Final = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
Extensions = dict[str, Callable[[str, object], Awaitable[None]]]

AT_ONCE_OF_ONE = 96  # queries of one address, out of CONNECTIONS
WAITING_OF_ONE = 500
WAITING = 1000


class AuthServerError(Exception):
    """There is no reply; the text says why, to the log."""


class AuthServerLeftAloneError(AuthServerError):
    """The request was not sent, because the last ones failed."""


class AuthServerBusyError(AuthServerError):
    """The request was not sent, because too many others wait for their answers."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's answer. Names of headers in lower case."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Query:
    """The request to the server."""

    method: Literal["GET", "POST"]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    form: Mapping[str, str] | None = None


class AuthServer:
    """One URL, with a client and a breaker that outlive a reload.

    Requests that began before a reload get their answers from what the reload stopped: its connections are closed
    behind the last of them.
    """

    def __init__(self, url: str, timeout: float, scheme: str, refused_with: int = 503) -> None:
        """`refused_with`: the status that callers get while it does not answer."""
        self.url = url
        self._scheme = scheme
        self._refused_with = refused_with
        self.shown = shown_url(url)  # for logs
        self._timeout = timeout  # seconds, for all of one call
        self._breaker = Breaker()
        self._turns = Turns(CONNECTIONS, AT_ONCE_OF_ONE, WAITING_OF_ONE, WAITING)
        self._client: httpx2.AsyncClient | None = None
        self._asked = 0  # queries that wait for their answers
        self._log = ThrottledLog(logger.warning, PAUSE)
        self._stopped = False
        self._reason = ""  # why the last query failed
        self._failures = 0  # queries that failed, since the last that did not
        self._failed_at = 0.0  # monotonic time of the last of these
        self._failing_since = 0.0  # that of the first

    async def start(self) -> None:
        """Make the client, which connects when it is asked for something."""
        self._client = await http_client(self._timeout, CONNECTIONS)

    async def stop(self) -> None:
        """Close its connections, once no query waits for a reply any more."""
        self._stopped = True
        await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._stopped and not self._asked and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def ask(self, query: Query, requester: Requester = NO_REQUESTER) -> Reply:
        """Its answer, within the time limit, which includes waiting for a free slot. Raises AuthServerError."""
        if not self._breaker.allows(time.monotonic(), requester.address):
            times = f"{FAILURES} times in a row"
            why = f" ({self._reason})" if self._failures else ""
            raise AuthServerLeftAloneError(
                f"{self.shown} did not answer {times}, and is left alone for {PAUSE:g} s{why}"
            )
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
        asked = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                if self._client is None:  # it was stopped, and a query still came
                    made = await http_client(self._timeout, CONNECTIONS)
                    self._client = self._client or made
                reply = await self._exchange(self._client, query)
        except TimeoutError:
            raise self._broken(f"it did not answer within {self._timeout:g} s", requester, asked) from None
        except httpx2.ConnectError as error:  # whatever the token
            raise self._broken(reason_of(error), NO_REQUESTER, asked) from None
        except HTTP_ERRORS as error:
            raise self._broken(reason_of(error), requester, asked) from None
        self._breaker.succeeded(time.monotonic())
        if reply.status >= 500:  # no reason to leave it alone: one caller's credential may be what it cannot digest
            raise AuthServerError(f"{self.shown}: it answered {reply.status}")
        return reply

    def answered(self) -> None:
        """The last reply was one that can be used."""
        if self._failures:
            self._failures = 0
            self._log.always("scheme %s: %s answers again", self._scheme, self.shown)

    def failed(self, failure: AuthServerError) -> None:
        """A query has failed: log it; of many, one in PAUSE seconds, with the number of those in between."""
        now = time.monotonic()
        if not self._failures:
            self._failing_since = now
        if not isinstance(failure, AuthServerLeftAloneError):
            self._reason = str(failure)
        self._failures += 1
        self._failed_at = now
        self._log.line("scheme %s: %s", self._scheme, failure)

    def troubles(self) -> Iterable[str]:
        """See `Troubled`. It is asked for requests only, so a failure that none followed is over after a while."""
        now = time.monotonic()
        if self._failures and now - self._failed_at < REPORTED:
            queries = counted(self._failures, "query")
            yield (
                f"scheme {self._scheme}: {queries} failed in {now - self._failing_since:.0f} s, the last one "
                f"{now - self._failed_at:.0f} s ago, so callers are answered {self._refused_with}: {self._reason}; see "
                "whether that service runs and its log says why, whether the gateway reaches it, and whether its "
                "address, its certificate and the gateway's credentials for it are right"
            )

    def _broken(self, reason: str, requester: Requester, asked: float) -> AuthServerError:
        self._breaker.failed(time.monotonic(), requester, asked)
        return AuthServerError(f"{self.shown}: {reason}")

    async def _exchange(self, client: httpx2.AsyncClient, query: Query) -> Reply:
        """Its reply. A connection that was kept may be at its end, which is no failure of this query: it is sent once
        more, as it changes nothing."""
        opened = False

        async def trace(event: str, _: object) -> None:
            nonlocal opened
            opened = opened or event.startswith("connection.connect_")

        try:
            return await self._send(client, query, {"trace": trace})
        except _CUT:
            if opened:
                raise
        return await self._send(client, query, {})

    async def _send(self, client: httpx2.AsyncClient, query: Query, extensions: Extensions) -> Reply:
        request = client.build_request(
            query.method, self.url, headers=query.headers, data=query.form, extensions=extensions
        )
        response = await client.send(request, stream=True)
        try:
            headers = [(name.lower(), value) for name, value in response.headers.raw]
            return Reply(response.status_code, headers, await whole_body(response, MAX_BYTES))
        except TooLargeError as error:
            raise AuthServerError(f"{self.shown} {error}") from None
        finally:
            await response.aclose()
