"""Configurations that people have published: requests go where the original would have sent them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.importing.support import DATA, try_import

# What is asked, and where the documentation of the original gateway has it go.
EXPECTED: dict[str, list[tuple[str, str]]] = {
    "zero-trust.kong.yml": [
        ("GET /bio-mfa/start", "localhost:3002/start"),
        ("GET /vault", "localhost:3001/"),
        ("GET /other", "404"),
    ],
    "ecommerce.nginx.conf": [
        ("POST /api/auth/login", "auth-service:3001/login"),
        ("GET /api/products/7", "product-service:3002/7"),
        ("GET /api/payments/", "order-service:3004/"),
        ("GET /api/payments", "redirect 301/api/payments/"),
        ("GET /api/other", "respond 200"),
    ],
    "telco.kong.yml": [
        ("GET /api/v1/asr/x", "telco-asr-service:8001/api/v1/asr/x"),
        ("DELETE /api/v1/asr/stream", "telco-asr-service:8001/api/v1/asr/stream"),
        ("DELETE /api/v1/asr/x", "405"),
        ("POST /api/v1/intelligence", "telco-intelligence-service:8002/api/v1/intelligence"),
        ("GET /api/v1/orchestrator/up", "telco-call-orchestrator:8080/api/v1/orchestrator/up"),
    ],
    "georoute.nginx.conf": [
        ("GET /", "georoute-ui:8080/"),
        ("GET /api/x", "georoute-backend:9001/api/x"),
        ("GET /api", "redirect 301/api/"),
        ("GET /api/healthy", "georoute-backend:9001/api/healthy"),
        ("GET /apix", "georoute-ui:8080/apix"),
    ],
    "food.traefik.toml": [
        ("GET /api/food/7", "host.docker.internal:8082/7"),
        ("GET /api/order", "host.docker.internal:8083,host.docker.internal:8084/"),
        ("GET /api", "404"),
    ],
    "opa.traefik.yml": [("GET /api/x", "api:80/api/x"), ("GET /apix", "api:80/apix"), ("GET /x", "web:80/x")],
    "netrunner.krakend.json": [
        ("GET /", "nrdb_api_server:3000/api/docs"),
        ("PATCH /api/v3/private/decks/7", "nrdb_api_server:3000/api/v3/private/decks/7"),
        ("GET /api/v3/public/card_cycles/1/cards", "nrdb_api_server:3000/api/v3/public/card_cycles/1/cards"),
        ("GET /assets/apitome/a/b", "404"),
    ],
    "supabase.kong.yml": [
        ("GET /auth/v1/verify?token=1", "auth:9999/verify"),
        ("GET /auth/v1/verify/x", "auth:9999/verify/x"),
        ("GET /auth/v1/verifyx", "auth:9999/verify/x"),
        ("POST /auth/v1/token", "auth:9999/token"),
        ("GET /auth/v1/", "auth:9999/"),
        ("GET /auth/v1", "studio:3000/auth/v1"),
        ("POST /graphql/v1", "rest:3000/rpc/graphql"),
        ("GET /realtime/v1/websocket", "realtime:4000/socket/websocket"),
        ("GET /realtime/v1/api/tenants", "realtime:4000/api/tenants"),
        ("GET /project/default", "studio:3000/project/default"),
    ],
    "maestro.nginx.conf": [
        ("GET /", "frontend:3000/"),
        ("GET /assets/a.js", "frontend:3000/assets/a.js"),
        ("GET /api/chats/7", "backend:8000/api/chats/7"),
        ("GET /api", "redirect 301/api/"),
        ("GET /ws", "backend:8000/ws"),
        ("GET /wsx", "backend:8000/wsx"),
        ("GET /api/ws", "backend:8000/api/ws"),
        ("GET /health/live/x", "backend:8000/health/live/x"),
    ],
    "webzjs.traefik.yml": [
        ("POST /mainnet/cash.z.wallet.sdk.rpc.CompactTxStreamer/GetLightdInfo",
         "zec.rocks:443/cash.z.wallet.sdk.rpc.CompactTxStreamer/GetLightdInfo"),
        ("GET /testnet", "testnet.zec.rocks:443/"),
        ("GET /testnetx/y", "testnet.zec.rocks:443/x/y"),
        ("GET /other", "404"),
    ],
    "keycloak.krakend.json": [
        ("POST /login", "keycloak:8080/realms/demo-realm/protocol/openid-connect/token"),
        ("GET /login", "405"),
        ("GET /profile", "app:3000/profile"),
        ("GET /user", "app:3000/user/payroll/view"),
        ("GET /user/", "404"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_requests_go_where_the_original_sent_them(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written passes `check`, and each request goes to the same backend with the same path."""
    tried = try_import(DATA / name, tmp_path, monkeypatch)
    asked = [request.split(" ", 1) for request, _ in EXPECTED[name]]
    assert [tried.goes(method, url) for method, url in asked] == [expected for _, expected in EXPECTED[name]]


def test_keys_of_placeholders_stay_with_their_consumers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key that is a placeholder is a variable of its own, and nothing of the file is left untranslated."""
    tried = try_import(DATA / "supabase.kong.yml", tmp_path, monkeypatch)
    assert tried.imported.report.count("unsaid") == 0
    for name in ("SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY"):
        assert "allowed" in tried.explain("GET", "/auth/v1/x", apikey=os.environ[name])["verdict"]


def test_a_consumer_who_is_turned_away_stays_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anonymous callers, whom the original answers 403 by a plugin for their consumer, are refused; others are not."""
    tried = try_import(DATA / "zero-trust.kong.yml", tmp_path, monkeypatch)
    assert "refused by authorize" in tried.explain("GET", "/vault")["verdict"]
    assert "allowed" in tried.explain("GET", "/vault", apikey="admin_key")["verdict"]


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.iterdir() if path.is_file()))
def test_every_line_of_the_original_is_in_the_report(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line that says something is missing in the report, whatever became of it."""
    tried = try_import(DATA / name, tmp_path, monkeypatch)
    lines = (DATA / name).read_text().splitlines()
    saying = {number for number, line in enumerate(lines, 1) if _says_something(line)}
    places = [finding.place for finding in tried.imported.report.findings]
    named = {line for place in places for line in range(place.line, max(place.line, place.last) + 1)}
    assert saying - named == set()


def _says_something(line: str) -> bool:
    """Whether it has a value, and not only a key under which values stand, or punctuation."""
    line = line.partition("#")[0].strip()
    if line.startswith(("[", "'")):  # a table of TOML, or what goes on from the line before
        return False
    return bool(re.search(r"[\w/]", line)) and not re.fullmatch(
        r"""-?\s*"?[\w./-]+"?\s*:\s*[\[{]?|[\w./~^* -]+\{""", line
    )
