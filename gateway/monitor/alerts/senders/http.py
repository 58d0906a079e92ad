"""Common parts of senders by HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2

from gateway.http.retry_after import seconds_to_wait
from gateway.monitor.alerts.senders.sender import CALL_SECONDS, STEP_SECONDS, NotSent
from gateway.outside.http_client import HTTP_ERRORS, http_client

MOST_ANSWER: Final = 4096  # bytes of an answer that are read
OF_THE_MESSAGE: Final = frozenset({400, 413, 422})
"""Statuses that say that this message is not taken, however often it is sent."""


class Http:
    """Posts JSON to one URL. Neither the URL nor what is answered is part of an error."""

    def __init__(self, url: str, ca: Path | None = None, credentials: tuple[str, str] | None = None) -> None:
        self._url = url
        self._ca = ca
        self._credentials = credentials
        self._client: httpx2.AsyncClient | None = None

    async def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Raises NotSent where the answer is not a 2xx."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._post(body, {"content-type": "application/json", **(headers or {})})
        except TimeoutError:
            raise NotSent(f"no answer within {CALL_SECONDS:g} s") from None
        except HTTP_ERRORS as error:
            raise NotSent(described(error)) from None

    async def _post(self, body: bytes, headers: dict[str, str]) -> None:
        if self._client is None:
            self._client = await http_client(STEP_SECONDS, 2, self._ca)
        more: dict[str, Any] = {} if self._credentials is None else {"auth": self._credentials}
        async with self._client.stream("POST", self._url, content=body, headers=headers, **more) as response:
            read = 0
            async for piece in response.aiter_raw():
                read += len(piece)
                if read > MOST_ANSWER:
                    break
        if not response.is_success:
            wait = seconds_to_wait(response.headers.get("retry-after", "").encode(), time.time())
            raise NotSent(
                f"it answers {response.status_code}", wait=wait, hopeless=response.status_code in OF_THE_MESSAGE
            )

    async def close(self) -> None:
        """See `Sender`."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def described(error: Exception) -> str:
    """The error of a call, without its URL."""
    if isinstance(error, httpx2.TimeoutException):
        return f"no answer within {STEP_SECONDS:g} s"
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
        return "its URL cannot be used"
    if isinstance(error, httpx2.ConnectError):
        return "no connection" + (f": {error}" if str(error) and "://" not in str(error) else "")
    return type(error).__name__ + (f": {error.strerror}" if isinstance(error, OSError) and error.strerror else "")
