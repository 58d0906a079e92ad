"""Providers, live: the way to each, and its keys."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.algorithms.escapes import without
from gateway.deadlines import NEVER
from gateway.http import Handler, Headers
from gateway.llm.choosing import ranked

CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"})
"""Where the SDKs of models put keys. None of the client's goes on."""

OF_BROWSERS: Final = frozenset({b"cookie", b"origin", b"referer"})
"""What browsers send of a user and a page, which is no provider's business."""

_PLAIN: Final = (b"accept-encoding", b"identity")  # so that usage can be read
_UNREADABLE: Final = b"[key]"
SECRET: Final = 8
"""Bytes of a key from which on it is one. Servers of one's own are given an "x", which is in any text."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a provider, or none. `lines` are the headers with which all is sent to it."""

    fingerprint: str = ""  # identifies a key in logs without revealing it
    load: str = ""  # under which requests with it are counted as in flight, where a provider has several
    lines: tuple[tuple[bytes, bytes], ...] = field(default=(_PLAIN,), repr=False)
    value: bytes = field(default=b"", repr=False)


def key_of(provider: str, protocol: str, secret: str) -> Key:
    """A key as a provider that speaks this wants it."""
    value = secret.encode()
    fingerprint = hashlib.sha256(b"model key:" + value).hexdigest()[:12]
    load = f"{provider}:{fingerprint}"
    if protocol == "anthropic":
        line = (b"x-api-key", value)
    elif protocol == "gemini":
        line = (b"x-goog-api-key", value)
    else:
        line = (b"authorization", b"Bearer " + value)
    return Key(fingerprint, load, (line, _PLAIN), value)


class Loads:
    """Requests in flight, by name of a provider or by provider and key. They outlive a reload."""

    __slots__ = ("of",)

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def begin(self, provider: str, key: str) -> None:
        """One more. `key` is empty where the provider has but one."""
        loads = self.of
        loads[provider] = loads.get(provider, 0) + 1
        if key:
            loads[key] = loads.get(key, 0) + 1

    def end(self, provider: str, key: str) -> None:
        """One less."""
        loads = self.of
        if loads.get(provider, 0) > 1:
            loads[provider] -= 1
        else:
            loads.pop(provider, None)
        if key:
            self.end(key, "")


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

    def ordered(self, affinity: bytes, loads: Mapping[str, int]) -> Sequence[Key]:
        """Its keys in the order in which they are tried: what belongs together stays with one of them, for the sake of
        the provider's cache of prompts, and all else goes to any."""
        if len(self.keys) == 1:
            return self.keys
        named = {key.load: key for key in self.keys}
        return [named[name] for name in ranked([(name, 1) for name in named], affinity, random.random(), loads)]


def without_keys(text: bytes, providers: Sequence[Provider]) -> bytes:
    """A text of a provider without any key of ours, as which some repeat what they refuse, with or without escapes."""
    keys = [key.value for provider in providers for key in provider.keys if len(key.value) >= SECRET]
    return without(text, keys, _UNREADABLE)


_KEPT_FROM_CLIENTS: Final = frozenset({b"set-cookie", b"alt-svc", b"nel", b"report-to", b"strict-transport-security"})
KEPT_WITH_LENGTH: Final = _KEPT_FROM_CLIENTS | {b"content-length"}
"""Those of a whole answer, whose length is said anew, that are not for the client."""


def for_client(headers: Headers) -> Headers:
    """The header lines of a provider's answer that are for the client: none that are about the provider's own host."""
    return [line for line in headers if line[0] not in _KEPT_FROM_CLIENTS]
