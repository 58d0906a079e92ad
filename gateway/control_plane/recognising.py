"""Who calls: by the schemes of the auth.yaml beside control-plane.yaml, or by the token of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Final, cast

from starlette.types import Scope

from gateway.admin.tokens import LocalToken
from gateway.auth.api_key import ApiKeys
from gateway.auth.identities import header_names
from gateway.auth.model_keys import ModelKeys
from gateway.auth.scheme import Scheme
from gateway.auth.schemes import schemes_of
from gateway.config.load import parse
from gateway.config.models import AuthFile, Configuration
from gateway.config.problems import ConfigError, Problem
from gateway.config.secrets import KnownSecrets
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Identity, Response
from gateway.http.bodies import Body
from gateway.http.forwarded import TrustedProxies
from gateway.live import Plan
from gateway.middleware.authentication import NO_CREDENTIAL, Authentication

FILE: Final = "auth.yaml"
LOCAL: Final = "local"  # what the log calls the holder of the token of this machine

_ROUTES: Final = b"routes: [{path: /, respond: 204}]"  # a configuration has some; who calls is all that is taken of it


@dataclass(frozen=True, slots=True)
class Shown:
    """The parts of a request that identify its sender."""

    method: str
    path: str  # octets as characters
    query: bytes
    headers: Headers
    scheme: str
    peer: str
    version: str = "1.1"

    @staticmethod
    def of(scope: Scope) -> Shown:
        """The request of an ASGI server."""
        peer = (scope.get("client") or ("unknown",))[0]
        path = (scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")).decode("latin-1")
        headers = cast(Headers, scope["headers"])
        scheme, version = scope["scheme"].replace("ws", "http"), scope["http_version"]
        return Shown(scope.get("method", "GET"), path, scope["query_string"], headers, scheme, peer, version)

    def with_authorization(self, value: bytes) -> Shown:
        """The same with this credential, and no other."""
        headers = [(b"host", b""), (b"authorization", value)]
        return Shown("GET", "/", b"", headers, self.scheme, self.peer)


class Recognising:
    """Finds out who has sent a request, by the schemes of an auth.yaml."""

    def __init__(self, auth: AuthFile, schemes: Sequence[Scheme]) -> None:
        self._handler = Authentication(tuple(schemes), header_names(auth.identity_headers)).wrap(_end)
        self._proxies = TrustedProxies(auth.trusted_proxies)

    def client(self, shown: Shown) -> str:
        """The address that it comes from, as far as trusted proxies vouch for it."""
        return self._proxies.caller(shown.peer, shown.scheme, shown.headers, dict(shown.headers)).client

    async def identity(self, shown: Shown, body: Body | None = None) -> Identity:
        """Raises GatewayError if no scheme recognises the caller. A signed body is read to its end."""
        fields = dict(shown.headers)
        client, scheme, trusted, *_ = self._proxies.caller(shown.peer, shown.scheme, shown.headers, fields)
        host = fields.get(b"host", b"").decode("latin-1")
        head = shown.method, shown.path, shown.query, shown.headers, fields, scheme, host
        exchange = Exchange("", *head, shown.peer, trusted, client, shown.version)
        exchange.body = body
        try:
            await self._handler(exchange)
        except GatewayError as error:
            if error.detail != NO_CREDENTIAL.detail:
                raise
            detail = f"the request has no credential; send one that {FILE} knows, such as Authorization: Bearer KEY"
            raise GatewayError(error.kind, detail, headers=error.headers) from None
        if exchange.identity is None:
            raise GatewayError(ErrorKind.UNAUTHENTICATED, "the request has no credential")
        return exchange.identity


class Local:
    """Recognises the token of this machine."""

    def __init__(self, token: LocalToken) -> None:
        self._token = token

    def client(self, shown: Shown) -> str:
        """The other end of the connection."""
        return shown.peer

    async def identity(self, shown: Shown, body: Body | None = None) -> Identity:
        """Raises GatewayError where the token is not there, or another one."""
        lines = [value for name, value in shown.headers if name == b"authorization"]
        challenge = ((b"www-authenticate", b"Bearer"),)
        if not lines:
            detail = f"send Authorization: Bearer TOKEN; the token of this machine is in {self._token.path}"
            raise GatewayError(ErrorKind.UNAUTHENTICATED, detail, headers=challenge)
        scheme, _, token = lines[0].partition(b" ")
        if len(lines) > 1 or scheme.lower() != b"bearer":
            detail = "send one header, Authorization: Bearer TOKEN"
            raise GatewayError(ErrorKind.UNAUTHENTICATED, detail, headers=challenge)
        if not compare_digest(token.strip(), self._token.token.encode()):
            detail = f"the token is not that of this machine, which is in {self._token.path}"
            raise GatewayError(ErrorKind.UNAUTHENTICATED, detail, headers=challenge)
        return Identity(LOCAL, LOCAL)


async def _end(exchange: Exchange) -> Response:
    """Where an authenticated request would go on: what it signed of its body holds, or this raises."""
    if exchange.body is not None:
        while await exchange.body.read():
            pass
    return Response(204, [])


def read_auth(
    data: bytes, directory: Path, environment: Mapping[str, str], secrets: KnownSecrets, named: set[str]
) -> Configuration:
    """The schemes of an auth.yaml. The other files that it names are added to `named`.

    Raises ConfigError with every error.
    """
    files = {"routes.yaml": _ROUTES, FILE: data}
    configuration = parse(files, environment, base=directory, secrets=secrets, named=named)
    problems = list(_unfit(configuration))
    if problems:
        raise ConfigError(problems)
    return configuration


def _unfit(configuration: Configuration) -> Iterator[Problem]:
    """Settings that would admit every caller here, although they are valid for routes."""
    auth = configuration.auth
    if auth.mode == "shadow":
        message = "the control plane has no shadow mode for authentication; remove it, or write mode: enforce"
        yield configuration.problem(FILE, ("mode",), message)
    if not auth.schemes:
        message = (
            "there is no scheme, so every request would be refused; add one, or remove the file to use the "
            "token of this machine"
        )
        yield configuration.problem(FILE, (), message)


def recognising(configuration: Configuration, plan: Plan) -> Recognising:
    """The schemes that authenticate callers: `default` of auth.yaml, or all of them in their order. A key of an API
    consumer may also be sent as `Authorization: Bearer KEY`.

    Belongs on a thread. Raises ConfigError where files that a scheme needs are unfit.
    """
    auth, schemes = configuration.auth, schemes_of(Context(configuration, plan))
    taken: list[Scheme] = []
    for name in auth.default or auth.schemes:
        scheme = schemes[name]
        taken.append(scheme)
        if isinstance(scheme, ApiKeys):
            taken.append(ModelKeys(scheme, beside=False))
    return Recognising(auth, tuple(taken))
