"""Keys and URLs of an `adapterConfig`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from gateway.control_plane.adapters.networks import AllowedAddresses
from gateway.control_plane.adapters.protocol import FieldError

_LONGEST: Final = 2048  # characters


def wrong_url(url: object, allowed: AllowedAddresses | None) -> str | None:
    """The error of a URL that is to be called; `allowed`: permitted addresses."""
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url or len(url) > _LONGEST:
        return f"expected a URL of at most {_LONGEST} ASCII characters"
    try:
        parts = urlsplit(url)
        right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or "\\" in url:
        return "expected a URL such as http://gateway-1.internal:9090"
    if "@" in parts.netloc:
        return "this URL is shown, so it must have no user and password: put them into `credentials`"
    if parts.query or parts.fragment:
        return "expected a URL without ? and #"
    return allowed.refusal_of_host(parts.hostname or "") if allowed is not None else None


def misspelt(given: Iterable[str], known: Sequence[str]) -> Iterator[FieldError]:
    """Keys that differ from known ones by capitals, hyphens and underscores alone; any other one is kept as it is."""
    plain = {_plain(each): each for each in known}
    for key in given:
        if key not in known and _plain(key) in plain:
            yield FieldError(f"adapterConfig.{key}", f"unknown key; write {plain[_plain(key)]}")


def _plain(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")
