"""Clients for what the gateway itself asks over HTTP: only what is configured, and answers of bounded size."""

from __future__ import annotations

import asyncio
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Final

import httpx2

HTTP_ERRORS: Final = (httpx2.HTTPError, httpx2.InvalidURL, OSError)
"""Errors of a server that does not answer correctly."""


class TooLargeError(Exception):
    """The answer is larger than may be; the text says how large that is."""


async def http_client(seconds: float, connections: int = 100, ca: Path | None = None) -> httpx2.AsyncClient:
    """A client; `seconds` is the time limit of each step of a call, `ca` what it trusts; None: what the system trusts.

    Redirects are not followed, cookies not kept, and the proxies of the environment not used. Raises OSError where
    `ca` cannot be read, or has no certificate.
    """
    tls = await asyncio.to_thread(ssl.create_default_context, cafile=ca)  # reads a large file
    return httpx2.AsyncClient(
        verify=tls,
        trust_env=False,
        follow_redirects=False,
        timeout=seconds,
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one caller's are never sent for another
    )


async def whole_body(response: httpx2.Response, most: int) -> bytes:
    """The body of a response that is read as a stream, as it was sent. Raises TooLargeError beyond `most` bytes."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > most:
            raise TooLargeError(f"sent more than {most // 1024} KiB")
    return bytes(body)


def reason_of(error: Exception) -> str:
    """The message of an error, or else its type."""
    return str(error) or type(error).__name__
