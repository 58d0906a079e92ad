"""Opaque tokens (RFC 7662): the service that issued them is asked whose they are, and the answer kept for a while."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Hashable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote_plus

from gateway.algorithms.byte_cache import ByteCache
from gateway.auth import claims as reading
from gateway.auth.auth_server import AuthServer, AuthServerBusyError, AuthServerError, Query
from gateway.auth.claims import ClaimRules
from gateway.auth.context import AuthContext
from gateway.auth.scheme import AuthResult, Recognised, Refused, unavailable
from gateway.auth.subjects import SubjectMapper
from gateway.auth.token import TokenError, load_json
from gateway.auth.token_locations import AUTHORIZATION, BEARER, TOKEN_CHARS, TokenLocations, token_locations
from gateway.auth.turns import owner_of
from gateway.config.models.auth.introspection import IntrospectionScheme
from gateway.config.models.auth.scheme_keys import Claims as ClaimNames
from gateway.errors import ErrorKind
from gateway.http import Exchange, Headers
from gateway.http.trace_context import trace_lines
from gateway.outside.breaker import Requester

REMEMBERED = 16 * 1024**2  # bytes of answers about tokens that hold
REMEMBERED_REFUSED = 4 * 1024**2  # bytes of those about tokens that do not
MAX_BYTES = 8 * 1024  # of a token

MALFORMED = Refused("the bearer token is not one (RFC 6750, 2.1)")
INACTIVE = Refused("the token does not hold")
NO_ACCESS_TOKEN = Refused("the token is not an access token")
WRONG_ISSUER = Refused("the token is of another issuer")
LEEWAY = 60.0  # seconds that the service's clock may be off
NOT_ASKED = unavailable("the service that knows whose the token is is not asked for an explanation")

_KINDS = ("token_use", "token_type", "typ")  # where services say of which kind a token is
_OTHER_KINDS = frozenset({"refresh_token", "refresh", "offline", "id_token", "id"})


@dataclass(frozen=True, slots=True)
class Rules:
    """The requirements on answers, and how long they are cached (seconds)."""

    issuer: str | None
    claims: ClaimRules
    names: ClaimNames
    cache: float
    negative_cache: float


class Introspection:
    """The scheme of kind `introspection`."""

    def __init__(
        self,
        name: str,
        service: AuthServer,
        credentials: list[tuple[bytes, bytes]],
        rules: Rules,
        subjects: SubjectMapper,
        realm: str,
        *,
        forward: bool,
        locations: TokenLocations = AUTHORIZATION,
    ) -> None:
        self.name = name
        self.locations = locations.locations | BEARER
        self._token_locations = locations
        self.forward = forward
        self._service = service
        self._credentials = [*credentials, (b"accept", b"application/json"), (b"accept-encoding", b"identity")]
        self._rules = rules
        self._subjects = subjects
        self._realm = realm
        # Until when, in seconds since 1970. Made-up tokens push out other made-up ones, and none that hold.
        self._known: ByteCache[bytes, tuple[AuthResult, float]] = ByteCache(REMEMBERED)
        self._refused: ByteCache[bytes, tuple[AuthResult, float]] = ByteCache(REMEMBERED_REFUSED)
        self._look_ups: dict[bytes, asyncio.Task[AuthResult]] = {}

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """Whose token it is, as remembered or as the service says."""
        token = self._token_locations.find(exchange)
        if not isinstance(token, bytes):
            return token
        if not token or len(token) > MAX_BYTES or not TOKEN_CHARS.issuperset(token):
            return MALFORMED
        digest = sha256(token).digest()
        known = self._known.get(digest) or self._refused.get(digest)
        if known is not None and time.time() < known[1]:
            return known[0]
        if dry_run:
            return NOT_ASKED
        # Several requests with the same token wait for one look-up, which goes on when one of them gives up.
        look_up = self._look_ups.get(digest)
        if look_up is None:
            asked = self._asked(digest, token, owner_of(exchange), trace_lines(exchange.extra_headers))
            look_up = self._look_ups[digest] = asyncio.create_task(asked)
        return await asyncio.shield(look_up)

    async def _asked(self, digest: bytes, token: bytes, address: Hashable, traced: Headers) -> AuthResult:
        try:
            form = {"token": token.decode("ascii"), "token_type_hint": "access_token"}
            query = Query("POST", [*self._credentials, *traced], form)
            answer = await self._service.ask(query, Requester(address, digest))
            if answer.status != 200:
                raise AuthServerError(f"{self._service.shown} answered {answer.status}")
            members = _members(answer.body, self._service.shown)
            self._service.answered()
            result, seconds = self._judge(members, token)
            self._known.discard(digest)
            self._refused.discard(digest)
            if seconds > 0:
                memory = self._known if isinstance(result, Recognised) else self._refused
                memory.put(digest, (result, time.time() + seconds))
        except AuthServerError as error:
            self._service.failed(error)
            return unavailable(
                f"whose the token is cannot be asked: {error}", 1 if isinstance(error, AuthServerBusyError) else 5
            )
        else:
            return result
        finally:
            del self._look_ups[digest]

    def _judge(self, claims: dict[str, Any], token: bytes) -> tuple[AuthResult, float]:
        """The result of an answer, and how long to cache it."""
        rules = self._rules
        if claims.get("active") is not True:
            return INACTIVE, rules.negative_cache
        if any(str(claims.get(name)).lower() in _OTHER_KINDS for name in _KINDS):
            return NO_ACCESS_TOKEN, rules.negative_cache  # services look for those that refresh others, too
        claims.setdefault("iss", rules.issuer)
        if not isinstance(claims["iss"], str | None) or (rules.issuer and claims["iss"] != rules.issuer):
            return WRONG_ISSUER, rules.negative_cache
        now = time.time()
        try:
            expires = reading.check({"exp": now + max(rules.cache, 1), **claims}, rules.claims, now)
            bearer = self._subjects.recognise(claims, rules.names, self.name, token)
        except TokenError as error:
            return Refused(str(error)), rules.negative_cache
        return bearer, min(rules.cache, expires - now)

    def challenge(self, refused: Refused | None) -> bytes:
        """RFC 6750, 3: without a token there is no error to name."""
        challenge = f'Bearer realm="{self._realm}"'
        if refused is not None and refused.kind is ErrorKind.UNAUTHENTICATED:
            description = refused.detail.replace('"', "'").replace("\\", "/")
            challenge += f', error="invalid_token", error_description="{description}"'
        return challenge.encode("ascii", "replace")


def _members(body: bytes, shown: str) -> dict[str, Any]:
    try:
        answer = load_json(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise AuthServerError(f"{shown} did not answer with a JSON object")
    return answer


# From auth.yaml.


def introspection(auth: AuthContext, name: str, config: IntrospectionScheme) -> Introspection:
    """The scheme that auth.yaml describes."""
    url, timeout = config.url, config.timeout
    service = auth.plan.need(
        ("introspection", name, url, timeout), lambda: AuthServer(url, timeout, name), ("auth.yaml", ("schemes", name))
    )
    claim_rules = ClaimRules(frozenset(config.audiences), LEEWAY, ())
    rules = Rules(config.issuer, claim_rules, config.claims, config.cache, config.negative_cache)
    subjects = SubjectMapper(auth.config.consumers, auth.identities)
    locations = token_locations(config.from_)
    return Introspection(
        name, service, _credentials(config), rules, subjects, config.realm, forward=config.forward, locations=locations
    )


def _credentials(config: IntrospectionScheme) -> list[tuple[bytes, bytes]]:
    """How the gateway proves who it is (RFC 6749, 2.3.1: both are form-encoded first)."""
    if config.token is not None:
        return [(b"authorization", b"Bearer " + config.token.get_secret_value().encode())]
    if config.client_id is None or config.client_secret is None:
        return []
    pair = f"{quote_plus(config.client_id)}:{quote_plus(config.client_secret.get_secret_value())}"
    return [(b"authorization", b"Basic " + b64encode(pair.encode()))]
