"""What a gateway says of requests to models: metrics, the access log, and that no prompt, answer or key is anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import orjson
from prometheus_client.parser import text_string_to_metric_families

from gateway.demo_models import DemoModels, serving
from tests.auth.support import key_hash
from tests.cli.support import gateway as cli
from tests.lifecycle.support import admin_url
from tests.monitor.telemetry.collector import attributes, running_collector
from tests.support import GatewayProcess, eventually, running_gateway

KEY = "gw_a-key-that-is-long-enough-to-be-one"
AUTH = f"""
schemes: {{keys: {{api_key: }}}}
consumers: [{{name: app, tenant: acme, keys: ['{key_hash(KEY)}']}}]
default: keys
"""
MODELS = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [sk-secret-one], models: [small]}
  two: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [sk-secret-two], models: ["s*"]}
model_routing:
  default: fast
  profiles: {fast: {preferProviders: [one, two]}, second: {providers: [two]}}
  rules: [{when: {header: {name: X-Second}}, use: second}]
budgets: {all: {key: [tenant], store: memory, limits: [{tokens: 100000, window: day}]}}
prices: {file: prices.yaml}
"""
PRICES = "prices: {one/small: {input: 1000, output: 2000}, two/small: {input: 1000, output: 2000}}\n"
FAST = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
ROUTES = "routes: [{path: /a, target: 'asgi:tests.lifecycle.apps:one'}]\n"
BODY = {"model": "small", "messages": [{"role": "user", "content": "prompt-s3cret"}]}


