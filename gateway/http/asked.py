"""Requests that people write down to ask about them: the URL, and the client's address."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit


def split_url(url: str) -> SplitResult:
    """A path, or a URL. Raises ValueError where it is neither."""
    if re.search(r"\s", url):
        raise ValueError(f"{url!r} holds white space, which no request target has; write %20")
    if url.startswith("/") or url == "*":  # also where it goes on with a slash: what follows is no host
        path, _, query = url.partition("?")
        return SplitResult("", "", path, query, "")
    try:
        return urlsplit(url if "://" in url else "http://" + url)
    except ValueError as error:
        raise ValueError(
            f"{url} is neither a path nor a URL: {error}; write /v1/users, or http://host/v1/users"
        ) from None


def check_address(client: str) -> None:
    """Raises ValueError where this is no address, which no list of networks would have."""
    try:
        ip_address(client)
    except ValueError:
        raise ValueError(f"{client!r} is no address of a client; write 203.0.113.7, or 2001:db8::7") from None
