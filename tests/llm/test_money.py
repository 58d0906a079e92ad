"""Budgets and prices as models.yaml has them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.config.load import parse
from gateway.config.problems import ConfigError, Fault
from gateway.context import Context
from gateway.http import Exchange, Identity
from gateway.http.testing import make_exchange
from gateway.live import Owner
from gateway.llm.claims import Backend, Refused, Wanted
from gateway.llm.money import Money, money_of, warnings
from gateway.llm.usage import Usage

PROVIDERS = """
providers:
  local: {protocol: openai, base_url: http://127.0.0.1:9, models: [small, other]}
  spare: {protocol: openai, base_url: http://127.0.0.1:9, models: [small]}
"""
SMALL: Backend = ("local", "small")
SPARE: Backend = ("spare", "small")


@asynccontextmanager
async def money(models: str, base: Path | None = None, middleware: str = "") -> AsyncIterator[Money]:
    """What this models.yaml makes."""
    routes = "routes: [{id: chat, path: /*, target: models, auth: []}]"
    files = {"routes.yaml": routes, "models.yaml": PROVIDERS + models, "middleware.yaml": middleware, "auth.yaml": ""}
    with TemporaryDirectory() as directory:
        contents = {name: text.encode() for name, text in files.items()}
        configuration = parse(contents, {}, base=base or Path(directory))
        owner = Owner()
        plan = owner.plan()
        made = money_of(Context(configuration, plan))
        await owner.adopt(plan)
        try:
            yield made
        finally:
            await owner.stop()


def caller(name: str, tenant: str | None = None) -> Exchange:
    exchange = make_exchange(route="chat")
    exchange.identity = Identity(name, "key", tenant)
    return exchange


def wanted(*backends: Backend, profile: str = "fast", given: int = 100) -> Wanted:
    return Wanted(backends or (SMALL,), "chat", profile, given, 100, seconds=60, asked=(backends or (SMALL,))[0][1])


async def test_tenants_count_apart(tmp_path: Path) -> None:
    """What one tenant has used up, all its consumers together, is nothing to another one."""
    async with money("budgets: {per-tenant: {key: [tenant], limits: [{tokens: 300, window: day}]}}", tmp_path) as made:
        hold = await made.budgets.reserve(caller("ann", "acme"), wanted())
        hold.commit(Usage(150, 150), 0)
        with pytest.raises(Refused, match="300 tokens per day"):
            await made.budgets.reserve(caller("bob", "acme"), wanted())
        await made.budgets.reserve(caller("ann", "else"), wanted())


async def test_what_was_used_outlives_a_restart(tmp_path: Path) -> None:
    """By default a budget is kept in a file of the state directory; what was only reserved is not."""
    text = "budgets: {each: {limits: [{tokens: 300, window: month}]}}"
    async with money(text, tmp_path) as made:
        (await made.budgets.reserve(caller("ann"), wanted())).commit(Usage(100, 50), 0)
        await made.budgets.reserve(caller("ann"), wanted(given=10))  # its process ends before it does
    async with money(text, tmp_path) as made:
        with pytest.raises(Refused) as refused:
            await made.budgets.reserve(caller("ann"), wanted())
        assert refused.value.left == 150


@pytest.mark.parametrize("on_failure", ["open", "closed", "local"])
async def test_a_file_that_cannot_be_used_fails_as_it_says(on_failure: str, tmp_path: Path) -> None:
    """`closed` refuses with a 503, the others let pass; a budget with another file is not concerned."""
    (tmp_path / "broken").mkdir()
    text = f"""
budgets:
  broken: {{routes: [chat], file: broken, on_failure: {on_failure}, limits: [{{requests: 1, window: day}}]}}
  fine: {{on_failure: closed, limits: [{{tokens: 1000, window: day}}]}}
"""
    async with money(text, tmp_path, "state_directory: .") as made:
        outcomes = []
        for _ in range(2):
            try:
                await made.budgets.reserve(caller("ann"), wanted())
                outcomes.append("passed")
            except Refused as refused:
                outcomes.append(f"{refused.budget} {refused.kind.slug}")
        assert (
            outcomes
            == {
                "open": ["passed"] * 2,
                "closed": ["broken store-unavailable"] * 2,
                "local": ["passed", "broken quota-exceeded"],
            }[on_failure]
        )


@pytest.mark.parametrize("key", ["provider", "model", "profile"])
async def test_what_was_chosen_may_be_part_of_the_key(key: str, tmp_path: Path) -> None:
    """Providers, models and profiles have counts of their own."""
    text = f"budgets: {{each: {{key: [consumer, {key}], store: memory, limits: [{{requests: 1, window: day}}]}}}}"
    others = {
        "provider": wanted(SPARE),
        "model": wanted(("local", "other")),
        "profile": wanted(profile="heavy"),
    }
    async with money(text, tmp_path) as made:
        await made.budgets.reserve(caller("ann"), wanted())
        with pytest.raises(Refused):
            await made.budgets.reserve(caller("ann"), wanted())
        await made.budgets.reserve(caller("ann"), others[key])


async def test_a_budget_may_be_for_some_models_and_routes(tmp_path: Path) -> None:
    """Requests of other models, and on other routes, are not counted."""
    text = """
budgets:
  some: {models: [sm*], store: memory, limits: [{requests: 1, window: 1h}]}
  none: {routes: [another], store: memory, limits: [{tokens: 1, window: day}]}
"""
    async with money(text, tmp_path) as made:
        await made.budgets.reserve(caller("ann"), wanted())
        with pytest.raises(Refused, match="1 request per 3600 s"):
            await made.budgets.reserve(caller("ann"), wanted())
        await made.budgets.reserve(caller("ann"), wanted(("local", "other")))


async def test_own_prices_go_before_the_list(tmp_path: Path) -> None:
    """The first name that fits holds, with the provider or without; tiers are by the length of the input."""
    (tmp_path / "own.yaml").write_text("""
prices:
  spare/small: {input: 0, output: 0}
  small: {input: "0.5", output: 2, cache_read: 0.05, tiers: [{above: 1000, input: 1, output: 4}]}
  "*": {input: 1, output: 1, request: 0.01}
""")
    async with money("prices: {file: own.yaml}", tmp_path) as made:
        prices = made.prices
        assert prices.cost("spare", "small", Usage(1000, 1000)) == 0
        assert prices.cost("local", "small", Usage(1000, 100)) == 700
        assert prices.cost("local", "SMALL", Usage(1000, 100, cache_read=1000)) == 250
        assert prices.cost("local", "small", Usage(1001, 0)) == 1001
        assert prices.cost("openai", "gpt-4o", Usage(1, 1)) == 10_002


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prices: {small: {input: 1}}", 'own.yaml:1:10: prices.small: the key "output" is missing; add it'),
        ("prices: {small: {input: -1, output: 1}}", "expected dollars"),
        ("prices: {small: {input: 1, output: 1, inputs: 2}}", "unknown key; known here: input, output"),
        (
            "prices: {small: {input: 1, output: 1, tiers: [{above: 9, input: 1, output: 1}, {above: 9, input: 1, "
            "output: 1}]}}",
            "ascending order",
        ),
        ("price: {}", "unknown key; known here: prices"),
        ("[", "own.yaml:2:1: this is not YAML"),
        ("prices: [small]", "own.yaml:1"),
    ],
)
async def test_a_wrong_file_of_prices_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    """The error has file and line, as for any other file."""
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        async with money("prices: {file: own.yaml}", tmp_path):
            pass
    assert message in str(error.value)


async def test_a_missing_file_of_prices_is_refused(tmp_path: Path) -> None:
    """What is named must be there."""
    with pytest.raises(ConfigError, match="the file of prices cannot be read"):
        async with money("prices: {file: own.yaml}", tmp_path):
            pass


async def test_what_has_no_price_may_be_free_or_assumed(tmp_path: Path) -> None:
    """As `unknown` says; without it, there is no cost."""
    async with money("prices: {unknown: refuse}", tmp_path) as made:
        assert made.prices.cost("local", "small", Usage(1000, 1000)) is None
    async with money("prices: {unknown: free}", tmp_path) as made:
        assert made.prices.cost("local", "small", Usage(1000, 1000)) == 0
    async with money("prices: {unknown: assume, assume: {input: 1, output: 10}}", tmp_path) as made:
        assert made.prices.cost("local", "small", Usage(1000, 1000)) == 11_000
        assert made.prices.unpriced == 1
    async with money("prices: {unknown: assume}", tmp_path) as made:
        assert (made.prices.dearest("local", "small", 1000, 1000) or 0) > 90_000


def test_missing_prices_are_warned_of() -> None:
    """Where a budget is in money, what it will refuse for want of a price is known before."""
    text = """
providers:
  local: {protocol: openai, base_url: http://127.0.0.1:9, models: [small, "x*"]}
  openai: {keys: [x], models: [gpt-4o]}
aliases: {chat: {openai: gpt-99}}
budgets: {each: {limits: [{usd: 1, window: day}]}}
"""
    assert [(fault.path, fault.message.split(",")[0]) for fault in faults(text)] == [
        (("budgets", "each"), "requests to local/small are refused"),
        (("budgets", "each"), "requests to openai/gpt-99 are refused"),
    ]
    assert not faults(text.replace("usd", "tokens"))
    assert not faults(text + "prices: {unknown: free}")


def faults(text: str) -> list[Fault]:
    routes = b"routes: [{id: chat, path: /*, target: models, auth: []}]"
    files = {"routes.yaml": routes, "models.yaml": text.encode()}
    return list(warnings(parse(files, {}, base=Path("/nowhere"))))
