"""Fetching the documents of an issuer over HTTP: small ones, in bounded time, from nowhere else than configured."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from gateway.algorithms.http_cache.directives import http_date
from gateway.auth.token import load_json
from gateway.http.redaction import shown_url
from gateway.outside.http_client import HTTP_ERRORS, TooLargeError, http_client, reason_of, whole_body

MAX_BYTES = 512 * 1024

_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}  # nothing that could unpack to gigabytes
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?:$|[,\s;])", re.ASCII | re.IGNORECASE)


class FetchError(Exception):
    """The document cannot be fetched; the text says why."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document. `max_age`: for how many seconds the server says that it is fresh, None where it does not say.

    `url`: where it is from, as logs have it. `clock_ahead`: by how many seconds our clock is ahead of the server's.
    """

    url: str
    body: bytes
    max_age: float | None
    clock_ahead: float | None = None


class Fetcher:
    """Fetches with a client of its own."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout  # seconds, for everything that one call does
        self._client: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        """Close connections that are still open."""
        if self._client is not None:
            await self._client.aclose()

    async def key_set(self, url: str, issuer: str, discovery: bool) -> Fetched:
        """The key set at `url`, or the one that the issuer's metadata at `url` points to. Raises FetchError."""
        try:
            async with asyncio.timeout(self._timeout):
                if discovery:
                    # Where the keys are (OpenID Connect Discovery, 4.3): only if the metadata is the issuer's own.
                    metadata = await self._get(url)
                    try:
                        document = load_json(metadata.body)
                    except (ValueError, RecursionError):
                        raise FetchError(f"{metadata.url} is not JSON") from None
                    if not isinstance(document, dict) or document.get("issuer") != issuer:
                        raise FetchError(f"{metadata.url} is the metadata of another issuer than {issuer}")
                    uri = document.get("jwks_uri")
                    if not isinstance(uri, str) or not _as_safe(metadata.url, uri):
                        raise FetchError(f"{metadata.url} has no jwks_uri that is a URL, and https if it is itself")
                    url = uri
                return await self._get(url)
        except TimeoutError:
            raise FetchError(f"{shown_url(url)} did not answer within {self._timeout:g} s") from None
        except TooLargeError as error:
            raise FetchError(f"{shown_url(url)} {error}") from None
        except HTTP_ERRORS as error:
            raise FetchError(f"{shown_url(url)}: {reason_of(error)}") from None

    async def _get(self, url: str) -> Fetched:
        if self._client is None:
            self._client = await http_client(self._timeout)
        shown = shown_url(url)
        async with self._client.stream("GET", url, headers=_HEADERS) as response:
            if response.status_code != 200:
                raise FetchError(f"{shown} answered {response.status_code}")
            body = await whole_body(response, MAX_BYTES)
            headers = response.headers
            match = _MAX_AGE.search(headers.get("cache-control", ""))
            # By the Date of an answer, and by how long caches say that they had it (RFC 9111, 5.1).
            date = http_date(headers.get("date", "").encode("latin-1"))
            age = headers.get("age", "0")
            return Fetched(
                shown,
                body,
                float(match[1]) if match else None,
                None if date is None or not age.isdecimal() or len(age) > 9 else time.time() - date - int(age),
            )


def _as_safe(known: str, url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and parts.scheme in {"https", urlsplit(known).scheme}
