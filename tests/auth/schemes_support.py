"""What the tests of schemes share: a signing client, certificates, and an HTTP service that is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from gateway.algorithms.structured_fields import InnerList, parse_dictionary
from gateway.auth.scheme import AuthResult, Recognised, Refused, Scheme
from gateway.auth.schemes import schemes_of
from gateway.auth.signature_base import signature_base
from gateway.context import Context
from gateway.http import Exchange
from gateway.http.testing import make_exchange
from gateway.live import Owner
from tests.auth.support import pem
from tests.config.support import parsed

USUAL = ("@method", "@authority", "@path", "@query")


def digest(body: bytes) -> str:
    """A Content-Digest."""
    return f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"


def components(names: Sequence[str]) -> str:
    """As they stand in Signature-Input."""
    return " ".join(f'"{name}"' for name in names)


@dataclass
class Signer:
    """A client that signs its requests with Ed25519."""

    key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    keyid: str = "acme-1"

    @property
    def consumer(self) -> dict[str, Any]:
        """The consumer as auth.yaml has it."""
        return {
            "name": "acme",
            "signatures": [{"key_id": self.keyid, "algorithm": "ed25519", "key": pem(self.key)}],
        }

    def sign(
        self, exchange: Exchange, covered: Sequence[str] = USUAL, label: str = "sig", **parameters: int | str | None
    ) -> Exchange:
        """The exchange, signed now unless `created` says otherwise; None leaves a parameter out."""
        given = {"created": int(time.time()), "keyid": self.keyid, **parameters}
        texts = {k: f'"{v}"' if isinstance(v, str) else str(v) for k, v in given.items() if v is not None}
        value = f"({components(covered)})" + "".join(f";{name}={text}" for name, text in texts.items())
        parsed = parse_dictionary(f"{label}={value}")[label]
        assert isinstance(parsed, InnerList)
        signature = b64encode(self.key.sign(signature_base(exchange, parsed))).decode()
        add(exchange, "signature-input", f"{label}={value}")
        return add(exchange, "signature", f"{label}=:{signature}:")


def add(exchange: Exchange, name: str, value: str) -> Exchange:
    """The exchange with one header more."""
    exchange.headers.append((name.encode(), value.encode()))
    exchange.fields[name.encode()] = value.encode()
    return exchange


def post(body: bytes = b'{"n": 1}', *, content_digest: str | None = None) -> Exchange:
    """A POST with a body and its Content-Digest."""
    return make_exchange("POST", "/orders?x=1", headers=[("content-digest", content_digest or digest(body))], body=body)


def recognised(outcome: AuthResult) -> Recognised:
    """The caller, who must have been recognised."""
    assert isinstance(outcome, Recognised), outcome
    return outcome


def refused(outcome: AuthResult) -> Refused:
    """The refusal, which it must have been."""
    assert isinstance(outcome, Refused), outcome
    return outcome


def certificate(name: str = "acme", *, sans: Sequence[str] = (), days: int = 1, begins: int = -1) -> x509.Certificate:
    """A certificate for `CN=<name>,O=Acme`, which holds from `begins` to `days` days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now + timedelta(days=begins)).not_valid_after(now + timedelta(days=days))
    if sans:
        kinds: dict[str, Callable[[str], x509.GeneralName]] = {
            "DNS": x509.DNSName,
            "URI": x509.UniformResourceIdentifier,
            "email": x509.RFC822Name,
        }
        names = [kinds[kind](value) for kind, _, value in (san.partition(":") for san in sans)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


@dataclass
class Asked:
    """A request as the service got it. Names of headers in lower case."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header."""
        return dict(self.headers).get(name)


Reply = tuple[int, Mapping[str, str], bytes]


def json_reply(members: Mapping[str, Any]) -> Reply:
    """An answer in JSON."""
    return 200, {"content-type": "application/json"}, json.dumps(members).encode()


class HttpService:
    """An HTTP/1.1 server that answers with what `reply` says, and remembers what it was asked."""

    def __init__(self, reply: Callable[[Asked], Awaitable[Reply]]) -> None:
        self.reply = reply
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ask"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:] if line)]
                body = await reader.readexactly(int(dict(headers).get("content-length", "0")))
                asked = Asked(method, path, headers, body)
                self.asked.append(asked)
                status, more, content = await self.reply(asked)
                head = "".join(f"{name}: {value}\r\n" for name, value in more.items())
                writer.write(f"HTTP/1.1 {status} x\r\n{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running(auth: Mapping[str, Any], name: str, models: str | None = None) -> AsyncIterator[Scheme]:
    """A scheme of this auth.yaml, with the services that it uses."""
    owner = Owner()
    made = Context(parsed(auth=json.dumps(auth), models=models), owner.plan())
    scheme = schemes_of(made)[name]
    await owner.adopt(made.plan)
    try:
        yield scheme
    finally:
        await owner.stop()


@asynccontextmanager
async def http_service(reply: Callable[[Asked], Awaitable[Reply]]) -> AsyncIterator[HttpService]:
    """A service that runs until the end of the block; remaining connections are closed."""
    service = HttpService(reply)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):  # the end of the block
            await service.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
