"""Which key a token may be verified with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

from gateway.auth.jwk import Key
from gateway.auth.scheme import Refused
from gateway.plurals import counted

MAX_TRIES = 16  # keys that are tried for a token: those of its kid, or all for one without

UNKNOWN_KEY = Refused("the token is signed by a key that is not known")


class KeySet:
    """The keys of one issuer as of one moment. A `kid` is a name to look up here, and nothing else."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)
        self._by_kid: dict[str, list[Key]] = {}
        for key in self.keys:
            if key.kid is not None:
                self._by_kid.setdefault(key.kid, []).append(key)
        self._nameless = [key for key in self.keys if key.kid is None]

    def knows(self, kid: str | None, algorithm: str | None = None) -> bool:
        """Whether a key of this name is for the algorithm (None: any). No name is no reason to look for another."""
        if kid is None or algorithm is None:
            return kid is None or kid in self._by_kid
        return any(algorithm in key.algorithms for key in self._by_kid.get(kid, ()))

    def has_nameless(self, algorithm: str | None) -> bool:
        """Whether a token with a kid that is not known may be signed with one of these keys all the same."""
        return any(algorithm in key.algorithms for key in self._nameless)

    def candidates(self, kid: str | None, algorithm: str) -> list[Key]:
        """The keys of this name that are for the algorithm (RFC 7517, 4.5: several may have one name).

        Where no key has the name, those that have none. For a token without a kid: all.
        """
        return self._fitting(kid, algorithm)[:MAX_TRIES]

    def _fitting(self, kid: str | None, algorithm: str) -> list[Key]:
        some = self.keys if kid is None else self._by_kid.get(kid, self._nameless)
        return [key for key in some if algorithm in key.algorithms]

    def crowded(self) -> str | None:
        """A description of a set with more keys than are tried."""
        for kid in (None, *self._by_kid):
            for algorithm in sorted({name for key in self.keys for name in key.algorithms}):
                if (number := len(self._fitting(kid, algorithm))) > MAX_TRIES:
                    whose = "tokens without a kid" if kid is None else f"the kid {kid!r:.80}"
                    return f"{counted(number, 'key')} are for {algorithm} and {whose}; the first {MAX_TRIES} are tried"
        return None


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

    async def keys_for(self, kid: str | None, algorithm: str | None = None, *, dry_run: bool) -> KeySet | Refused:
        """The keys as of now; but for a `dry_run` fetched again where none has this `kid` and is for the algorithm."""
        ...

    async def newer_than(self, keys: KeySet, kid: str | None, algorithm: str) -> KeySet | None:
        """Other keys than these, where the issuer has such by now: none of these signed a token of this `kid`."""
        ...


class FixedKeys:
    """Keys that are in the configuration."""

    version = 0
    seconds_left = math.inf

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = KeySet(keys)

    async def keys_for(self, kid: str | None, algorithm: str | None = None, *, dry_run: bool) -> KeySet | Refused:
        """Always the same."""
        return self._keys

    async def newer_than(self, keys: KeySet, kid: str | None, algorithm: str) -> KeySet | None:
        """The refreshed keys. None: there are no others."""
        return None
