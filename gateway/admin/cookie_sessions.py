"""Sessions of those who have signed in to a page, known by a cookie that may read for some hours.

The cookie is `HttpOnly`, so that no script can read it, and `SameSite=Strict`, so that no page of another site can have
it sent.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Generic, TypeVar

SECONDS: Final = 12 * 3600.0  # that a session lasts: a shift
MOST: Final = 1000  # sessions; the oldest ends where there would be more

T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class _Session(Generic[T]):
    begun_with: T
    ends: float  # time.monotonic()


class CookieSessions(Generic[T]):
    """Those who have signed in, known by what their cookie hashes to, each with what the session was begun with."""

    def __init__(self, name: str, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`port` is in the name of the cookie, since browsers send cookies to every port of a host."""
        self.name = f"{name}_{port}"
        self._clock = clock
        self._sessions: dict[bytes, _Session[T]] = {}

    def begin(self, begun_with: T) -> str:
        """A new session; what its cookie holds."""
        value = secrets.token_urlsafe(32)
        while len(self._sessions) >= MOST:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_key(value)] = _Session(begun_with, self._clock() + SECONDS)
        return value

    def end(self, cookies: str) -> None:
        """The session of a `Cookie` header is over."""
        for value in self._values(cookies):
            self._sessions.pop(_key(value), None)

    def first(self, cookies: str, known: Callable[[T], K | None]) -> K | None:
        """The value of `known` for the first of these cookies with a session; sessions without one are ended."""
        for value in self._values(cookies):
            session = self._sessions.get(_key(value))
            if session is None:
                continue
            if session.ends > self._clock() and (found := known(session.begun_with)) is not None:
                return found
            del self._sessions[_key(value)]
        return None

    def cookie(self, value: str, *, secure: bool) -> str:
        """The `Set-Cookie` of a new session; of none, where the value is empty."""
        name = f"__Host-{self.name}" if secure else self.name
        seconds = int(SECONDS) if value else 0
        attributes = "; Secure" if secure else ""
        return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{attributes}"

    def _values(self, cookies: str) -> Iterator[str]:
        """Those that may be ours. Other ports of the host have cookies, too, which may be any text."""
        for cookie in cookies.split(";"):
            name, _, value = cookie.strip().partition("=")
            if name.removeprefix("__Host-") == self.name:
                yield value


def _key(value: str) -> bytes:
    return sha256(value.encode("utf-8", "surrogateescape")).digest()
