"""API keys on routes to models and to MCP servers: also where the SDKs put them.

A key may be in several of these places, as long as it is the same one. It is not forwarded, whatever the
result: the provider gets a key of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.auth.api_key import TWO_KEYS, UNKNOWN, ApiKeys, holder_of
from gateway.auth.credentials import authorization, protocol_entries
from gateway.auth.scheme import AuthResult, Locations, Refused, Scheme
from gateway.http import Exchange
from gateway.http.fields import values
from gateway.http.parameters import query_values

HEADERS: Final = (b"x-api-key", b"x-goog-api-key", b"api-key")
PARAMETER: Final = "key"
PROTOCOL: Final = b"openai-insecure-api-key."

BEARER: Final = Locations(frozenset({b"authorization"}))
BESIDE: Final = Locations(frozenset(HEADERS), frozenset({PARAMETER.encode()}), frozenset(), frozenset({PROTOCOL}))
EVERYWHERE: Final = BEARER | BESIDE

MAYBE_ANOTHER: Final = replace(UNKNOWN, final=False)


def shown_beside(exchange: Exchange) -> Iterator[bytes]:
    """Keys in the places of SDKs other than `Authorization`."""
    for name in HEADERS:
        if name in exchange.fields:
            yield from values(exchange.headers, name)
    if exchange.query:
        yield from query_values(exchange.query, PARAMETER)
    if exchange.websocket:
        yield from (entry[len(PROTOCOL) :] for entry in protocol_entries(exchange) if entry.startswith(PROTOCOL))


@dataclass(frozen=True, slots=True)
class ModelKeys:
    """A scheme of kind `api_key` on such a route: `beside` and `bearer` say where it looks, `final` whether a key that
    is not known is none, or may be a token for another scheme."""

    keys: ApiKeys
    beside: bool = True
    bearer: bool = True
    final: bool = False

    @property
    def name(self) -> str:
        """Its name in auth.yaml."""
        return self.keys.name

    @property
    def locations(self) -> Locations:
        """Its own, and those of SDKs."""
        beside = self.keys.locations | BESIDE if self.beside else Locations()
        return beside | BEARER if self.bearer else beside

    @property
    def forward(self) -> bool:
        """Never where models are: see `Authentication.ending`."""
        return self.keys.forward

    def shown(self, exchange: Exchange) -> set[bytes]:
        """The keys in any of these places; an empty one counts only if there are no others."""
        found = {*self.keys.shown(exchange), *shown_beside(exchange)} if self.beside else set()
        if self.bearer and (token := authorization(exchange, b"bearer")) is not None:
            found.add(token)
        return found - {b""} or found

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """Whose key it is, if there is one."""
        found = self.shown(exchange)
        if len(found) != 1:
            return TWO_KEYS if found else None
        result = holder_of(self.keys.ring, found.pop())
        return MAYBE_ANOTHER if result is UNKNOWN and not self.final else result

    def challenge(self, refused: Refused | None) -> bytes:
        """The challenge, that of the scheme elsewhere."""
        return self.keys.challenge(refused)


@dataclass(frozen=True, slots=True)
class OneCredential:
    """Asked before the schemes of a route to models: two keys, or a key and a token, are refused, whichever of the
    schemes would take one of them."""

    schemes: tuple[ModelKeys, ...]
    beside: frozenset[bytes]  # headers that may have a key beside Authorization: most requests have none of them
    forward: bool = False

    @property
    def name(self) -> str:
        """The name of the first scheme for keys."""
        return self.schemes[0].name

    @property
    def locations(self) -> Locations:
        """Nowhere but where the schemes look."""
        return EVERYWHERE

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """The anonymous identity, or a refusal."""
        if self.beside.isdisjoint(exchange.fields) and not exchange.query and not exchange.websocket:
            return None
        found = set().union(*(scheme.shown(exchange) for scheme in self.schemes)) - {b""}
        return TWO_KEYS if len(found) > 1 else None

    def challenge(self, refused: Refused | None) -> None:
        """There is nothing to ask for."""


def for_models(schemes: Sequence[Scheme]) -> tuple[Scheme, ...]:
    """The schemes of a route to models. Keys go first: a key must not be shown to the service that knows tokens."""
    others = tuple(scheme for scheme in schemes if not isinstance(scheme, ApiKeys))
    keys = tuple(ModelKeys(scheme) for scheme in schemes if isinstance(scheme, ApiKeys))
    named = (header for scheme in keys for header in (scheme.keys.header, scheme.keys.cookie and b"cookie") if header)
    return (OneCredential(keys, frozenset((*HEADERS, *named))), *keys, *others) if keys else others


def for_servers(schemes: Iterable[Scheme]) -> tuple[Scheme, ...]:
    """The schemes of a route to MCP servers, which may want an `Authorization` of their own: it is looked at only where
    there is no key elsewhere."""
    taken: list[Scheme] = []
    for scheme in schemes:
        if isinstance(scheme, ApiKeys):
            taken += [ModelKeys(scheme, bearer=False, final=True), ModelKeys(scheme, beside=False)]
        else:
            taken.append(scheme)
    return tuple(taken)