class Observed:
    """A gateway process, its two providers, and what it says."""

    def __init__(self, process: GatewayProcess, client: httpx2.AsyncClient, one: DemoModels, two: DemoModels) -> None:
        self.process, self.client, self.one, self.two = process, client, one, two

    async def ask(self, headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
        given = {"authorization": f"Bearer {KEY}"} | (headers or {})
        return await self.client.post("/v1/chat/completions", json=BODY | more, headers=given)

    async def lines(self, count: int) -> list[dict[str, Any]]:
        """Those of requests to models, once there are so many."""
        await eventually(lambda: self.process.access_log.count("\n") >= count)
        return [orjson.loads(line) for line in self.process.access_log.splitlines()]

    async def page(self) -> str:
        async with httpx2.AsyncClient() as client:
            return (await client.get(admin_url(self.process, "/metrics"))).text

    async def metrics(self) -> dict[tuple[str, ...], float]:
        """By name and values of labels."""
        page = await self.page()
        samples = [each for family in text_string_to_metric_families(page) for each in family.samples]
        return {(each.name, *each.labels.values()): each.value for each in samples}


@asynccontextmanager
async def observing(directory: Path, middleware: str = "") -> AsyncIterator[Observed]:
    async with AsyncExitStack() as opened:
        one, two = DemoModels(), DemoModels()
        ports = [await opened.enter_async_context(serving(each)) for each in (one, two)]
        (files := directory / "config").mkdir()
        (files / "prices.yaml").write_text(PRICES)
        (files / "models.yaml").write_text(MODELS % tuple(ports))
        process = opened.enter_context(running_gateway(directory, ROUTES, middleware, AUTH, environment=FAST))
        client = await opened.enter_async_context(httpx2.AsyncClient(base_url=process.url, timeout=20))
        yield Observed(process, client, one, two)


async def test_requests_to_models_are_in_metrics_and_in_the_log(tmp_path: Path) -> None:
    """Who answered, by which rule, why another one did not, tokens, money and speed: metrics sum up what lines say."""
    async with observing(tmp_path) as observed:
        whole = (await observed.ask()).json()["usage"]
        observed.one.fault = "fail-429"
        streamed = await observed.ask({"X-Second": "yes"}, stream=True, stream_options={"include_usage": True})
        assert streamed.status_code == 200
        switched = await observed.ask()
        assert switched.headers["x-gateway-model-backend"] == "two/small"
        assert switched.headers["x-gateway-switched"] == "one/small; reason=rate_limited"
        assert (await observed.ask(model="none-of-these")).status_code == 404
        first, second, third, refused = await observed.lines(4)
        metrics = await observed.metrics()
        async with httpx2.AsyncClient() as admin:
            usage = (await admin.get(admin_url(observed.process, "/models/usage"))).json()
            last = (await admin.get(admin_url(observed.process, "/requests"))).json()
        printed = cli("last", "-n", "2", "--admin", f"127.0.0.1:{observed.process.admin_port}")

    assert [line["model_backend"] for line in (first, second, third, refused)] == [
        "one/small",
        "two/s*",
        "two/s*",
        None,
    ]
    model = first["model"]
    assert (model["rule"], model["profile"], model["candidates"]) == (None, "fast", ["one/small", "two/s*"])
    assert (model["input_tokens"], model["output_tokens"]) == (whole["prompt_tokens"], whole["completion_tokens"])
    assert model["cost_usd"] == round((whole["prompt_tokens"] + 2 * whole["completion_tokens"]) / 1000, 6)
    assert model["committed_tokens"] == whole["total_tokens"] <= model["reserved_tokens"]
    assert (second["model"]["rule"], second["model"]["profile"]) == (0, "second")
    assert 0 < second["model"]["first_token"] <= second["duration"]
    assert third["model"]["switches"] == [{"from": "one/small", "to": "two/s*", "reason": "rate_limited"}]
    assert third["model"]["tries"] == 2
    assert (refused["status"], refused["model"]["asked"], refused["model"]["candidates"]) == (404, "", [])

    lines = [first, second, third]
    for direction in ("input", "output"):
        counted = sum(value for key, value in metrics.items() if key[0] == "llm_tokens_total" and key[-1] == direction)
        assert counted == sum(line["model"][f"{direction}_tokens"] for line in lines) > 0
    assert ("llm_tokens_total", first["route"], "acme", "one/small", "cache_read") in metrics
    dollars = sum(value for key, value in metrics.items() if key[0] == "llm_cost_usd_total")
    assert dollars == sum(line["model"]["cost_usd"] for line in lines)
    assert metrics["llm_switches_total", "one/small", "two/s*", "rate_limited"] == 1
    assert metrics["llm_time_to_first_token_seconds_count", "two/s*"] == 1
    assert metrics["llm_output_tokens_per_second_count", "two/s*"] == 1
    assert (metrics[("llm_holds",)], metrics[("llm_reserved_tokens",)]) == (0, 0)
    requests = {key[4]: value for key, value in metrics.items() if key[0] == "gateway_requests_total" and key[4]}
    assert requests == {"one/small": 1, "two/s*": 2}

    (speed,) = usage["speeds"]
    assert (speed["model"], speed["streams"]) == ("two/s*", 1)
    assert speed["first_token_p50"] > 0 < speed["tokens_per_second_p50"]
    assert usage["switches"] == [{"from": "one/small", "to": "two/s*", "reason": "rate_limited", "requests": 1}]
    (alone,) = usage["left_alone"]
    assert (alone["provider"], alone["reason"]) == ("one", "rate_limited")
    assert [each["model"] for each in last[:4]] == [
        {"backend": line["model_backend"]} | line["model"] for line in (refused, third, second, first)
    ]
    assert (
        "model: small; sent to two/s*; profile fast as no rule fits\n  candidates: one/small, two/s*\n"
        in printed.stdout
    ), printed.stderr
    assert "  switched: one/small to two/s*: rate_limited\n" in printed.stdout, printed.stderr
    reserved, charged = third["model"]["reserved_tokens"], third["model"]["committed_tokens"]
    assert f"budgets of models: {reserved} tokens reserved, {charged} charged\n" in printed.stdout


async def test_spans_have_the_attributes_of_generative_ai(tmp_path: Path) -> None:
    """The server span says model, provider, tokens, cost, and what was decided; and no prompt, answer or key."""
    with running_collector() as collector:
        async with observing(
            tmp_path, f"telemetry: {{otlp: '{collector.url}'}}\ntrace: {{sample: 100%}}\n"
        ) as observed:
            observed.one.fault = "fail-503"
            usage = (await observed.ask()).json()["usage"]
            await asyncio.to_thread(collector.wait, 3)
            (line,) = await observed.lines(1)
    server, *attempts = sorted(collector.spans, key=lambda span: span.kind)
    found = attributes(server.attributes)
    said = {name: value for name, value in found.items() if name.startswith("gen_ai.")}
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": line["model"]["answered"],
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
    }
    assert (found["gateway.model_backend"], found["gateway.profile"]) == ("two/s*", "fast")
    assert found["gateway.switches"] == f"one/small -> two/s* ({line['model']['switches'][0]['reason']})"
    assert found["gateway.cost_usd"] == line["model"]["cost_usd"]
    assert [attributes(attempt.attributes)["http.response.status_code"] for attempt in attempts] == [503, 200]
    assert not any(secret in str(collector.spans) for secret in ("s3cret", "sk-secret", KEY))


async def test_no_prompt_no_answer_and_no_key_is_written_anywhere(tmp_path: Path) -> None:
    """Logs, metrics, the admin API and all files of the gateway have none, whatever fails."""
    async with observing(tmp_path) as observed:
        answer = (await observed.ask()).json()["choices"][0]["message"]["content"]
        for fault in ("fail-401", "fail-500", "error-200", "cut-after", "malformed", "overflow"):
            observed.one.fault = observed.two.fault = fault
            await observed.ask()
            await observed.ask(stream=True)
        await observed.ask({"authorization": "Bearer gw_a-key-that-nobody-has"})
        await observed.lines(14)
        pages = [await observed.page()]
        async with httpx2.AsyncClient(headers=observed.process.admin_token) as admin:
            for path in ("/health", "/requests", "/models/usage", "/config", "/monitor"):
                pages.append((await admin.get(admin_url(observed.process, path))).text)
        log, access_log, directory = observed.process.log, observed.process.access_log, observed.process.directory
    pages += [log, access_log]
    pages += [
        each.read_text("latin-1") for each in directory.rglob("*") if each.is_file() and each.name != "models.yaml"
    ]
    assert len(answer) > 8
    for secret in (KEY, "gw_a-key-that-nobody-has", "sk-secret", "prompt-s3cret", answer):
        assert not any(secret in page for page in pages), secret
