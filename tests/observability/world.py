"""A gateway with something of everything that is measured: for queries, none of which shall find nothing."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2

from tests.auth.support import claims, jwk, key_hash, mint, private_key
from tests.redis_server import running_redis
from tests.support import GatewayProcess, free_port, running_gateway

ISSUER = "https://issuer.example"
ROUTES = """
services:
  shop:
    endpoints: ['127.0.0.1:{backend}', '127.0.0.1:{dead}']
    health: {{path: /health, interval: 1s, timeout: 500ms}}
  found: {{discovery: {{file: found.yaml}}}}
  sealed: {{endpoints: ['127.0.0.1:{sealed}'], protocol: https, tls: {{ca: certificate.pem}}}}
routes:
- {{id: here, path: /here, respond: {{status: 200, body: x}}}}
- {{id: shop, path: /shop/*, target: shop, retry: {{attempts: 2, on: [connect, 503]}}, breaker: {{}}}}
- {{id: stored, path: /stored/*, target: found, cache: {{}}, auth: []}}
- {{id: sealed, path: /sealed, target: sealed}}
"""
MIDDLEWARE = """
trace: {{sample: 100%}}
redis: {{url: '{redis}'}}
audit_log: {{file: audit.jsonl}}
cache: {{}}
rate_limits: {{few: {{limits: [5/s]}}}}
quotas: {{monthly: {{limit: 1000000, window: month}}}}
ip_allow: {{tried: {{networks: [10.0.0.0/8], mode: shadow}}}}
alerts:
  rules: {{errors: {{when: "error_rate > 5%", over: 10s}}}}
  send: {{hook: {{webhook: 'http://127.0.0.1:{dead}/'}}}}
"""
AUTH = f"""
default: [keys, login]
schemes:
  keys: {{api_key: {{header: X-API-Key}}}}
  login: {{jwt: {{issuers: [{{issuer: {ISSUER}, audiences: [orders], algorithms: [RS256], jwks_url: 'JWKS'}}]}}}}
consumers:
- {{name: app, tenant: acme, keys: [{{hash: "{key_hash("app-key-0123456789abcdef")}", expires: 2099-01-01T00:00:00Z}}]}}
"""
MODELS = """
providers:
  ill: {{protocol: openai, base_url: 'http://127.0.0.1:{backend}/ill/v1', models: [small, broken]}}
  well: {{protocol: openai, base_url: 'http://127.0.0.1:{backend}/v1', models: [small]}}
modelRouting: {{default: all, profiles: {{all: {{preferProviders: [ill, well]}}}}}}
budgets: {{all: {{key: [tenant], store: memory, limits: [{{tokens: 1000000, window: day}}]}}}}
"""
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)
CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=x -addext subjectAltName=IP:127.0.0.1 "
    "-keyout key.pem -out certificate.pem"
)


class Backend(BaseHTTPRequestHandler):
    """Answers all, /shop/ill with 503. Its answers may be stored. /jwks has an issuer's keys."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        body = b"x" * 1000
        if self.path == "/jwks":
            body = json.dumps({"keys": [jwk(private_key("RS256"), kid="one")]}).encode()
        self.send_response(503 if self.path == "/shop/ill" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=60")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Stream what a model says, without its usage; /ill fails."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if self.path.startswith("/ill") else 200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(STREAM)))
        self.end_headers()
        self.wfile.write(STREAM)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def backend(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """One that runs; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def world(directory: Path) -> Iterator[GatewayProcess]:
    """All of it, on loopback; one endpoint is dead, one alert cannot be sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    config = directory / "config"
    config.mkdir()
    subprocess.run(CERTIFICATE.split(), cwd=config, check=True, capture_output=True)
    context.load_cert_chain(config / "certificate.pem", config / "key.pem")
    with running_redis(directory) as redis, backend() as port, backend(context) as sealed:
        (config / "found.yaml").write_text(f"['127.0.0.1:{port}']\n")
        (config / "models.yaml").write_text(MODELS.format(backend=port))
        dead = free_port()
        with running_gateway(
            directory,
            ROUTES.format(backend=port, dead=dead, sealed=sealed),
            MIDDLEWARE.format(redis=redis.url, dead=dead),
            AUTH.replace("JWKS", f"http://127.0.0.1:{port}/jwks"),
        ) as gateway:
            yield gateway


def ask(gateway: GatewayProcess) -> None:
    """Something of everything."""
    key = {"x-api-key": "app-key-0123456789abcdef"}
    token = {"authorization": "Bearer " + mint(payload=claims(iss=ISSUER))}
    for path, headers in (
        ("/here", key),
        ("/shop/well", key),
        ("/shop/ill", key),
        ("/stored/a", {}),
        ("/sealed", token),
        ("/nowhere", {}),
    ):
        httpx2.get(gateway.url + path, headers=headers)
    for model in ("small", "broken"):
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        httpx2.post(f"{gateway.url}/v1/chat/completions", json=body, headers=key, timeout=20)
