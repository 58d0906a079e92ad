"""No log ever holds a credential, whatever clients do with it, and however much is logged."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import jwt
import pytest

from gateway.auth import password
from tests.audit.support import requests
from tests.auth.schemes_support import Asked, HttpService, Reply, http_service, json_reply
from tests.support import GatewayProcess, eventually, exchange, free_port, running_gateway

RIGHT_KEY, WRONG_KEY = "gw_RIGHTKEYrightkey0123456789", "gw_WRONGKEYwrongkey0123456789"
RIGHT_PASSWORD, WRONG_PASSWORD = "RIGHTPASSWORDrightpassword", "WRONGPASSWORDwrongpassword"
OPAQUE, SESSION, STRAY = "OPAQUETOKENopaquetoken", "SESSIONCOOKIEsessioncookie", "STRAYSECRETstraysecret"
SIGNING, AUDIT_KEY = "SIGNINGSECRETsigningsecret0123456789", "AUDITKEYauditkey0123456789"
REDIS_PASSWORD, CLIENT_SECRET = "REDISPASSWORDredispassword", "CLIENTSECRETclientsecret"
TOKEN = jwt.encode({"iss": "me", "aud": "us", "sub": "ann", "exp": time.time() + 3600}, SIGNING, "HS256")
FORGED = jwt.encode({"iss": "me", "aud": "us", "sub": "eve", "exp": time.time() + 3600}, SIGNING + "x", "HS256")


def _basic(secret: str) -> str:
    return b64encode(f"ann:{secret}".encode()).decode()


SECRETS = [RIGHT_KEY, WRONG_KEY, RIGHT_PASSWORD, WRONG_PASSWORD, OPAQUE, SESSION, STRAY, SIGNING, AUDIT_KEY]
SECRETS += [REDIS_PASSWORD, CLIENT_SECRET, TOKEN, FORGED, TOKEN.split(".")[2], FORGED.split(".")[2]]
SECRETS += [_basic(RIGHT_PASSWORD), _basic(WRONG_PASSWORD)]

ROUTES = """
- {{id: app, path: /app/*, target: "asgi:tests.audit.apps:one", auth: [keys]}}
- {{id: keys, path: /keys/*, target: "127.0.0.1:{backend}", auth: [keys]}}
- {{id: rest, path: /rest/*, target: "127.0.0.1:{backend}", auth: [login, basic]}}
- {{id: opaque, path: /opaque/*, target: "127.0.0.1:{backend}", auth: [opaque]}}
- {{id: ask, path: /ask/*, target: "127.0.0.1:{backend}", auth: [ask]}}
- {{id: down, path: /down/*, target: "127.0.0.1:{closed_port}", auth: [keys]}}
- {{id: moved, path: /moved/*, redirect: /keys/$1}}
"""
MIDDLEWARE = """
redis: {{url: "redis://:{password}@127.0.0.1:{closed_port}/0"}}
rate_limits: {{all: {{key: ["header:Authorization", consumer], limits: [1000/s], store: redis}}}}
access_log: {{output: {directory}/access.log}}
audit_log: {{file: {directory}/audit.jsonl, key: {key}}}
blocklist: {{automatic: {{failures: 100}}}}
"""


async def _service(asked: Asked) -> Reply:
    """Introspection on POST, forward_auth on GET."""
    if asked.method == "POST":
        return json_reply({"active": True, "sub": "ann"})
    return (200 if asked.header("cookie") else 401), {"set-cookie": f"sid={SESSION}"}, b""


async def _backend(asked: Asked) -> Reply:
    return 200, {"set-cookie": f"sid={SESSION}"}, b"fine"


def _auth(service: HttpService) -> str:
    return json.dumps(
        {
            "schemes": {
                "keys": {"api_key": {"header": "X-API-Key", "query": "api_key", "cookie": "key"}},
                "login": {
                    "jwt": {
                        "issuers": [{"issuer": "me", "audiences": ["us"], "algorithms": ["HS256"], "secret": SIGNING}]
                    }
                },
                "basic": {"basic": {}},
                "opaque": {
                    "introspection": {"url": service.url, "client_id": "gateway", "client_secret": CLIENT_SECRET}
                },
                "ask": {"forward_auth": {"url": service.url}},
            },
            "consumers": [
                {
                    "name": "acme",
                    "keys": ["sha256:" + hashlib.sha256(RIGHT_KEY.encode()).hexdigest()],
                    "basic": {"username": "ann", "password": str(password.make(RIGHT_PASSWORD))},
                }
            ],
        }
    )


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    async with http_service(_service) as service, http_service(_backend) as backend:
        routes = ROUTES.format(backend=backend.port, closed_port=free_port())
        middleware = MIDDLEWARE.format(
            directory=tmp_path, password=REDIS_PASSWORD, closed_port=free_port(), key=AUDIT_KEY
        )
        running = running_gateway(tmp_path, routes, middleware, _auth(service))
        process = await asyncio.to_thread(running.__enter__)
        try:
            yield process
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


def _raw(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "Host: h", "Connection: close", *headers, "", ""]).encode()


REQUESTS = [
    *(
        _raw(f"GET /{route}/x{query} HTTP/1.1", *headers)
        for route in ("app", "keys", "down", "moved", "nowhere")
        for key in (RIGHT_KEY, WRONG_KEY)
        for query, headers in (
            ("", (f"X-API-Key: {key}",)),
            (f"?api_key={key}", ()),
            (f"?api%5fkey={key}&api_key={key}", ()),
            ("", (f"Cookie: key={key}; sid={SESSION}",)),
            (f"?api_key={key}", (f"X-API-Key: {key}", f"Cookie: key={key}")),
        )
    ),
    *(
        _raw("GET /rest/x HTTP/1.1", f"Authorization: {value}", f"Cookie: sid={SESSION}")
        for value in (
            f"Bearer {TOKEN}",
            f"Bearer {FORGED}",
            f"Bearer {OPAQUE}",
            f"Basic {_basic(RIGHT_PASSWORD)}",
            f"Basic {_basic(WRONG_PASSWORD)}",
            f"Basic {STRAY}",
            f"Unknown {STRAY}",
            STRAY,
        )
    ),
    _raw("GET /rest/x HTTP/1.1", f"Authorization: Bearer {TOKEN}", f"Authorization: Bearer {FORGED}"),
    _raw("GET /opaque/x HTTP/1.1", f"Authorization: Bearer {OPAQUE}"),
    _raw("GET /ask/x HTTP/1.1", f"Cookie: sid={SESSION}", f"Authorization: Bearer {OPAQUE}"),
    _raw("GET /ask/x HTTP/1.1", f"Authorization: Bearer {OPAQUE}"),
    # What is malformed, in ways that errors might quote.
    _raw(f"GET /keys/x?api_key={STRAY} HTTP/9.9"),
    _raw(f"GET http://ann:{STRAY}@h/keys/x HTTP/1.1"),
    _raw("GET /keys/x HTTP/1.1", f"X-API-Key: {STRAY}\x00"),
    _raw("GET /keys/x HTTP/1.1", f"X-API-Key : {STRAY}"),
    _raw("GET /keys/x HTTP/1.1", f"Host: ann:{STRAY}@h"),
    f"GET /keys/x HTTP/1.1\r\nHost: ann:{STRAY}@h\r\nConnection: close\r\n\r\n".encode(),
    _raw("POST /keys/x HTTP/1.1", f"X-API-Key: {STRAY}", f"Content-Length: {STRAY}"),
    _raw("POST /keys/x HTTP/1.1", f"X-API-Key: {STRAY}", f"Transfer-Encoding: {STRAY}"),
    _raw("GET /keys/x HTTP/1.1", f"X-Request-ID: {STRAY} {STRAY}", "X-API-Key: " + STRAY * 3000),
    _raw("GET /keys/x HTTP/1.1", f"X-Forwarded-For: {STRAY}", f"Forwarded: for={STRAY}"),
    *(
        _raw(
            f"GET /{route}/x?api_key={RIGHT_KEY} HTTP/1.1",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            f"Sec-WebSocket-Protocol: {STRAY}",
            f"Authorization: Bearer {OPAQUE}",
        ).replace(b"Connection: close", b"Connection: Upgrade")
        for route in ("keys", "app")
    ),
]


async def test_no_secret_is_in_any_log(gateway: GatewayProcess) -> None:
    """Tokens, keys, cookies and passwords, right and wrong, in every place where they can be: only fingerprints."""
    for request in REQUESTS:
        await exchange(gateway.port, request)
    audit, access = gateway.directory.parent / "audit.jsonl", gateway.directory.parent / "access.log"
    await exchange(gateway.port, _raw("GET /end HTTP/1.1"))
    await eventually(lambda: any(record["path"] == "/end" for record in requests(audit)), message=gateway.log)
    await eventually(lambda: '"/end"' in access.read_text())
    config = await asyncio.to_thread(httpx2.get, f"http://127.0.0.1:{gateway.admin_port}/config")
    await asyncio.to_thread(gateway.stop)
    logs = {
        "audit": audit.read_text(),
        "access": access.read_text(),
        "stderr": gateway.log,
        "stdout": gateway.access_log,
        "config": config.text,
    }
    assert "debug is on" in logs["stderr"]
    found = [f"{name}: {line}" for name, text in logs.items() for line in text.splitlines() if _has_secret(line)]
    assert found == []
    known = [record for record in requests(audit) if record["consumer"] == "acme"]
    assert {record["credential"] for record in known} >= {"user:ann"}
    assert len(requests(audit)) >= len(REQUESTS) - 10  # all but those that were no request


def _has_secret(line: str) -> bool:
    return any(secret in line for secret in SECRETS)
