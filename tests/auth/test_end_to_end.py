"""Through a gateway process: what goes over the wire to clients and backends, and what is in the logs."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from gateway.auth.jwks import WAIT_SECONDS
from tests.lifecycle.support import reload
from tests.support import GatewayProcess, eventually, exchange, read_head, running_gateway, scripted_backend

from .support import IssuerServer, claims, issuer_server, jwk, key_hash, mint, private_key
from .test_basic import cheap
from .test_jwks import never

KEY = "gw_a-key-that-is-long-enough-to-be-one"


class Site:
    """A gateway, an issuer that it believes, and a backend that answers with the request that it got."""

    def __init__(self, gateway: GatewayProcess, issuer: IssuerServer, backend: int) -> None:
        self.gateway = gateway
        self.issuer = issuer
        self.backend = backend

    @property
    def kid(self) -> str:
        """The key that the issuer signs with."""
        return str(self.issuer.keys[0]["kid"])

    def token(self, kid: str | None = None, **changes: Any) -> str:
        """A token that the issuer signed with this key, or the one of now."""
        kid = kid or self.kid
        return mint(key=private_key("RS256", kid), payload=claims(**changes), header={"kid": kid})

    async def send(self, head: str, body: bytes = b"") -> bytes:
        """What comes back for a request with these lines."""
        lines = head.strip().splitlines()
        text = "\r\n".join([f"{lines[0]} HTTP/1.1", "Host: x", "Connection: close", *lines[1:]]) + "\r\n\r\n"
        return await exchange(self.gateway.port, text.encode("latin-1") + body)

    async def forwarded(self, head: str, body: bytes = b"") -> list[str]:
        """The lines that the backend got."""
        answer = await self.send(head, body)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        return answer.partition(b"\r\n\r\n")[2].decode("latin-1").splitlines()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        received = head = await read_head(reader)
        if b"transfer-encoding: chunked" in head.lower():
            while (line := await reader.readline()) not in (b"0\r\n", b""):
                received += line
            received += (
                await reader.readuntil(b"\r\n") if b"te: trailers" not in head.lower() else await read_head(reader)
            )
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(received) + received)


def _auth(issuer: IssuerServer) -> str:
    usual = {"audiences": ["orders"], "algorithms": ["RS256"]}
    issuers = [
        {"issuer": "https://login.example.com/", "jwks_url": issuer.url, **usual},
        {"issuer": "https://down/", "jwks_url": issuer.url.replace("/keys", "/hangs"), **usual},
    ]
    schemes: dict[str, Any] = {
        "keys": {"api_key": {"header": "X-API-Key", "query": "api_key", "cookie": "key"}},
        "login": {"jwt": {"issuers": issuers}},
        "basic": {"basic": {}},
    }
    consumers = [
        {"name": "acme-app", "tenant": "acme", "groups": ["gold"], "scopes": ["a"], "keys": [key_hash(KEY)]},
        {"name": "bob", "basic": {"username": "bob", "password": cheap("secret")}},
    ]
    return json.dumps({"default": ["keys", "login", "basic"], "schemes": schemes, "consumers": consumers})


def _routes(backend: int) -> str:
    routes = [
        {"id": "shut", "path": "/shut/*", "target": f"127.0.0.1:{backend}"},
        {"id": "open", "path": "/open/*", "target": f"127.0.0.1:{backend}", "auth": []},
        {"id": "login", "path": "/login/*", "target": f"127.0.0.1:{backend}", "auth": ["login"]},
    ]
    return json.dumps(routes)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """One of each for all tests here."""
    async with issuer_server() as issuer, scripted_backend(_echo) as backend:
        publish = issuer.answer

        async def answer(path: str) -> Any:
            return await (never(path) if path == "/hangs" else publish(path))

        issuer.answer = answer
        issuer.keys = [jwk(private_key("RS256", "k0"), kid="k0")]
        directory = tmp_path_factory.mktemp("site")
        gateway = running_gateway(directory, _routes(backend), auth=_auth(issuer))
        process = await asyncio.to_thread(gateway.__enter__)
        try:
            yield Site(process, issuer, backend)
        finally:
            await asyncio.to_thread(gateway.__exit__, None, None, None)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_without_a_credential_the_answer_is_401(site: Site) -> None:
    """With a challenge for each scheme, as a problem document, and nothing reaches the backend."""
    head, _, body = (await site.send("GET /shut/x")).partition(b"\r\n\r\n")
    lines = head.decode().lower().splitlines()
    assert lines[0] == "http/1.1 401 unauthorized"
    assert [line for line in lines if line.startswith("www-authenticate")] == [
        'www-authenticate: apikey realm="gateway", header="x-api-key", query="api_key", cookie="key"',
        'www-authenticate: bearer realm="gateway"',
        'www-authenticate: basic realm="gateway", charset="utf-8"',
    ]
    assert json.loads(body)["type"] == "urn:problem-type:gateway:unauthenticated"


@pytest.mark.parametrize(
    "head",
    [
        f"GET /shut/x\nX-API-Key: {KEY}\nX-API-Key: {KEY}",
        f"GET /shut/x?api_key={KEY}\nX-API-Key: {KEY}",
        f"GET /shut/x?api_key={KEY}&api_key={KEY}",
        f"GET /shut/x\nCookie: key={KEY}; key={KEY}",
        "GET /shut/x\nAuthorization: Basic Ym9iOnNlY3JldA==\nAuthorization: Basic Ym9iOnNlY3JldA==",
        "GET /open/x\nAuthorization: Basic Ym9iOnNlY3JldA==\nauthorization: Bearer x",
    ],
)
async def test_two_credentials_of_one_kind_are_400(site: Site, head: str) -> None:
    """Wherever they are."""
    answer = await site.send(head)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"urn:problem-type:gateway:ambiguous-credentials" in answer


@pytest.mark.parametrize(
    ("head", "consumer"),
    [
        (f"GET /shut/x?api_key={KEY}&a=b", "acme-app"),
        (f"GET /shut/x?a=b\nX-API-Key: {KEY}", "acme-app"),
        (f"GET /shut/x?a=b\nCookie: key={KEY}; c=d", "acme-app"),
        ("GET /shut/x?a=b\nAuthorization: Basic Ym9iOnNlY3JldA==", "bob"),
    ],
)
async def test_the_backend_gets_the_identity_and_not_the_credential(site: Site, head: str, consumer: str) -> None:
    """The query and the other cookies arrive as they were."""
    lines = await site.forwarded(f"{head}\nX-Consumer-Name: root\nX_Consumer_Name: root\nx-consumer-SCOPES: all")
    assert lines[0] == "GET /shut/x?a=b HTTP/1.1"
    assert next(line for line in lines if "onsumer" in line.lower()) == f"x-consumer-name: {consumer}"
    text = "\n".join(lines).lower()
    assert "root" not in text
    assert "all" not in text
    assert KEY.lower() not in text
    assert "authorization" not in text
    if "Cookie" in head:
        assert "cookie: c=d" in text


async def test_a_token_is_taken_and_ends_here(site: Site) -> None:
    """Its claims reach the backend."""
    lines = await site.forwarded(f"GET /login/x\nAuthorization: Bearer {site.token(scope='x y')}")
    assert "x-consumer-name: user-17" in lines
    assert "x-consumer-scopes: x y" in lines
    assert not any(line.lower().startswith("authorization") for line in lines)


async def test_clients_cannot_name_a_consumer_on_an_open_route(site: Site) -> None:
    """In any spelling, nor by naming the header in Connection."""
    names = (
        "X-Consumer-Name",
        "x-consumer-name",
        "X_CONSUMER_NAME",
        "X-Consumer_Tenant",
        "X-Consumer-Groups",
        "x-consumer-scopes",
    )
    for name in names:
        lines = await site.forwarded(f"GET /open/x\n{name}: root\nX-Other: 1")
        assert not any("root" in line for line in lines), lines
        assert "x-other: 1" in [line.lower() for line in lines]
    text = f"GET /shut/x HTTP/1.1\r\nHost: x\r\nConnection: close, x-consumer-name\r\nX-API-Key: {KEY}\r\n\r\n"
    assert b"x-consumer-name: acme-app" in await exchange(site.gateway.port, text.encode())


async def test_the_logs_hold_no_credential(site: Site) -> None:
    """Neither of requests that were let through, nor of those that were not."""
    secret = site.token(sub="log-me")
    for head in (
        f"GET /shut/logged?api_key={KEY}",
        f"GET /shut/logged?api_key={KEY}&api_key=x",
        f"GET /open/logged?api_key={KEY}",
        f"GET /nowhere?api_key={KEY}",
        f"GET /shut/logged\nAuthorization: Bearer {secret}",
        f"GET /shut/logged\nAuthorization: Bearer {secret}x",
        "GET /shut/logged\nAuthorization: Basic Ym9iOnNlY3JldA==",
        f"GET /shut/logged\nCookie: key={KEY}x",
    ):
        answer = await site.send(head)
        if not answer.startswith(b"HTTP/1.1 200"):
            assert KEY.encode() not in answer
            assert secret.encode() not in answer
    await eventually(lambda: site.gateway.access_log.count("/shut/logged") >= 6)
    for log in (site.gateway.access_log, site.gateway.log):
        for credential in (KEY, secret, secret.rpartition(".")[2], "Ym9iOnNlY3JldA"):
            assert credential not in log


async def test_a_websocket_needs_a_credential_too(site: Site) -> None:
    """The handshake is refused before the backend hears of it."""
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    upgrade += "AAAAAAAAAAAAAAAAAAAAAA=="
    answer = await exchange(site.gateway.port, f"GET /shut/ws HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401")


async def test_keys_rotate_under_traffic_and_no_request_fails(site: Site) -> None:
    """The issuer publishes a new key, signs with it, and removes the old one, again and again."""
    client = httpx2.AsyncClient(base_url=site.gateway.url, timeout=10)
    first = site.kid
    over = False
    statuses: list[int] = []

    async def traffic() -> None:
        number = 0
        while not over:
            number += 1
            bearer = {"authorization": f"Bearer {site.token(sub=f'user-{number % 5}')}"}
            statuses.append((await client.get("/login/x", headers=bearer)).status_code)

    async with client, asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(traffic())
        for turn in range(1, 5):
            seen = len(statuses)
            await eventually(lambda seen=seen: len(statuses) >= seen + 40)  # type: ignore[misc]
            new = jwk(private_key("RS256", f"k{turn}"), kid=f"k{turn}")
            site.issuer.keys = [new, *site.issuer.keys[:1]]
        seen = len(statuses)
        await eventually(lambda: len(statuses) >= seen + 40)
        over = True
    assert set(statuses) == {200}
    gone = await site.send(f"GET /login/x\nAuthorization: Bearer {site.token(first, sub='fresh')}")
    assert gone.startswith(b"HTTP/1.1 401")
    assert b"the token is signed by a key that is not known" in gone


async def test_an_issuer_that_hangs_delays_its_own_tokens_only_and_not_for_long(site: Site) -> None:
    """503 with Retry-After, after a bounded wait, while the tokens of others are taken at once."""
    began = time.monotonic()
    hanging = asyncio.create_task(site.send(f"GET /login/x\nAuthorization: Bearer {site.token(iss='https://down/')}"))
    for number in range(20):
        await site.forwarded(f"GET /login/x\nAuthorization: Bearer {site.token(sub=f'other-{number}')}")
    assert time.monotonic() - began < 20 * WAIT_SECONDS / 2  # where each had to wait as well, it would be twice as long
    answer = await hanging
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"\r\nretry-after: 5\r\n" in answer.lower()
    assert time.monotonic() - began < 25  # of a time that has no end


async def test_a_reload_keeps_the_keys_and_takes_up_new_consumers(site: Site) -> None:
    """The issuer is not asked again, so that it may be down just then."""
    await site.forwarded(f"GET /login/x\nAuthorization: Bearer {site.token()}")
    await site.issuer.stop()
    auth = json.loads(_auth(site.issuer))
    auth["consumers"].append({"name": "new-app", "keys": [key_hash(KEY[::-1])]})
    site.gateway.write(auth=json.dumps(auth))
    await eventually(lambda: "reloaded" in site.gateway.log)
    try:
        assert "x-consumer-name: new-app" in await site.forwarded(f"GET /shut/x\nX-API-Key: {KEY[::-1]}")
        assert "x-consumer-name: user-17" in await site.forwarded(f"GET /login/x\nAuthorization: Bearer {site.token()}")
    finally:
        await site.issuer.start()


async def test_a_reload_that_is_asked_for_ends_a_key_that_the_issuer_has_withdrawn(site: Site) -> None:
    """Its tokens are refused from then on, also those that were accepted before."""
    stolen = site.kid
    request = f"GET /login/x\nAuthorization: Bearer {site.token(stolen)}"
    await site.forwarded(request)
    site.issuer.keys = [jwk(private_key("RS256", "next"), kid="next")]
    await site.forwarded(request)
    assert (await asyncio.to_thread(reload, site.gateway)).is_success
    # 503: the issuer was asked too often, by other tests, to be asked whether it has the key again.
    assert (await site.send(request)).startswith((b"HTTP/1.1 401", b"HTTP/1.1 503"))
    await site.forwarded(f"GET /login/x\nAuthorization: Bearer {site.token('next')}")


async def test_trailers_do_not_name_a_consumer(site: Site) -> None:
    """What comes behind the body is no way around the headers."""
    body = b"1\r\na\r\n0\r\nX-Consumer-Name: root\r\nX-Fine: 1\r\n\r\n"
    lines = await site.forwarded(
        "POST /open/x\nTE: trailers\nTransfer-Encoding: chunked\nTrailer: X-Consumer-Name", body
    )
    assert not any(line.lower().startswith("x-consumer-name: root") for line in lines), lines
