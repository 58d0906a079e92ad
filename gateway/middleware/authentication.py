"""Finds out who calls: asks the schemes that the route accepts, in their order.

The first scheme that finds a credential of its own decides; one that is wrong is not made good by another one that is
right. On every route, also on those that are open, what only the gateway may say of a caller is taken out of the
request, and two `Authorization` lines are refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from typing import Final

from gateway.auth.anonymous import Anonymous
from gateway.auth.api_key import ApiKeys, KeyHolder
from gateway.auth.credentials import conceal, has_two
from gateway.auth.identities import header_names
from gateway.auth.model_keys import BEARER, EVERYWHERE, for_models, for_servers
from gateway.auth.scheme import Locations, Recognised, Refused, Scheme
from gateway.auth.schemes import schemes_of
from gateway.config.model_routes import target_of
from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.driver import in_task
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Response
from gateway.http.decisions import Mode, deny
from gateway.http.fields import NEVER_DROPPED
from gateway.http.problems import AnsweredError
from gateway.middleware.declaration import Declaration

NO_CREDENTIAL: Final = Refused("the route needs a credential, and the request has none")
TWO_LINES: Final = Refused("the request has two Authorization headers; send one", ErrorKind.AMBIGUOUS_CREDENTIALS)

ENDING: Final = frozenset({"api_key", "mtls", "forward_auth", "jwt", "introspection"})
"""Kinds of schemes with locations of their own: what is there is a credential, on whatever route."""

KEPT: Final = Locations(NEVER_DROPPED)
"""Headers that are not only credentials, such as `Authorization`: on other routes they go to the backend."""


BY_HAND: Final = frozenset({"api_key", "jwt", "anonymous"})
"""Kinds of schemes that need no task: keys of tokens are fetched by one of their own."""


@dataclass(frozen=True, slots=True, repr=False)
class Authentication:
    """The schemes of one route. None: it is open."""

    schemes: tuple[Scheme, ...]
    identity_headers: frozenset[bytes]
    mode: Mode = "enforce"
    elsewhere: Locations = field(default_factory=Locations)  # where other routes find who calls: that ends here, too
    ending: Locations = field(default_factory=Locations)  # what no backend gets, whatever the schemes say
    for_backend: Locations = field(default_factory=Locations)  # what it gets unless a scheme has found the caller there
    needs_task: bool = True  # as schemes do that ask other servers

    def wrap(self, handler: Handler) -> Handler:
        """A handler that knows who calls, or refuses."""
        stripped, elsewhere = self.identity_headers, self.elsewhere | self.ending

        def open_to_all(exchange: Exchange) -> Awaitable[Response]:
            exchange.hidden_headers = exchange.hidden_headers | stripped if exchange.hidden_headers else stripped
            if b"authorization" in exchange.fields and has_two(exchange, b"authorization"):
                self._refuse(exchange, None, TWO_LINES)
            conceal(exchange, elsewhere)
            return handler(exchange)

        if not self.schemes:
            return open_to_all
        concealed = {id(scheme): self._concealed(scheme) for scheme in self.schemes}
        # What is in headers, most often all that there is, is hidden with the identity headers.
        hidden = {each: stripped | locations.headers for each, locations in concealed.items()}
        beside = {each: not locations.only_headers for each, locations in concealed.items()}
        allowed = {id(scheme): _allowed(scheme) for scheme in self.schemes}
        unless_recognised = self._concealed(None)

        only = self.schemes[0]
        if len(self.schemes) == 1 and isinstance(only, ApiKeys):
            return self._by_key(only, handler, hidden[id(only)], concealed[id(only)], unless_recognised)

        async def authenticated(exchange: Exchange) -> Response:
            if self.needs_task:
                await in_task()
            scheme, result = await self._ask(exchange)
            if isinstance(result, Recognised):
                recognising = id(scheme)
                exchange.identity = result.identity
                exchange.extra_headers += result.headers
                exchange.decisions += (allowed[recognising],)
                exchange.hidden_headers |= hidden[recognising]
                if beside[recognising]:
                    conceal(exchange, concealed[recognising])
                if result.client_headers:
                    return await _adding(result.client_headers, handler(exchange))
            else:
                exchange.hidden_headers |= stripped
                self._refuse(exchange, scheme, result)
                conceal(exchange, unless_recognised)
            return await handler(exchange)

        return authenticated

    def _by_key(
        self, keys: ApiKeys, handler: Handler, hidden: frozenset[bytes], concealed: Locations, otherwise: Locations
    ) -> Handler:
        """The same where only keys are known, as on most routes: nothing is waited for."""
        stripped, beside = self.identity_headers, not concealed.only_headers
        allowed = (_allowed(keys),)
        before, together = hidden, hidden  # what is hidden when a request comes, mostly always the same, and then

        def authenticated(exchange: Exchange) -> Awaitable[Response]:
            nonlocal before, together
            twice = b"authorization" in exchange.fields and has_two(exchange, b"authorization")
            result = TWO_LINES if twice else keys.holder(exchange)
            if isinstance(result, KeyHolder):
                exchange.identity = result
                exchange.extra_headers += result.lines()
                exchange.decisions += allowed
                if exchange.hidden_headers is not before:
                    before, together = exchange.hidden_headers, exchange.hidden_headers | hidden
                exchange.hidden_headers = together
                if beside:
                    conceal(exchange, concealed)
            else:
                exchange.hidden_headers |= stripped
                scheme = None if twice or result is None else keys
                self._refuse(exchange, scheme, result or NO_CREDENTIAL)
                conceal(exchange, otherwise)
            return handler(exchange)

        return authenticated

    async def _ask(self, exchange: Exchange, *, dry_run: bool = False) -> tuple[Scheme | None, Recognised | Refused]:
        """Who calls, or why not, and the scheme that says so."""
        if b"authorization" in exchange.fields and has_two(exchange, b"authorization"):
            return None, TWO_LINES
        first: tuple[Scheme, Refused] | None = None
        for scheme in self.schemes:
            if first is not None and isinstance(scheme, Anonymous):
                break  # a credential that no scheme accepts does not make its bearer anonymous
            result = await scheme.authenticate(exchange, dry_run=dry_run)
            if isinstance(result, Recognised):
                return scheme, result
            if result is not None:
                first = first or (scheme, result)
                if result.final:
                    return scheme, result
        return first or (None, NO_CREDENTIAL)

    def _refuse(self, exchange: Exchange, scheme: Scheme | None, refused: Refused) -> None:
        """Raises GatewayError, except in shadow mode."""
        exchange.claimed_consumer = refused.consumer
        rule = _rule(scheme)
        if refused.answer is not None:
            deny(exchange, rule, AnsweredError(refused.kind, refused.detail, refused.answer), self.mode)
            return
        headers = tuple(self._headers(scheme, refused))
        error = GatewayError(refused.kind, refused.detail, headers=headers, public_detail=refused.public_detail)
        deny(exchange, rule, error, self.mode, undecided=refused.undecided)

    def _headers(self, refusing: Scheme | None, refused: Refused) -> Iterator[tuple[bytes, bytes]]:
        if refused.retry_after is not None:
            yield b"retry-after", b"%d" % refused.retry_after
        if refused.kind is ErrorKind.UNAUTHENTICATED:
            challenges = (scheme.challenge(refused if scheme is refusing else None) for scheme in self.schemes)
            for challenge in dict.fromkeys(challenges):
                if challenge is not None:
                    yield b"www-authenticate", challenge

    def _concealed(self, recognising: Scheme | None) -> Locations:
        """Headers to remove for the backend: the credentials of all schemes except those that forward them."""
        locations = reduce(or_, (scheme.locations for scheme in self.schemes if not scheme.forward), self.elsewhere)
        if recognising is not None and recognising.forward:
            locations = locations - recognising.locations
        if recognising is None or self.for_backend.headers.isdisjoint(recognising.locations.headers):
            locations = locations - self.for_backend
        return locations | self.ending

    def __repr__(self) -> str:
        return f"Authentication({', '.join(dict.fromkeys(scheme.name for scheme in self.schemes)) or 'open'})"

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The expected decision, without calls to other services."""
        if not self.schemes:
            return None
        scheme, result = await self._ask(exchange, dry_run=True)
        if isinstance(result, Recognised):
            who = exchange.identity = result.identity
            by = f" by {who.fingerprint}" if who.fingerprint else ""
            return replace(_allowed(scheme), reason=f"it is {who.consumer}{by}")
        rule = _rule(scheme)
        if result.kind is ErrorKind.AUTH_UNAVAILABLE:  # to explain a request, no other server is asked
            return Decision(rule, "unknown", result.detail)
        return Decision(rule, "deny" if self.mode == "enforce" else "shadow-deny", result.detail)


