"""After all kinds of answers and failures no key and no prompt stands in anything that the gateway writes or shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.clients.world import KEY, World, world

PROMPT, ANSWER = "zanzibar-prompt-text", "You said"
SECRETS = ("key-of-openai", "key-of-anthropic", "key-of-gemini", KEY, "wrong-key-of-nobody", PROMPT, ANSWER)
MODELS = """
providers:
  one: {protocol: openai, base_url: "http://<openai>/v1", keys: [key-of-openai], models: ["small*"]}
  two: {protocol: anthropic, base_url: "http://<anthropic>", keys: [key-of-anthropic], models: ["small*"]}
  three: {protocol: gemini, base_url: "http://<gemini>", keys: [key-of-gemini], models: ["small*"]}
aliases: {translated: {one: small}}
budgets: {per-consumer: {key: [consumer], limits: [{tokens: 300000, window: day}]}}
"""
FAULTS = ("", "+fail-400", "+fail-429-after-60", "+cut-after", "+cut-before", "+fail-401")
PAGES = (
    *("/metrics", "/requests", "/models/usage", "/config", "/services", "/endpoints", "/limits", "/breakers"),
    *("/monitor", "/map", "/health", "/routes", "/quotas", "/budgets", "/alerts", "/config/history"),
)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[World]:
    middleware = "trace: {sample: 100%}\naudit_log: {file: audit.log}\n"
    with world(tmp_path, MODELS, "openai", "anthropic", "gemini", middleware=middleware) as made:
        yield made


def ask(client: httpx2.Client, model: str, headers: dict[str, str], query: str = "") -> Iterator[str]:
    """The same question in all protocols, whole and streamed: what came that is no answer."""
    said = [{"role": "user", "content": PROMPT}]
    contents = {"contents": [{"parts": [{"text": PROMPT}]}]}
    for stream in (False, True):
        method = "streamGenerateContent" if stream else "generateContent"
        for path, body in (
            ("/v1/chat/completions", {"messages": said}),
            ("/v1/responses", {"input": PROMPT}),
            ("/v1/messages", {"messages": said, "max_tokens": 20}),
            (f"/v1beta/models/{model}:{method}", contents),
        ):
            try:
                answer = client.post(f"{path}{query}", json={"model": model, "stream": stream, **body}, headers=headers)
            except httpx2.TransportError:
                assert "cut-after" in path, path  # an array of JSON that is cut has no other way to say so
                continue
            yield str(answer.headers) + ("" if answer.status_code == 200 else answer.text)


def test_keeps_keys_and_prompts_to_itself(gateway: World, tmp_path: Path) -> None:
    """Logs, audit, metrics, traces, the admin API, refusals and the state on disk have none of them."""
    shown: list[str] = []
    places = [{"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"x-goog-api-key": KEY}]
    with httpx2.Client(base_url=gateway.url, trust_env=False, timeout=20) as client:
        for number, fault in enumerate(FAULTS):
            shown += ask(client, f"small{fault}", places[number % 3])
        shown += ask(client, "translated", places[0])
        shown += ask(client, "small", {}, f"?key={KEY}")
        shown += ask(client, "small", {}, "?key=wrong-key-of-nobody")
        shown += ask(client, "small", {"x-api-key": "wrong-key-of-nobody"})
        for body in (b'{"model": "small", "messages": "zanzibar-prompt-text', b"zanzibar-prompt-text"):
            shown.append(client.post("/v1/messages", content=body, headers=places[1]).text)
    port, token = gateway.gateway.admin_port, gateway.gateway.admin_token
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, headers=token) as admin:
        for page in PAGES:
            answer = admin.get(page)
            shown.append(answer.text)
        listed = admin.get("/requests", params={"n": 200}).text
        shown.append(listed)
    gateway.gateway.stop()
    assert "chat/completions" in gateway.gateway.access_log
    shown += [gateway.gateway.log, gateway.gateway.access_log]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "models.yaml"]
    shown += [path.read_bytes().decode("latin-1") for path in files]
    for secret in SECRETS:
        found = [text[max(0, text.find(secret) - 200) : text.find(secret) + 100] for text in shown if secret in text]
        assert not found, (secret, found[0])
