"""A service is asked for every request whether it may pass, as `auth_request` of nginx and ForwardAuth of Traefik do.

It learns method, URL and chosen headers, never the body. Where it allows the request, chosen headers of its answer go
to the backend. Where it refuses it, or sends the caller somewhere to log in, its answer is the caller's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from gateway.auth.auth_server import AuthServer, AuthServerError, Query, Reply
from gateway.auth.context import AuthContext
from gateway.auth.credentials import authorization, without_parameters
from gateway.auth.identities import Identities, header_names
from gateway.auth.model_keys import BESIDE
from gateway.auth.scheme import AuthResult, Locations, Refused, unavailable
from gateway.auth.token_locations import TWO_TOKENS, TokenLocations, secret_parameters, token_locations
from gateway.auth.turns import owner_of
from gateway.config.model_routes import target_of
from gateway.config.models.auth.forward_auth import ForwardAuthScheme
from gateway.errors import ErrorKind
from gateway.http import Exchange, Headers, Identity, Response
from gateway.http.fields import (
    ENDS_HERE,
    FORWARDING_FIELDS,
    FRAMING_FIELDS,
    folded,
    values,
)
from gateway.http.header_filter import is_of_proxies
from gateway.http.trace_context import TRACE_FIELDS, trace_lines
from gateway.outside.breaker import Requester
from gateway.upstream.request import prefix_before, response_headers

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_NAME = 200  # characters of a consumer, tenant, group or scope

NOT_ASKED = unavailable("the service that decides is not asked for an explanation")
PUBLIC = "the service that decides does not answer at the moment"

_OWN = frozenset({b"content-length", b"date", b"server"})
_SAID = frozenset(b"x-forwarded-" + what for what in (b"method", b"proto", b"host", b"uri", b"for"))
_TO_SERVICE = ENDS_HERE | FRAMING_FIELDS | _SAID | {b"x-request-id", b"accept-encoding"}
_TO_BACKEND = ENDS_HERE | FRAMING_FIELDS | FORWARDING_FIELDS
_TO_BACKEND |= {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
_TO_CLIENT = (
    ENDS_HERE | FRAMING_FIELDS | _OWN | {b"content-type", b"content-encoding", b"content-range", b"x-request-id"}
)


@dataclass(frozen=True, slots=True)
class IdentityNames:
    """The headers of the answer that say who calls; None: nothing does."""

    consumer: str | None
    tenant: str | None
    groups: str | None
    scopes: str | None


@dataclass(frozen=True, slots=True)
class ForwardAuth:
    """The scheme of kind `forward_auth`."""

    name: str
    service: AuthServer
    request_headers: tuple[bytes, ...]
    response_headers: tuple[bytes, ...]  # that the backend gets
    client_response_headers: tuple[bytes, ...]  # that the client gets
    identity: IdentityNames
    forbids: bool  # what cannot be asked
    identities: Identities
    locations: Locations
    token_locations: TokenLocations
    secret_parameters: frozenset[bytes]  # of the query, in which any scheme finds its credentials
    to_models: frozenset[str]  # ids of routes on which keys are found in more places
    forward: bool = False

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """The service's decision. Also without a credential: it may allow that, or redirect the caller to a login."""
        token = self._token(exchange)
        if isinstance(token, Refused):
            return token
        if dry_run:
            return NOT_ASKED
        requester = Requester(owner_of(exchange), self._credential(exchange, token))
        try:
            answer = await self.service.ask(Query("GET", list(self._headers(exchange, token))), requester)
        except AuthServerError as error:
            return self._failed(error)
        if 200 <= answer.status < 300:
            return self._recognised(answer)
        if answer.status in (401, 403) or answer.status in REDIRECTS:
            self.service.answered()
            return _refused(answer)
        return self._failed(AuthServerError(f"{self.service.shown} answered {answer.status}"))

    def _failed(self, error: AuthServerError) -> Refused:
        """The caller may be allowed, which cannot be asked."""
        self.service.failed(error)
        detail = f"who decides cannot be asked: {error}"
        if self.forbids:
            return Refused(detail, ErrorKind.FORBIDDEN, public_detail=PUBLIC, undecided=True)
        return unavailable(detail)

    def _token(self, exchange: Exchange) -> bytes | Refused | None:
        """The value of `Authorization`: the caller's, or else the gateway's for it."""
        token = self.token_locations.find(exchange)
        other = isinstance(token, bytes) and authorization(exchange, b"bearer") is None
        return TWO_TOKENS if other and b"authorization" in exchange.fields else token

    def _headers(self, exchange: Exchange, token: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        yield b"x-forwarded-method", exchange.method.encode()
        yield b"x-forwarded-proto", exchange.scheme.encode()
        yield b"x-forwarded-host", (exchange.outer_host or exchange.host).encode("latin-1")
        yield b"x-forwarded-uri", exchange.path.encode("latin-1") + self._query_part(exchange)
        if prefix := prefix_before(exchange, exchange.path):
            yield b"x-forwarded-prefix", prefix
        yield b"x-forwarded-for", exchange.client.encode()
        yield b"x-request-id", exchange.request_id.encode()
        yield b"accept-encoding", b"identity"
        if token is not None and b"authorization" not in exchange.fields:
            yield b"authorization", b"Bearer " + token
        traced = trace_lines(exchange.extra_headers)
        yield from traced
        for name in self.request_headers:
            if (
                name in exchange.fields
                and not (traced and name in TRACE_FIELDS)
                and name != b"x-forwarded-prefix"
                and (exchange.peer_trusted or not is_of_proxies(name))
            ):
                yield from ((name, value) for value in values(exchange.headers, name))

    def _query_part(self, exchange: Exchange) -> bytes:
        """The query part without credentials of any scheme: services log it."""
        names = self.secret_parameters
        if exchange.route in self.to_models:
            names |= BESIDE.parameters
        if not names or not exchange.query:
            return exchange.query_part()
        query = without_parameters(exchange.query, names)
        return b"?" + query if query else b""

    def _credential(self, exchange: Exchange, token: bytes | None) -> bytes | None:
        """The cache key of all credentials that the service may use; None if there are none."""
        shown = [value for name in self.request_headers for value in values(exchange.headers, name)]
        shown += [token] if token is not None else []
        return sha256(b"\n".join(shown)).digest() if shown else None

    def _recognised(self, answer: Reply) -> AuthResult:
        headers = dict(answer.headers)
        names = self.identity
        consumer = _text(headers, names.consumer) or self.name
        groups, scopes = _names(headers, names.groups, ","), _names(headers, names.scopes, " ")
        identity = Identity(consumer, self.name, _text(headers, names.tenant), groups, scopes)
        if any(len(text) > MAX_NAME for text in (consumer, identity.tenant or "", *groups, *scopes)):
            return self._failed(AuthServerError(f"{self.service.shown} answered with a name that is too long"))
        self.service.answered()
        recognised = self.identities.recognised(identity)
        copied = tuple(line for line in answer.headers if line[0] in self.response_headers)
        for_client = tuple(line for line in answer.headers if line[0] in self.client_response_headers)
        return replace(recognised, headers=recognised.headers + copied, client_headers=for_client)

    def challenge(self, refused: Refused | None) -> None:
        """The service has challenges of its own, which are in its answer."""


def _refused(answer: Reply) -> Refused:
    headers: Headers = [line for line in response_headers(answer.headers) if line[0] not in _OWN]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    response = Response(answer.status, headers, answer.body)
    if answer.status == 401:
        return Refused("the service that decides does not know the caller", final=False, answer=response)
    detail = "the service that decides refuses it" if answer.status == 403 else "the service that decides redirects it"
    return Refused(detail, ErrorKind.FORBIDDEN, answer=response)


def _text(headers: Mapping[bytes, bytes], name: str | None) -> str | None:
    """A header as text; control characters end what a name can be."""
    value = headers.get(name.encode()) if name else None
    text = value.decode("utf-8", "replace").strip() if value else ""
    return text if text and text.isprintable() else None


def _names(headers: Mapping[bytes, bytes], name: str | None, separator: str) -> frozenset[str]:
    text = _text(headers, name) or ""
    return frozenset(part.strip() for part in text.split(separator)) - {""}


# From auth.yaml.


def forward_auth(auth: AuthContext, name: str, config: ForwardAuthScheme) -> ForwardAuth:
    """The scheme that auth.yaml describes."""
    url, timeout, forbids = config.url, config.timeout, config.on_failure == "forbidden"
    configuration = auth.context.configuration
    token = token_locations(config.from_)
    copied = tuple(header.encode() for header in config.response_headers if header != "set-cookie")
    who = config.identity
    identity = IdentityNames(who.consumer, who.tenant, who.groups, who.scopes)
    names = {name.encode() for name in (who.consumer, who.tenant, who.groups, who.scopes) if name is not None}
    replaced = frozenset(name.replace(b"_", b"-") for name in names.union(copied))
    _check(auth, name, "request_headers", config.request_headers, _TO_SERVICE)
    written_here = _TO_BACKEND | header_names(auth.config.identity_headers)
    _check(auth, name, "response_headers", config.response_headers, written_here)
    _check(auth, name, "client_response_headers", config.client_response_headers, _TO_CLIENT)
    return ForwardAuth(
        name=name,
        service=auth.plan.need(
            ("forward-auth", name, url, timeout, forbids),
            lambda: AuthServer(url, timeout, name, 403 if forbids else 503),
            ("auth.yaml", ("schemes", name)),
        ),
        request_headers=tuple(header.encode() for header in config.request_headers),
        response_headers=copied,
        client_response_headers=tuple(header.encode() for header in config.client_response_headers),
        identity=identity,
        forbids=forbids,
        identities=auth.identities,
        locations=Locations(replaced) | token.locations,
        token_locations=token,
        secret_parameters=secret_parameters(auth.config),
        to_models=frozenset(
            route.id for route in configuration.routes.routes if target_of(route, configuration.models) is not None
        ),
    )


def _check(auth: AuthContext, scheme: str, key: str, headers: Collection[str], own: frozenset[bytes]) -> None:
    """A second line of what the gateway writes itself, such as the length of the body, would be read in two ways."""
    for index, header in enumerate(headers):
        if folded(header.encode()) in own:
            auth.problem(
                ("schemes", scheme, "forward_auth", key, index), f"the gateway writes {header} itself; remove it"
            )
