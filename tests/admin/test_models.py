"""What models took, in the admin API and on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from gateway.demo_models import DemoModels, serving
from gateway.http import Exchange, Identity
from gateway.http.model_record import ModelRecord
from gateway.http.testing import make_exchange
from gateway.llm.claims import Wanted
from gateway.llm.money import Money
from gateway.llm.usage import Usage
from gateway.reload import Reloader
from tests.cli.support import gateway as cli
from tests.resilience.support import running
from tests.support import running_gateway, until

ROUTES = "routes: [{id: chat, path: /*, target: models, auth: []}]\n"
AUTH = """
schemes: {keys: {api_key: {}}}
consumers: [{name: ann, tenant: acme, keys: [{key: a-key-of-ann-of-acme}]}]
"""
MODELS = """
providers: {local: {protocol: openai, base_url: http://127.0.0.1:9, models: [small]}}
budgets:
  per-tenant: {key: [tenant], store: memory, limits: [{usd: "2.5", window: month}, {tokens: 1000, window: day}]}
  by-model: {key: [consumer, model], store: memory, limits: [{requests: 5, window: 1h}]}
prices: {file: own.yaml}
"""
OWN = "prices: {local/small: {input: 1000, output: 2000, tiers: [{above: 100, input: 3000, output: 4000.5}]}}"


def files(directory: Path) -> None:
    (directory / "auth.yaml").write_text(AUTH)
    (directory / "models.yaml").write_text(MODELS)
    (directory / "own.yaml").write_text(OWN)


async def spend(reloader: Reloader, name: str, tenant: str | None, given: int, written: int) -> None:
    """One request that is over."""
    assert reloader.current is not None
    assert reloader.current.money is not None
    money, exchange = reloader.current.money, called(name, tenant)
    wanted = Wanted((("local", "small"),), "chat", "fast", given, written, seconds=60)
    hold = await money.budgets.reserve(exchange, wanted)
    usage = Usage(given, written)
    hold.commit(usage, cost := money.prices.cost("local", "small", usage))
    money.estimator.learn(given * 4, "small", "chat", input_tokens=given, output_tokens=written)
    record = exchange.model = ModelRecord("openai.chat")
    record.backend, record.cost_micros = "local/small", cost or 0
    record.provider, record.model = "local", "small"
    record.input_tokens, record.output_tokens, record.estimated = given, written, given == 1
    money.over(exchange)


def called(name: str, tenant: str | None) -> Exchange:
    exchange = make_exchange(route="chat")
    exchange.identity = Identity(name, "key", tenant)
    return exchange


async def test_usage_is_shown_by_model_tenant_and_consumer(tmp_path: Path) -> None:
    """Requests, tokens and dollars as sums, the dearest first."""
    files(tmp_path)
    async with running(tmp_path, ROUTES) as gateway:
        for name, given in (("ann", 10), ("ann", 1), ("bob", 100)):
            await spend(gateway.reloader, name, "acme" if name == "ann" else None, given, 10)
        shown = (await gateway.admin.get("/models/usage")).json()
        (row,) = shown["usage"]
        assert (row["model"], row["requests"], row["input_tokens"], row["output_tokens"]) == ("local/small", 3, 111, 30)
        assert (row["cost_usd"], row["estimated"], row["unpriced"]) == ("0.171000", 1, 0)
        by = (await gateway.admin.get("/models/usage", params={"by": ["tenant", "consumer"]})).json()["usage"]
        assert [(each["tenant"], each["consumer"], each["requests"]) for each in by] == [
            ("", "bob", 1),
            ("acme", "ann", 2),
        ]
        only = (await gateway.admin.get("/models/usage", params={"tenant": "acme"})).json()["usage"]
        assert only[0]["requests"] == 2
        assert shown["estimates"][0]["tokens_per_byte"] == 0.25
        assert shown["prices"]["of"] == "2026-11-10"
        refused = await gateway.admin.get("/models/usage", params={"by": "prompt"})
        assert (refused.status_code, "not by prompt" in refused.json()["error"]) == (400, True)


async def test_budgets_are_shown_and_reset(tmp_path: Path) -> None:
    """What is used, held and left of each window, by whom; a consumer begins anew, with its tenant."""
    files(tmp_path)
    async with running(tmp_path, ROUTES) as gateway:
        await spend(gateway.reloader, "ann", "acme", 100, 100)
        current = gateway.reloader.current
        assert current is not None
        assert current.money is not None
        hold = await held(current.money)
        month, day, hour = (await gateway.admin.get("/models/usage")).json()["budgets"]
        assert (month["limit_usd"], month["callers"]) == (
            "2.500000",
            [{"caller": "acme", "used_usd": "0.300000", "held_usd": "0.030000", "left_usd": "2.170000"}],
        )
        assert day["callers"] == [{"caller": "acme", "used_tokens": 200, "held_tokens": 20, "left_tokens": 780}]
        assert hour["callers"] == [
            {"caller": "ann / small", "used_requests": 1, "held_requests": 1, "left_requests": 3}
        ]
        of_ann = (await gateway.admin.get("/models/usage", params={"consumer": "ann"})).json()["budgets"]
        assert [(each["budget"], each["window"]) for each in of_ann] == [("per-tenant", "month"), ("per-tenant", "day")]
        assert of_ann[1]["callers"][0]["used_tokens"] == 200

        reset = await gateway.admin.delete("/models/budgets", params={"tenant": "acmee"})
        assert (reset.status_code, "nothing is counted of the tenant acmee" in reset.text) == (404, True)
        reset = await gateway.admin.delete("/models/budgets", params={"consumer": "nobody"})
        assert (reset.status_code, "auth.yaml has none for nobody" in reset.text) == (404, True)
        reset = (await gateway.admin.delete("/models/budgets", params={"consumer": "ann"})).json()
        assert [each.get("forgiven_tokens") for each in reset["reset"]] == [None, 200]
        hold.release()
        day = (await gateway.admin.get("/models/usage", params={"consumer": "ann"})).json()["budgets"][1]
        assert day["callers"] == [{"caller": "ann", "used_tokens": 0, "held_tokens": 0, "left_tokens": 1000}]
        missing = await gateway.admin.delete("/models/budgets", params={"consumer": "ann", "budget": "nope"})
        assert missing.status_code == 404
        assert (await gateway.admin.delete("/models/budgets")).status_code == 400


async def test_a_reset_without_its_store_says_where_the_reason_is(tmp_path: Path) -> None:
    """Nothing is reset while the store does not answer, and the 503 says what to ask."""
    files(tmp_path)
    (tmp_path / "models.yaml").write_text(MODELS.replace("[tenant], store: memory", "[tenant], store: redis"))
    async with running(tmp_path, ROUTES, "redis: {url: 'redis://127.0.0.1:1'}\n") as gateway:
        refused = await gateway.admin.delete("/models/budgets", params={"consumer": "ann"})
    assert refused.status_code == 503
    assert "the budget per-tenant does not answer: gateway status says why" in refused.text


async def held(money: Money) -> Any:
    return await money.budgets.reserve(
        called("ann", "acme"), Wanted((("local", "small"),), "chat", "fast", 10, 10, seconds=60)
    )


async def test_who_only_holds_is_shown(tmp_path: Path) -> None:
    """A first request that goes on has used nothing yet, and takes room from the others of its caller."""
    files(tmp_path)
    async with running(tmp_path, ROUTES) as gateway:
        assert gateway.reloader.current is not None
        assert gateway.reloader.current.money is not None
        hold = await held(gateway.reloader.current.money)
        budgets = (await gateway.admin.get("/models/usage")).json()["budgets"]
        (caller,) = budgets[1]["callers"]
        hold.release()
        after = (await gateway.admin.get("/models/usage")).json()["budgets"]
    assert caller == {"caller": "acme", "used_tokens": 0, "held_tokens": 20, "left_tokens": 980}
    assert after[1]["callers"] == []


async def test_providers_are_of_models_yaml(tmp_path: Path) -> None:
    """Where endpoints of a provider come from is the file that names it."""
    files(tmp_path)
    async with running(tmp_path, ROUTES) as gateway:
        shown = (await gateway.admin.get("/services")).json()
    assert {each["source"] for each in shown} == {"models.yaml"}


async def test_counts_outlive_a_reload(tmp_path: Path) -> None:
    """A changed file forgets neither usage, nor what is used and held of budgets."""
    files(tmp_path)
    async with running(tmp_path, ROUTES) as gateway:
        await spend(gateway.reloader, "ann", "acme", 100, 100)
        assert gateway.reloader.current is not None
        assert gateway.reloader.current.money is not None
        hold = await held(gateway.reloader.current.money)
        (tmp_path / "models.yaml").write_text(MODELS.replace("1000", "900"))
        await gateway.reloader.reload()
        shown = (await gateway.admin.get("/models/usage")).json()
        assert shown["usage"][0]["requests"] == 1
        assert shown["reserved"]["requests"] == 1
        assert shown["budgets"][1]["callers"][0] == {
            "caller": "acme",
            "used_tokens": 200,
            "held_tokens": 20,
            "left_tokens": 680,
        }
        hold.commit(Usage(10, 15), 0)
        shown = (await gateway.admin.get("/models/usage")).json()
        assert (shown["reserved"]["tokens"], shown["overshoot"]["tokens"]) == (0, 5)


async def test_the_command_shows_and_resets(tmp_path: Path) -> None:
    """Tables for people, of a gateway that serves; the change is in the audit log with what was asked."""
    routes = "routes: [{id: chat, path: /*, target: models, auth: [keys]}]\n"
    models = """
providers: {local: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [k]}}
prices: {unknown: assume, assume: {input: 1000, output: 2000}}
budgets: {each: {limits: [{tokens: 9000, window: day}, {usd: 100, window: month}]}}
"""
    async with serving(DemoModels()) as port:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "models.yaml").write_text(models % port)
        with running_gateway(tmp_path, routes, "audit_log: {file: audit.jsonl}\n", AUTH) as running:
            body = {"model": "small", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
            key = {"authorization": "Bearer a-key-of-ann-of-acme"}
            async with httpx2.AsyncClient() as client:
                answer = await client.post(f"{running.url}/v1/chat/completions", json=body, headers=key)
            used = answer.json()["usage"]["total_tokens"]

            async def command(*words: str) -> list[str]:
                asked = [*words, "--admin", f"127.0.0.1:{running.admin_port}"]
                token = running.admin_token["authorization"].removeprefix("Bearer ")
                ended = await asyncio.to_thread(cli, "models", *asked, environment={"GATEWAY_ADMIN_TOKEN": token})
                return ended.stdout.splitlines()

            shown = await command("usage", "--by", "consumer", "--by", "model")
            assert shown[0].split()[:3] == ["CONSUMER", "MODEL", "REQUESTS"]
            assert shown[1].split()[:3] == ["ann", "local/small", "1"]
            assert (await command("budgets"))[1].split()[:6] == ["each", "day", "ann", str(used), "0", str(9000 - used)]
            assert (await command("estimates"))[1].split()[0] == "small"
            assert (await command("reset", "ann"))[0] == f"reset: each (day), of which {used} were used"
            assert (await command("budgets", "--consumer", "ann"))[1].split()[3] == "0"
            until(lambda: "/models/budgets?consumer=ann" in (running.directory / "audit.jsonl").read_text())


async def test_the_last_requests_name_the_model_that_was_asked_for(tmp_path: Path) -> None:
    """Beside who answered, whether that was the cache, and also where no provider was asked."""
    models = """
providers: {local: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [k], models: [small]}}
model_routing: {default: fast, profiles: {fast: {cache: {}}}}
aliases: {chatty: {local: small}}
budgets: {all: {key: [route], store: memory, output_reserve: requested, limits: [{tokens: 900, window: day}]}}
"""
    async with serving(DemoModels()) as port:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "models.yaml").write_text(models % port)
        with running_gateway(tmp_path, ROUTES, auth=AUTH) as running:
            body = {"model": "chatty", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
            async with httpx2.AsyncClient() as client:
                for asked in (body, body, body | {"max_tokens": 5000}, body | {"model": "x"}):
                    await client.post(f"{running.url}/v1/chat/completions", json=asked)
            words = ("last", "-n", "4", "--admin", f"127.0.0.1:{running.admin_port}")
            ended = await asyncio.to_thread(cli, *words)
    assert [line for line in ended.stdout.splitlines() if line.startswith(("model: ", "cache: "))] == [
        "model: none is named, or none that this caller may use; no provider was asked; profile fast as no rule fits",
        "model: chatty; no provider was asked; profile fast as no rule fits",
        "cache: hit",
        "model: chatty; answered from the cache, once by local/small; profile fast as no rule fits",
        "cache: miss",
        "model: chatty; sent to local/small; profile fast as no rule fits",
    ]


async def test_without_models_there_is_nothing_to_show(tmp_path: Path) -> None:
    """And it is said so."""
    async with running(tmp_path, "routes: [{id: r, path: /*, redirect: /there}]") as gateway:
        assert (await gateway.admin.get("/models/usage")).status_code == 404


def test_prices_are_shown_without_a_gateway(tmp_path: Path) -> None:
    """Of the models of the file, or of those that are named, in dollars for a million tokens."""
    files(tmp_path)
    (tmp_path / "routes.yaml").write_text(ROUTES)
    lines = [line.split() for line in cli("models", "prices", config=tmp_path).stdout.splitlines()[1:]]
    assert lines == [
        ["local", "small", "0", "1000", "2000", "1000", "1000"],
        ["local", "small", "100", "3000", "4000.5", "3000", "3000"],
    ]
    named = cli("models", "prices", "local/gpt-4o", "local/nope", config=tmp_path).stdout
    assert "2.5" in named
    assert "unknown" in named


async def test_services_name_their_providers(tmp_path: Path) -> None:
    """Also one that has no name but its address; a service that is none has no providers."""
    files(tmp_path)
    second = "providers: {local: {protocol: openai, base_url: http://127.0.0.1:9, models: [small]}, "
    second += "other: {protocol: openai, service: llama}}\n"
    second += "mcp: {tools: {servers: [{name: files, url: 'http://127.0.0.1:8/mcp'}, {name: db, service: plain}]}}\n"
    (tmp_path / "models.yaml").write_text(second)
    routes = "services: {llama: {endpoints: ['127.0.0.1:1']}, plain: {endpoints: ['127.0.0.1:2']}}\n"
    routes += "routes: [{path: /plain, target: plain}, {path: /*, target: models, auth: []}, "
    routes += "{path: /mcp, target: mcp, auth: []}]\n"
    async with running(tmp_path, routes) as gateway:
        shown = (await gateway.admin.get("/services")).json()
        one = (await gateway.admin.get("/services/llama")).json()
    named = {each["service"]: each.get("providers") for each in shown}
    assert named == {"127.0.0.1:9": ["local"], "127.0.0.1:8": None, "llama": ["other"], "plain": None}
    assert one["providers"] == ["other"]
    mcp = {each["service"]: (each["mcp"], each["source"]) for each in shown if "mcp" in each}
    assert mcp == {"127.0.0.1:8": (["tools.files"], "models.yaml"), "plain": (["tools.db"], "routes.yaml")}
