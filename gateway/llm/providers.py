"""Providers, live: the way to each, and its keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.deadlines import NEVER
from gateway.http import Handler, Headers
from gateway.llm.choosing import ranked

CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"})
"""Where the SDKs of models put keys. None of the client's goes on."""

_UNREADABLE: Final = b"[key]"


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a provider, or none. `lines` are the headers with which it is sent."""

    fingerprint: str = ""  # tells keys apart in logs, and does not tell what they are
    load: str = ""  # under which requests with it are counted as in flight
    lines: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    value: bytes = field(default=b"", repr=False)


def no_key(provider: str) -> Key:
    """In place of one."""
    return Key(load=f"{provider}:")


def key_of(provider: str, protocol: str, secret: str) -> Key:
    """A key as a provider that speaks this wants it."""
    value = secret.encode()
    fingerprint = hashlib.sha256(b"model key:" + value).hexdigest()[:12]
    load = f"{provider}:{fingerprint}"
    if protocol == "anthropic":
        return Key(fingerprint, load, ((b"x-api-key", value),), value)
    if protocol == "gemini":
        return Key(fingerprint, load, ((b"x-goog-api-key", value),), value)
    return Key(fingerprint, load, ((b"authorization", b"Bearer " + value),), value)


class Loads:
    """Requests in flight, by name of a provider or by provider and key. They outlive a reload."""

    __slots__ = ("of",)

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def begin(self, *names: str) -> None:
        """One more."""
        for name in names:
            self.of[name] = self.of.get(name, 0) + 1

    def end(self, *names: str) -> None:
        """One less."""
        for name in names:
            left = self.of.get(name, 0) - 1
            if left > 0:
                self.of[name] = left
            else:
                self.of.pop(name, None)


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider. `handler` forwards an exchange to it, behind its breaker, and tries nothing again."""

    name: str
    protocol: str
    handler: Handler
    keys: tuple[Key, ...]  # at least one
    path_of: Callable[[str], str]  # what it is asked for in place of the usual path
    unsupported: str = "fail"  # what becomes of fields that cannot be translated: fail, drop
    total: float = NEVER  # seconds, for one attempt

    def ordered(self, affinity: bytes, draw: float, loads: Mapping[str, int]) -> Iterator[Key]:
        """Its keys in the order in which they are tried: what belongs together stays with one of them, for the sake of
        the provider's cache of prompts."""
        if len(self.keys) == 1:
            yield self.keys[0]
            return
        named = {key.load: key for key in self.keys}
        for name in ranked([(name, 1) for name in named], affinity, draw, loads):
            yield named[name]


def without_keys(text: bytes, providers: Sequence[Provider]) -> bytes:
    """A text of a provider without any key of ours, of which some show parts in their errors."""
    for provider in providers:
        for key in provider.keys:
            if key.value and key.value in text:
                text = text.replace(key.value, _UNREADABLE)
    return text


_KEPT_FROM_CLIENTS: Final = frozenset({b"set-cookie", b"alt-svc", b"nel", b"report-to", b"strict-transport-security"})


def for_client(headers: Headers) -> Headers:
    """The header lines of a provider's answer that are for the client: none that are about the provider's own host."""
    return [line for line in headers if line[0] not in _KEPT_FROM_CLIENTS]
