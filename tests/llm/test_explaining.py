"""What `gateway explain` says of requests to models is what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.explain import explain
from tests.cli.support import gateway as cli
from tests.llm.support import Gateway, chat, two_providers

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
    assert noted.profile == "fast"  # nobody is recognised there


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
