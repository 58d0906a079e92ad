"""The interface of all schemes: they recognise the caller of an exchange, refuse it, or pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.errors import ErrorKind
from gateway.http import Exchange, Identity, Response


@dataclass(frozen=True, slots=True)
class Recognised:
    """Who calls, with all that follows from it, so that it is worked out once per credential and not per request."""

    identity: Identity
    headers: tuple[tuple[bytes, bytes], ...]  # for the backend
    client_headers: tuple[tuple[bytes, bytes], ...] = ()  # for the client, with the response


@dataclass(frozen=True, slots=True)
class Refused:
    """A credential that does not hold. `detail` goes to the client, unless there is another for it or for errors of its
    kind: it names no consumer and repeats no credential."""

    detail: str
    kind: ErrorKind = ErrorKind.UNAUTHENTICATED
    final: bool = True  # False: it was meant for another scheme, perhaps the next
    retry_after: int | None = None  # seconds
    consumer: str | None = None  # whose credential it was to be, where that is known; for the blocklist only
    answer: Response | None = None  # for the client, where a service gave one; made for this exchange only
    public_detail: str | None = None  # for the client in place of `detail`; None: what is so for errors of this kind
    undecided: bool = False  # it may be right, but who knows that cannot be asked


AuthResult = Recognised | Refused | None
"""The result. None: the request carries no credential for this scheme."""


@dataclass(frozen=True, slots=True)
class Locations:
    """Where a request may carry a credential: names of headers, query parameters and cookies.

    `protocols`: what an entry of `Sec-WebSocket-Protocol` begins with that is one.
    """

    headers: frozenset[bytes] = frozenset()
    parameters: frozenset[bytes] = frozenset()
    cookies: frozenset[bytes] = frozenset()
    protocols: frozenset[bytes] = frozenset()

    @property
    def only_headers(self) -> bool:
        """Whether there are none but headers."""
        return not (self.parameters or self.cookies or self.protocols)

    def __or__(self, other: Locations) -> Locations:
        return Locations(
            self.headers | other.headers,
            self.parameters | other.parameters,
            self.cookies | other.cookies,
            self.protocols | other.protocols,
        )

    def __sub__(self, other: Locations) -> Locations:
        return Locations(
            self.headers - other.headers,
            self.parameters - other.parameters,
            self.cookies - other.cookies,
            self.protocols - other.protocols,
        )


class Scheme(Protocol):
    """One way for callers to prove who they are."""

    @property
    def name(self) -> str:
        """Its name in auth.yaml."""
        ...

    @property
    def locations(self) -> Locations:
        """Where its credentials are."""
        ...

    @property
    def forward(self) -> bool:
        """Whether the backend may see them, too."""
        ...

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """Who calls. Changes nothing of the exchange. `dry_run`: remember nothing, and ask no other server.

        Never raises because a credential is wrong, however it is made.
        """
        ...

    def challenge(self, refused: Refused | None) -> bytes | None:
        """Its part of `WWW-Authenticate` (RFC 9110, 11.6.1). `refused`: why its credential was not taken."""
        ...


def unavailable(what: str, seconds: int = 5) -> Refused:
    """The credential may be right, but that cannot be checked now."""
    return Refused(what, ErrorKind.AUTH_UNAVAILABLE, retry_after=seconds, undecided=True)