def _rule(scheme: Scheme | None) -> str:
    return "authentication" if scheme is None else f"authentication:{scheme.name}"


def _allowed(scheme: Scheme | None) -> Decision:
    """One for all callers: who each is stands beside it."""
    return Decision(_rule(scheme), "allow", "the caller is known")


async def _adding(headers: tuple[tuple[bytes, bytes], ...], answer: Awaitable[Response]) -> Response:
    """The response with these headers, whatever it is: a session that was renewed is so for refusals, too."""
    try:
        response = await answer
    except GatewayError as error:
        error.headers += headers
        raise
    response.headers = [*response.headers, *headers]
    return response


def for_route(context: Context, route: RouteConfig) -> Authentication:
    """Every route has it: for what it strips, if for nothing else."""
    auth = context.configuration.auth
    names = auth.default if route.auth is None else route.auth
    available: Mapping[str, Scheme] = schemes_of(context)
    schemes = tuple(available[name] for name in names)
    others = (available[name] for name, config in auth.schemes.items() if config.kind in ENDING and name not in names)
    elsewhere = reduce(or_, (scheme.locations for scheme in others if not scheme.forward), Locations()) - KEPT
    kept = reduce(or_, (scheme.locations for scheme in schemes if scheme.forward), Locations())
    common = header_names(auth.identity_headers), auth.mode, elsewhere - kept
    target = target_of(route, context.configuration.models)
    if target == "models":
        return Authentication(for_models(schemes), *common, ending=EVERYWHERE)
    if target == "mcp":
        return Authentication(for_servers(schemes), *common, for_backend=BEARER)
    needs_task = any(auth.schemes[name].kind not in BY_HAND for name in names)
    return Authentication(schemes, *common, needs_task=needs_task)


DECLARATION: Final[Declaration] = Declaration(
    "authentication", for_route, guards_quota=True, compiled=True, by_hand=True
)
