"""What `gateway explain` says of requests to models is what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.explain import explain
from gateway.monitor.model_summary import summary
from tests.cli.support import gateway as cli
from tests.llm.support import HANDSHAKE, Gateway, chat, two_providers

MODELS = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [key-of-one], models: [small, "big-*"]}
  two: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [key-of-two], models: [small]}
  claude: {protocol: anthropic, base_url: http://127.0.0.1:9, models: ["claude-*"]}
modelRouting:
  default: fast
  profiles:
    fast: {preferProviders: [one, two], maxContextTokens: 1000, overflow: heavy}
    heavy: {preferProviders: [two, one]}
    paid: {providers: [one], allow: {tenants: [acme]}}
  rules:
    - {when: {header: {name: X-Route-Profile, equals: heavy}}, use: heavy}
    - {when: {tools: true}, use: paid}
    - {when: {estimatedTokens: {gt: 100000}}, use: heavy}
aliases: {quick: {two: small}}
"""
KEY = "gw_a-key-that-is-long-enough-to-be-one"
AUTH = f"""
schemes: {{keys: {{api_key: {{}}}}}}
consumers:
- {{name: app, tenant: acme, keys: [{{hash: "sha256:{sha256(KEY.encode()).hexdigest()}"}}]}}
default: keys
"""
ROUTES = """
routes:
- {id: models, path: /*, target: models, auth: []}
- {id: named, path: /named/*, target: models, strip_prefix: /named}
"""
TOOLS = [{"type": "function", "function": {"name": "look"}}]
LONG = [{"role": "user", "content": "word " * 2000}]
BEARER = ("authorization", f"Bearer {KEY}")


async def explained(
    gateway: Gateway, path: str, body: Mapping[str, Any] | None, headers: list[tuple[str, str]]
) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    return await explain(gateway.snapshot, "POST", path, headers, body=data)


@pytest.mark.parametrize(
    ("body", "headers", "profile", "rule"),
    [
        (chat(), [], "fast", None),
        (chat(stream=True), [("x-route-profile", "heavy")], "heavy", 0),
        (chat(tools=TOOLS), [], "fast", None),  # the rule's profile is for another tenant
        (chat("quick"), [], "fast", None),
        (chat("big-9"), [("x-route-profile", "heavy")], "heavy", 0),
        (chat(messages=LONG), [], "heavy", None),
    ],
)
async def test_the_decision_is_that_of_serving(
    body: dict[str, Any], headers: list[tuple[str, str]], profile: str, rule: int | None
) -> None:
    """Rule, profile, candidates in their order, and who is left out and why, are those of serving it."""
    async with two_providers(MODELS, routes=ROUTES, auth=AUTH) as (gateway, one, two):
        said = await explained(gateway, "/v1/chat/completions", body, headers)
        assert not one.received
        assert not two.received
        noted = (await gateway.ask("/v1/chat/completions", body, headers=headers)).noted
    assert said["outcome"] == "forwarded"
    assert (noted.profile, noted.rule) == (profile, rule)
    assert (said["profile"], said["model_rule"].partition(" ")[0]) == (profile, "none" if rule is None else str(rule))
    assert said["candidates"] == list(noted.candidates)
    assert said["left_out"] == [f"{left.provider}: {left.reason}" for left in noted.left_out]
    assert said["estimated_tokens"] > 0


async def test_who_calls_decides() -> None:
    """A rule whose profile is for one tenant holds for its consumers."""
    async with two_providers(MODELS, routes=ROUTES, auth=AUTH) as (gateway, _, _):
        said = await explained(gateway, "/named/v1/chat/completions", chat(tools=TOOLS), [BEARER])
        noted = (await gateway.ask("/v1/chat/completions", chat(tools=TOOLS), headers=[BEARER])).noted
    assert (said["profile"], said["model_rule"]) == ("paid", '1 ({"tools":true})')
    assert noted.profile == "fast"  # no caller is authenticated there


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        (chat("no-such-model"), 404, "is not offered here"),
        ({"messages": []}, 400, "`model` is missing"),
        (chat("small", max_tokens="many"), 400, "max_tokens"),
    ],
)
async def test_refusals_are_those_of_serving(body: dict[str, Any], status: int, part: str) -> None:
    """What would be refused is explained with the same status and sentence."""
    async with two_providers(MODELS, routes=ROUTES, auth=AUTH) as (gateway, _, _):
        said = await explained(gateway, "/v1/chat/completions", body, [])
        answered = await gateway.ask("/v1/chat/completions", body)
    assert (answered.status, said["outcome"]) == (status, "refused")
    assert said["verdict"].startswith(f"refused: {status}: ")
    assert said.get("model") != ""
    assert part in said["verdict"]
    assert part in answered.json["error"]["message"]


