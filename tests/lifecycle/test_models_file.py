"""models.yaml comes, changes, goes and comes back like every other file, without a restart."""

from pathlib import Path

import httpx2

from tests.auth.support import key_hash
from tests.lifecycle.support import admin_url, get, health
from tests.support import GatewayProcess, running_gateway, until

ROUTES = "routes: [{path: /a, target: 'asgi:tests.lifecycle.apps:one'}]\n"
KEY = "gw_a-key-that-is-long-enough-to-be-one"
AUTH = f"schemes: {{keys: {{api_key: }}}}\nconsumers: [{{name: app, keys: ['{key_hash(KEY)}']}}]\n"
MODELS = "providers: {%s: {protocol: openai, base_url: 'http://127.0.0.1:9', keys: [sk-paid-for], models: [%s]}}\n"


def _models(gateway: GatewayProcess) -> list[str]:
    answer = httpx2.get(f"{gateway.url}/v1/models", headers={"authorization": f"Bearer {KEY}"}, timeout=60)
    return [model["id"] for model in answer.json()["data"]] if answer.status_code == 200 else [str(answer.status_code)]


def test_models_come_and_go_with_their_file(tmp_path: Path) -> None:
    """A bad one is refused, the last good one serves on; a rollback brings a former one back; no key is shown."""
    with running_gateway(tmp_path, ROUTES) as gateway:
        file, auth = gateway.directory / "models.yaml", gateway.directory / "auth.yaml"
        auth.write_text(AUTH)
        assert _models(gateway) == ["404"]
        file.write_text(MODELS % ("one", "small"))
        until(lambda: "auth.yaml has no default" in str(health(gateway)))
        assert _models(gateway) == ["404"]
        auth.write_text(AUTH + "default: keys\n")
        until(lambda: _models(gateway) == ["small"])
        assert get(gateway, "/v1/models").status_code == 401
        first = health(gateway)["digest"]
        file.write_text(MODELS % ("two", "large"))
        until(lambda: _models(gateway) == ["large"])

        def ask(path: str, method: str = "GET") -> httpx2.Response:
            return httpx2.request(method, admin_url(gateway, path), headers=gateway.admin_token, timeout=20)

        shown = ask("/config").text + ask(f"/config/diff?from={first}").text
        assert "large" in shown
        assert "sk-paid" not in shown
        assert ask(f"/config/rollback?to={first}", "POST").status_code == 200
        assert _models(gateway) == ["small"]
        file.unlink()
        until(lambda: _models(gateway) == ["404"])
        assert "sk-paid" not in gateway.log + gateway.access_log
