"""A service that is asked over HTTP while a request waits: its client, its deadline, and when it is left alone."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Literal

import httpx2

MAX_BYTES = 256 * 1024  # of an answer
CONNECTIONS = 128
logger = logging.getLogger("gateway.auth")

FAILURES = 5  # in a row, after which it is left alone
PAUSE = 5.0  # seconds for which it is


class AskError(Exception):
    """There is no answer; the text says why, to the log."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said. Names of headers in lower case."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    method: Literal["GET", "POST"]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    form: Mapping[str, str] | None = None


class Breaker:
    """Leaves a service alone that did not answer several times in a row; then lets one call at a time find out."""

    def __init__(self, failures: int = FAILURES, pause: float = PAUSE) -> None:
        self._limit = failures
        self._pause = pause  # seconds
        self._failures = 0
        self._closed_until = 0.0

    def allows(self, now: float) -> bool:
        """Whether to try. Of several that ask when the pause is over, the first tries for all."""
        if self._failures < self._limit:
            return True
        if now < self._closed_until:
            return False
        self._closed_until = now + self._pause
        return True

    def succeeded(self) -> None:
        """It works."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """It does not."""
        self._failures += 1
        self._closed_until = now + self._pause


class AskedService:
    """A service in the sense of `context`: one URL, with a client and a breaker that outlive a reload.

    Redirects are not followed, cookies not kept, and the proxies of the environment not used. Requests that began
    before a reload get their answers from what the reload stopped: its connections are closed behind the last of them.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url
        self._timeout = timeout  # seconds, for all of one call
        self._breaker = Breaker()
        self._client: httpx2.AsyncClient | None = None
        self._asked = 0  # questions that wait for their answers
        self._quiet_until = 0.0
        self._untold = 0  # failures since the last that was logged
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
        """Close its connections, once nobody waits for an answer any more."""
        self._stopped = True
        await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._stopped and not self._asked and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def ask(self, question: Question) -> Answer:
        """What it says, within the time. Raises AskError."""
        if not self._breaker.allows(time.monotonic()):
            raise AskError(f"{self.url} did not answer {FAILURES} times in a row, and is left alone for {PAUSE:g} s")
        self._asked += 1
        try:
            return await self._answer(question)
        finally:
            self._asked -= 1
            await self._close_if_unused()

    async def _answer(self, question: Question) -> Answer:
        try:
            async with asyncio.timeout(self._timeout):
                if self._client is None:  # it was stopped, and somebody still asks
                    made = await self._made()
                    self._client = self._client or made
                answer = await self._exchange(self._client, question)
        except TimeoutError:
            raise self._failed(f"it did not answer within {self._timeout:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise self._failed(str(error) or type(error).__name__) from None
        self._breaker.succeeded()
        if answer.status >= 500:  # no reason to leave it alone: one caller's credential may be what it cannot digest
            raise AskError(f"{self.url}: it answered {answer.status}")
        return answer

    def warn(self, scheme: str, failure: object) -> None:
        """Log a failure; of many, one in PAUSE seconds, with the number of those in between."""
        now = time.monotonic()
        if now < self._quiet_until:
            self._untold += 1
            return
        others = f"; {self._untold} failures more since the last line" if self._untold else ""
        logger.warning("scheme %s: %s%s", scheme, failure, others)
        self._quiet_until, self._untold = now + PAUSE, 0

    def _failed(self, reason: str) -> AskError:
        self._breaker.failed(time.monotonic())
        return AskError(f"{self.url}: {reason}")

    async def _exchange(self, client: httpx2.AsyncClient, question: Question) -> Answer:
        request = client.build_request(question.method, self.url, headers=question.headers, data=question.form)
        response = await client.send(request, stream=True)
        try:
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_BYTES:
                    raise AskError(f"{self.url} sent more than {MAX_BYTES // 1024} KiB")
            return Answer(response.status_code, _lower(response.headers.raw), bytes(body))
        finally:
            await response.aclose()


def _lower(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers]
