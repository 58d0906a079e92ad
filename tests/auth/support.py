"""What the tests of authentication share: keys, tokens made by hand, requests, configurations, an issuer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from gateway.auth.scheme import Scheme
from gateway.auth.schemes import schemes_of
from gateway.config.models import Configuration
from gateway.context import Context
from gateway.http import Exchange, Headers
from gateway.live import Owner
from tests.config.support import ROUTE, parsed

ISSUER = "https://login.example.com/"
SECRET = "correct horse battery staple, and a few bytes more so that it does for HS512"
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def private_key(algorithm: str, name: str = "one") -> Any:
    """A private key for an algorithm; every name has its own."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def pem(key: Any) -> str:
    """The public part of a key."""
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The public part of a key as a JSON Web Key, with these members beside."""
    family = {"RSA": "RS256", "Ell": "ES256", "ECP": "ES256", "Ed2": "EdDSA"}[type(key).__name__[:3]]
    return {**get_default_algorithms()[family].to_jwk(key.public_key(), as_dict=True), **members}


def b64(data: bytes | str) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def signature(algorithm: str, key: Any, signed: str) -> bytes:
    """What signs these characters."""
    if algorithm.startswith("HS"):
        secret = key if isinstance(key, bytes) else key.encode()
        return hmac.digest(secret, signed.encode(), f"sha{algorithm[2:]}")
    return bytes(get_default_algorithms()[algorithm].sign(signed.encode(), key))


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that hold for an hour, with changes; None removes one."""
    now = int(time.time())
    some = {"iss": ISSUER, "aud": "orders", "sub": "user-17", "exp": now + 3600, "nbf": now, "iat": now, **changes}
    return {name: value for name, value in some.items() if value is not None}


def mint(
    algorithm: str = "RS256",
    key: Any = None,
    payload: Mapping[str, Any] | str | None = None,
    header: Mapping[str, Any] | str | None = None,
    *,
    named: str | None = None,
) -> str:
    """A signed token. A text as header or payload goes into it as it is. `named`: what `alg` says instead."""
    top = {"alg": named or algorithm, "typ": "JWT", **header} if not isinstance(header, str | None) else header
    top = top if top is not None else {"alg": named or algorithm, "typ": "JWT"}
    payload = claims() if payload is None else payload
    parts = [part if isinstance(part, str) else json.dumps(part) for part in (top, payload)]
    signed = ".".join(b64(part) for part in parts)
    return f"{signed}.{b64(signature(algorithm, private_key(algorithm) if key is None else key, signed))}"


def request(headers: Headers | None = None, query: bytes = b"", *, token: str | None = None) -> Exchange:
    """A request with these headers."""
    lines = [*(headers or []), *([(b"authorization", f"Bearer {token}".encode())] if token is not None else [])]
    return Exchange("req-1", "GET", "/x", query, lines, dict(lines), "http", "host", "127.0.0.1", False, "127.0.0.1")


def context(
    auth: str, base: Path = Path("/nowhere"), routes: str = ROUTE, models: str | None = None, **environment: str
) -> Context:
    """What policies are built from, with this auth.yaml."""
    configuration: Configuration = parsed(routes, auth=auth, models=models, environment=environment, base=base)
    return Context(configuration, Owner().plan())


def jwt_auth(*issuers: Mapping[str, Any], **more: Any) -> str:
    """An auth.yaml with the scheme `login`: these issuers, with defaults for common keys."""
    usual = {"issuer": ISSUER, "audiences": ["orders"], "algorithms": ["RS256"]}
    login = {"jwt": {"issuers": [{**usual, **issuer} for issuer in issuers]}}
    return json.dumps({"schemes": {"login": login}, **more})


def scheme(auth: str, name: str, base: Path = Path("/nowhere"), **environment: str) -> Scheme:
    """One of the schemes of an auth.yaml."""
    return schemes_of(context(auth, base, **environment))[name]


def key_hash(key: str) -> str:
    """As auth.yaml has it."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


Answer = Callable[[str], Awaitable[tuple[int, Headers, bytes] | None]]
"""From a path to status, headers and body; None: nothing is answered, the connection stays open."""


class IssuerServer:
    """An HTTP server that publishes a JSON Web Key Set at /keys, or does what `answer` says."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.fetched = 0
        self.headers: Headers = []
        self.answer: Answer = self._publish
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[Any]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and close all connections."""
        if self._server is not None:
            self._server.close()
        for writer in self._connections:
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(self._connections.values())

    async def _publish(self, path: str) -> tuple[int, Headers, bytes]:
        return 200, self.headers, json.dumps({"keys": self.keys}).encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[writer] = task
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.fetched += 1
                answer = await self.answer(head.split(b" ")[1].decode())
                if answer is None:
                    await reader.read()
                    return
                status, headers, body = answer
                lines = [*headers, (b"content-length", b"%d" % len(body))]
                writer.write(b"HTTP/1.1 %d x\r\n" % status + b"".join(b"%b: %b\r\n" % line for line in lines) + b"\r\n")
                writer.write(body)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            del self._connections[writer]
            writer.close()


@asynccontextmanager
async def issuer_server() -> AsyncIterator[IssuerServer]:
    """An issuer that runs until the end of the block."""
    server = IssuerServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