async def test_what_is_left_alone_now_is_said() -> None:
    """By the running gateway: a provider that asked for less is named, with the reason and for how long."""
    async with two_providers(MODELS, routes=ROUTES, auth=AUTH) as (gateway, one, _):
        before = await explained(gateway, "/v1/chat/completions", chat(), [])
        one.fault = "fail-429-after-30"
        assert (await gateway.ask("/v1/chat/completions", chat())).status == 200
        after = await explained(gateway, "/v1/chat/completions", chat(), [])
    assert before["now"] == []
    (line,) = after["now"]
    assert line.startswith("one/small: left alone for ")
    assert line.endswith(": rate_limited")


async def test_budgets_say_what_they_would_say() -> None:
    """What a budget would refuse is explained as refused, by its name; nothing is reserved for it."""
    limits = "output_reserve: requested, limits: [{tokens: 2000, window: month}]"
    budgets = f"budgets: {{all: {{key: [route], store: memory, {limits}}}}}\n"
    async with two_providers(MODELS + budgets, routes=ROUTES, auth=AUTH) as (gateway, _, _):
        fits = await explained(gateway, "/v1/chat/completions", chat(max_tokens=100), [])
        large = chat(max_tokens=100_000)
        refused = await explained(gateway, "/v1/chat/completions", large, [("x-route-profile", "heavy")])
        answered = await gateway.ask("/v1/chat/completions", large, headers=[("x-route-profile", "heavy")])
        assert gateway.snapshot.money is not None
        assert gateway.snapshot.money.budgets.tally.open == 0
    assert (fits["outcome"], len(fits["budgets"])) == ("forwarded", 1)
    assert fits["budgets"][0].startswith("allow budget:all: ")
    assert (refused["outcome"], answered.status) == ("refused", 429)
    assert refused["verdict"].startswith("refused by budget:all: ")
    assert refused["profile"] == "heavy"


@pytest.mark.parametrize(
    ("query", "more", "status", "part"),
    [
        ("model=quick", "", 101, ""),
        ("model=secret", "", 404, "not offered"),
        ("model=quick&models=small", "", 400, "one model"),
        ("", "", 400, "missing"),
        ("model=quick", "budgets: {all: {key: [route], limits: [{usd: 1, window: day}]}}\n", 403, "price"),
    ],
)
async def test_what_becomes_of_a_websocket_is_explained(query: str, more: str, status: int, part: str) -> None:
    """It is asked for by `Upgrade`; the rest of the handshake, which clients add, need not be given."""
    path = f"/v1/realtime?{query}"
    async with two_providers(MODELS + more, routes=ROUTES, auth=AUTH) as (gateway, _, _):
        lines = [("Upgrade", "WebSocket"), ("Connection", "upgrade")]
        said = await explain(gateway.snapshot, "GET", f"ws://127.0.0.1{path}", lines)
        without = await explain(gateway.snapshot, "GET", path, [])
        exchange, response = await gateway.open(path, headers=HANDSHAKE, websocket=True)
        exchange.close()
    assert without["verdict"].startswith("refused: 404: there is no API of models at GET /v1/realtime")
    assert (response.session is not None) == (status == 101) == (said["outcome"] == "forwarded")
    assert status in (101, response.status)
    assert said["verdict"].startswith("allowed" if status == 101 else f"refused: {status}: ")
    assert part in said["verdict"]
    if status == 101:
        assert (said["model"], said["candidates"]) == ("quick", ["two/small"])


