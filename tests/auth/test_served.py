"""All of it at once, through a gateway process: what clients get, and what the backend sees."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding

from tests.auth.schemes_support import Asked, HttpService, Reply, Signer, certificate, digest, http_service, json_reply
from tests.support import GatewayProcess, exchange, running_gateway

KEY = "a-key-that-nobody-would-ever-guess"
SHOWN = certificate(sans=["URI:spiffe://example.org/acme"])
SIGNER = Signer()

ROUTES = """
- {{id: signed, path: /signed/*, target: "127.0.0.1:{backend}", auth: [signed]}}
- {{id: opaque, path: /opaque/*, target: "127.0.0.1:{backend}", auth: [opaque], authorize: [{{scopes: [write]}}]}}
- {{id: certs, path: /certs/*, target: "127.0.0.1:{backend}", auth: [certs]}}
- {{id: asked, path: /asked/*, target: "127.0.0.1:{backend}", auth: [ask]}}
- {{id: either, path: /either/*, target: "127.0.0.1:{backend}", auth: [ask, keys]}}
- id: ruled
  path: /ruled/*
  target: "127.0.0.1:{backend}"
  auth: [keys, public]
  authorize:
  - {{groups: [gold], methods: [POST]}}
  - {{when: 'query.debug != "1" and client in "127.0.0.0/8"', methods: [PUT]}}
  - {{consumers: [acme], methods: [DELETE]}}
  - {{tenants: [nobody], mode: shadow, methods: [GET]}}
"""


async def service(asked: Asked) -> Reply:
    """Introspection on POST, forward_auth on GET, both at one address."""
    if asked.method == "POST":
        return json_reply({"active": b"right" in asked.body, "sub": "user-1", "scope": "read"})
    if asked.header("authorization") == "Bearer right":
        return 200, {"x-user": "ann", "x-session": "s-1"}, b""
    if asked.header("authorization") == "Bearer login":
        return 302, {"location": "https://login.example.com/", "set-cookie": "state=1"}, b"go there"
    return 401, {"www-authenticate": 'Cookie realm="sso"', "content-type": "text/plain"}, b"who are you?"


async def backend(asked: Asked) -> Reply:
    """Answers with what it got."""
    body = {"path": asked.path, "headers": asked.headers, "body": asked.body.decode("latin-1")}
    return 200, {"content-type": "application/json"}, json.dumps(body).encode()


class Stage:
    """A gateway, the service that it asks, and the backend."""

    def __init__(self, gateway: GatewayProcess, asked: HttpService, reached: HttpService) -> None:
        self.gateway = gateway
        self.service = asked
        self.backend = reached

    async def send(self, method: str, path: str, *headers: str, body: bytes = b"") -> tuple[int, str, str]:
        """Status, head and body of the answer."""
        lines = [f"{method} {path} HTTP/1.1", "Host: api.example.com", "Connection: close", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        raw = await exchange(self.gateway.port, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        head, _, content = raw.decode("latin-1").partition("\r\n\r\n")
        return int(head.split(" ")[1]), head, content


@asynccontextmanager
async def staged(directory: Path) -> AsyncIterator[Stage]:
    """All three, running."""
    async with http_service(service) as asked, http_service(backend) as reached:
        auth = {
            "trusted_proxies": ["127.0.0.1"],
            "schemes": {
                "keys": {"api_key": {}},
                "public": {"anonymous": {}},
                "signed": {"http_signature": {}},
                "opaque": {"introspection": {"url": asked.url, "timeout": "1s"}},
                "certs": {"mtls": {"source": "x-ssl-client-cert"}},
                "ask": {
                    "forward_auth": {
                        "url": asked.url,
                        "response_headers": ["X-Session"],
                        "identity": {"consumer": "X-User"},
                    }
                },
            },
            "consumers": [
                {
                    **SIGNER.consumer,
                    "keys": [f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"],
                    "certificates": [{"san": "URI:spiffe://example.org/acme"}],
                }
            ],
        }
        routes = ROUTES.format(backend=reached.port)
        await asyncio.to_thread(directory.mkdir)
        gateway = running_gateway(directory, routes, auth=json.dumps(auth))
        process = await asyncio.to_thread(gateway.__enter__)
        try:
            yield Stage(process, asked, reached)
        finally:
            await asyncio.to_thread(gateway.__exit__, None, None, None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("schemes") / "one") as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


def signature(method: str, path: str, body: bytes = b"", nonce: str = "") -> list[str]:
    """The headers that sign a request."""
    covered = ['"@method"', '"@authority"', '"@path"', '"@query"', *(['"content-digest"'] if body else [])]
    parameters = f'({" ".join(covered)});created={int(time.time())};keyid="acme-1";nonce="{nonce or time.time_ns()}"'
    path, _, query = path.partition("?")
    lines = [f'"@method": {method}', '"@authority": api.example.com', f'"@path": {path}', f'"@query": ?{query}']
    lines += [f'"content-digest": {digest(body)}'] if body else []
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    value = b64encode(SIGNER.key.sign(base.encode())).decode()
    headers = [f"Signature-Input: s={parameters}", f"Signature: s=:{value}:"]
    return [*headers, f"Content-Digest: {digest(body)}"] if body else headers


def seen(content: str) -> dict[str, str]:
    """The headers that the backend got."""
    return dict(json.loads(content)["headers"])


async def test_a_signed_request_with_a_body_arrives(stage: Stage) -> None:
    """The backend gets the body and who signed it, and not the signature."""
    body = b"x" * 200_000
    status, _, content = await stage.send("POST", "/signed/1?a=b", *signature("POST", "/signed/1?a=b", body), body=body)
    assert status == 200
    assert json.loads(content)["body"] == body.decode()
    assert seen(content)["x-consumer-name"] == "acme"
    assert "signature" not in seen(content)


async def test_a_body_that_is_not_the_signed_one_is_refused(stage: Stage) -> None:
    """The client gets a 401, and the backend never a whole request."""
    before, body = len(stage.backend.asked), b"y" * 100_000
    headers = signature("POST", "/signed/1", body)
    status, head, content = await stage.send("POST", "/signed/1", *headers, body=body[:-1] + b"z")
    assert (status, len(stage.backend.asked)) == (401, before), head
    assert "not the one that Content-Digest names" in content


async def test_a_signed_request_is_taken_once(stage: Stage) -> None:
    """The second time it is a 401 that says what to do."""
    headers = signature("GET", "/signed/1")
    assert (await stage.send("GET", "/signed/1", *headers))[0] == 200
    status, head, content = await stage.send("GET", "/signed/1", *headers)
    assert status == 401
    assert 'www-authenticate: Signature realm="gateway"' in head
    assert "add a nonce" in content


async def test_an_opaque_token_and_the_scope_that_it_lacks(stage: Stage) -> None:
    """A token that does not hold is a 401, one without the scope a 403, each as RFC 6750 has it."""
    status, head, _ = await stage.send("GET", "/opaque/1", "Authorization: Bearer wrong")
    assert status == 401
    assert 'error="invalid_token"' in head
    status, head, content = await stage.send("GET", "/opaque/1", "Authorization: Bearer right")
    assert status == 403
    assert 'Bearer error="insufficient_scope", scope="write"' in head
    assert "it needs the scope write" in content


async def test_a_certificate_from_a_trusted_proxy(stage: Stage) -> None:
    """nginx hands it over in a header, which the backend does not get to see."""
    pem = quote(SHOWN.public_bytes(Encoding.PEM).decode(), safe="")
    status, _, content = await stage.send("GET", "/certs/1", f"X-SSL-Client-Cert: {pem}")
    assert (status, seen(content)["x-consumer-name"]) == (200, "acme")
    assert "x-ssl-client-cert" not in seen(content)
    assert (await stage.send("GET", "/certs/1"))[0] == 401


async def test_the_service_of_forward_auth_decides(stage: Stage) -> None:
    """Its headers reach the backend, where the client's own do not; its refusals reach the client as they are."""
    status, _, content = await stage.send("GET", "/asked/1", "Authorization: Bearer right", "X-Session: forged")
    assert status == 200
    assert [value for name, value in json.loads(content)["headers"] if name == "x-session"] == ["s-1"]
    assert seen(content)["x-consumer-name"] == "ann"
    status, head, content = await stage.send("GET", "/asked/1", "X-Session: forged")
    assert (status, content) == (401, "who are you?")
    assert 'www-authenticate: Cookie realm="sso"' in head
    status, head, content = await stage.send("GET", "/asked/1", "Authorization: Bearer login")
    assert (status, content) == (302, "go there")
    assert "location: https://login.example.com/" in head
    assert "set-cookie: state=1" in head


async def test_another_scheme_may_know_whom_the_service_does_not(stage: Stage) -> None:
    """A 401 of the service is not the last word where the route accepts another scheme."""
    status, _, content = await stage.send("GET", "/either/1", f"X-API-Key: {KEY}")
    assert (status, seen(content)["x-consumer-name"]) == (200, "acme")
    status, _, content = await stage.send("GET", "/either/1")
    assert (status, content) == (401, "who are you?")


async def test_rules_are_for_their_methods(stage: Stage) -> None:
    """Known but not allowed is a 403, not known a 401, a condition that does not hold a 403; shadow rules let pass."""
    key = f"X-API-Key: {KEY}"
    assert (await stage.send("GET", "/ruled/1", key))[0] == 200
    assert (await stage.send("POST", "/ruled/1", key))[0] == 403
    status, head, _ = await stage.send("POST", "/ruled/1")
    assert status == 401
    assert "www-authenticate: ApiKey" in head
    assert (await stage.send("PUT", "/ruled/1?debug=0", key))[0] == 200
    assert (await stage.send("PUT", "/ruled/1?debug=1", key))[0] == 403
    assert (await stage.send("DELETE", "/ruled/1", key))[0] == 200


async def test_a_service_that_is_down_is_a_503(tmp_path: Path) -> None:
    """No request passes because a service is unavailable."""
    async with staged(tmp_path / "down") as running:
        running.service.reply = _broken
        for path, authorization in (("/opaque/1", "right"), ("/asked/1", "right")):
            status, head, content = await running.send("GET", path, f"Authorization: Bearer {authorization}")
            assert status == 503
            assert "retry-after: 5" in head
            assert "auth-unavailable" in content


async def _broken(asked: Asked) -> Reply:
    return 500, {}, b"secret stack trace"
