"""Which key a token may be verified with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

from gateway.auth.jwk import Key
from gateway.auth.outcome import Refused

MAX_TRIES = 4  # keys that are tried for a token without a kid

UNKNOWN_KEY = Refused("the token is signed by a key that is not known")


class KeySet:
    """The keys of one issuer as of one moment. A `kid` is a name to look up here, and nothing else."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)
        self._by_kid = {key.kid: key for key in self.keys if key.kid is not None}
        self._nameless = tuple(key for key in self.keys if key.kid is None)

    def knows(self, kid: str | None) -> bool:
        """Whether there is a key of this name; no name is no reason to look for another."""
        return kid is None or kid in self._by_kid

    def candidates(self, kid: str | None, algorithm: str) -> list[Key]:
        """The key of this name; where there is none, those that have no name. For a token without a kid: all."""
        if kid in self._by_kid:
            named = self._by_kid[kid]
            return [named] if algorithm in named.algorithms else []
        some = self.keys if kid is None else self._nameless
        return [key for key in some if algorithm in key.algorithms][:MAX_TRIES]


class KeySource(Protocol):
    """Where the keys of an issuer come from."""

    @property
    def version(self) -> int:
        """Changes when the keys do, so that what was verified with the old ones can be forgotten."""
        ...

    @property
    def seconds_left(self) -> float:
        """How long the keys hold, if they are not fetched again."""
        ...

    async def keys_for(self, kid: str | None, *, asking: bool) -> KeySet | Refused:
        """The keys as of now; with `asking`, those that are fetched for this `kid` where it is unknown."""
        ...


class FixedKeys:
    """Keys that are in the configuration."""

    version = 0
    seconds_left = math.inf

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = KeySet(keys)

    async def keys_for(self, kid: str | None, *, asking: bool) -> KeySet | Refused:
        """Always the same."""
        return self._keys