async def test_without_a_body_nothing_is_decided() -> None:
    """The body names the model: where none is given, that is said; lists of models are the gateway's own."""
    async with two_providers(MODELS, routes=ROUTES, auth=AUTH) as (gateway, _, _):
        said = await explained(gateway, "/v1/chat/completions", None, [])
        listed = await explain(gateway.snapshot, "GET", "/v1/models", [])
    assert (said["outcome"], "--body" in said["verdict"]) == ("undecided", True)
    assert listed["outcome"] == "answered"


def test_a_body_in_a_file_is_explained_without_a_gateway(tmp_path: Path) -> None:
    """`--body` takes the name of a file, too; nothing runs, and no key is shown."""
    files = {"models.yaml": MODELS % (1, 2), "routes.yaml": ROUTES, "auth.yaml": AUTH}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    request = tmp_path / "request.json"
    request.write_text(json.dumps(chat()))
    arguments = ("explain", "--config", str(tmp_path), "POST", "/v1/chat/completions", "-H", "X-Route-Profile: heavy")
    for body in (str(request), f"@{request}", request.read_text()):
        done = cli(*arguments, "--body", body)
        assert done.returncode == 0, done.stderr
        assert "profile: heavy" in done.stdout
        assert "model_rule: 0 (" in done.stdout
        assert "key-of" not in done.stdout


async def test_the_guardrails_that_would_look_are_named(tmp_path: Path) -> None:
    """With what each of them checks of this request and of its answer."""
    guards = "guardrails: {cards: {policy: 'guards.py:Cards', on: [input, stream]}, words: {policy: 'guards.py:Cards', "
    models = MODELS.replace("fast: {prefer", "fast: {guardrails: [cards, words], prefer", 1)
    assert models != MODELS
    models += guards + "on: output, mode: shadow}}\n"
    policy = "class Cards:\n    def on_text(self, text):\n        return None\n"
    files = {"base": tmp_path, "sources": {"guards.py": policy}}
    async with two_providers(models, routes=ROUTES, auth=AUTH, **files) as (gateway, _, _):
        whole = await explained(gateway, "/v1/chat/completions", chat(), [])
        streamed = await explained(gateway, "/v1/chat/completions", chat(stream=True), [])
    assert whole["guardrails"] == ["cards checks the request", "words checks the answer, in shadow mode"]
    assert streamed["guardrails"] == ["cards checks the request and the stream"]


TRANSLATING = """
providers:
  claude: {protocol: anthropic, base_url: http://127.0.0.1:%d, keys: [key-one], models: [small], translate: [chat]}
  first: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [key-two], models: [small]}
modelRouting: {default: fast, profiles: {fast: {preferProviders: [claude, first]}}}
"""


async def test_a_provider_that_cannot_be_sent_the_request_is_left_out_with_the_reason() -> None:
    """Another one answers, and both the record and the explanation name the member that has no translation."""
    async with two_providers(TRANSLATING, routes=ROUTES, auth=AUTH) as (gateway, claude, _):
        said = await explained(gateway, "/v1/chat/completions", chat(seed=4), [])
        noted = (await gateway.ask("/v1/chat/completions", chat(seed=4))).noted
        plain = await explained(gateway, "/v1/chat/completions", chat(), [])
    assert (noted.backend, list(claude.received)) == ("first/small", [])
    assert summary(noted)["left_out"] == [{"provider": "claude", "reason": "cannot translate seed"}]
    assert said["left_out"] == ["claude: cannot translate seed"]
    assert plain["left_out"] == []


async def test_what_no_provider_can_be_sent_is_explained_as_refused() -> None:
    """Where every provider would need a translation, the explanation has the status and sentence of serving."""
    models = TRANSLATING.replace("models: [small]}", "models: [other]}")
    async with two_providers(models, routes=ROUTES, auth=AUTH) as (gateway, _, _):
        said = await explained(gateway, "/v1/chat/completions", chat(seed=4), [])
        answered = await gateway.ask("/v1/chat/completions", chat(seed=4))
    assert said["verdict"] == f"refused: {answered.status}: {answered.json['error']['message']}"
    assert said["left_out"] == ["first: model", "claude: cannot translate seed"]
