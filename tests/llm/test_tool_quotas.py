"""Quotas on tools: counted in answers, refused in requests that offer the tool."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.model_record import ModelRecord
from gateway.llm.claims import Refused
from gateway.llm.money import Money
from gateway.llm.speaking import ModelError
from gateway.llm.tool_quotas import offered_tools
from tests.llm.test_money import caller, money

CHAT = {"tools": [{"type": "function", "function": {"name": "web_search"}}, {"type": "function"}]}


def answered(exchange: Exchange, calls: Sequence[str]) -> Exchange:
    exchange.model = ModelRecord("openai.chat")
    exchange.model.tool_calls = tuple(calls)
    return exchange


async def passes(made: Money, exchange: Exchange, document: dict[str, Any]) -> bool:
    try:
        await made.tools.check(exchange, document)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("document", "names"),
    [
        (CHAT, ["web_search", "function"]),
        (
            {"tools": [{"name": "Bash", "input_schema": {}}, {"type": "web_search_20250305"}]},
            ["Bash", "web_search_20250305"],
        ),
        ({"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}, ["f", "web_search"]),
        ({"tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}, {"googleSearch": {}}]}, ["a", "b"]),
        ({"functions": [{"name": "old"}]}, ["old"]),
        ({"tools": [{"name": "new"}], "functions": [{"name": "old"}]}, ["old", "new"]),
        ({"tools": [{"type": "danger", "function": {"name": "x"}}]}, ["x", "danger"]),
        ({"tools": [{"type": "danger", "name": "x"}]}, ["x", "danger"]),
        ({"tools": [{"type": "function", "name": "x", "function": {"name": "y"}}]}, ["x", "y"]),
        ({"tools": [{"Type": "function", "Function": {"name": "x", "NAME": "y"}}]}, ["x", "y"]),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, ["x"]),
        (
            {"tools": [{"functionDeclarations": [{"name": "a"}], "function_declarations": [{"name": "b"}]}]},
            ["b", "a"],
        ),
        ({"tools": [{"type": "namespace", "name": "a", "tools": [{"name": "b"}]}]}, ["a", "namespace", "b"]),
        ({"input": [{"type": "tool_search_output", "tools": [{"name": "a"}]}, "x", {"tools": 1}]}, ["a"]),
        ({"tools": [{"name": "x" * 300}]}, ["x" * 256]),
        ({"tools": "x"}, []),
        ({"tools": [None, 5, {"function": 7, "name": ["x"]}, {"functionDeclarations": {"name": 1}}]}, []),
        ({}, []),
    ],
)
def test_tools_are_found_in_all_protocols(document: dict[str, Any], names: list[str]) -> None:
    """By the names that answers call them by; what is no tool is left out."""
    assert list(offered_tools(document)) == names


async def test_more_tools_than_are_looked_at_are_refused(tmp_path: Path) -> None:
    """One that is used up cannot stand behind a thousand others; without a quota for the route there may be as many."""
    others = [{"name": f"other {number}"} for number in range(999)]
    danger: list[dict[str, Any]] = [{"name": "danger"}]
    async with money("tool_quotas: {one: {tools: [danger], store: memory, limit: 1, window: day}}", tmp_path) as made:
        made.tools.count(answered(caller("ann"), ["danger"]))
        assert not await passes(made, caller("ann"), {"tools": others + danger})
        for tools in (others + others + danger, [{"functionDeclarations": others}, *danger]):
            with pytest.raises(ModelError, match="may offer 1000 tools"):
                await made.tools.check(caller("ann"), {"tools": tools})
    for text in ("routes: [another]", "mode: shadow"):
        quota = f"tool_quotas: {{one: {{{text}, store: memory, limit: 1, window: day}}}}"
        async with money(quota, tmp_path) as made:
            assert await passes(made, caller("ann"), {"tools": others * 3})


async def test_calls_are_counted_and_then_refused(tmp_path: Path) -> None:
    """Once the quota is used up, requests that offer the tool get a 429; others pass, and other tenants, too."""
    text = "tool_quotas: {searches: {key: [tenant], tools: [web_*], limit: 3, window: day}}"
    async with money(text, tmp_path) as made:
        for _ in range(3):
            exchange = caller("ann", "acme")
            await made.tools.check(exchange, CHAT)
            made.tools.count(answered(exchange, ["web_search", "bash"]))
        exchange = caller("bob", "acme")
        with pytest.raises(Refused, match="3 calls of tools per day") as refused:
            await made.tools.check(exchange, CHAT)
        assert refused.value.kind is ErrorKind.QUOTA_EXCEEDED
        assert refused.value.retry_after > 0
        assert [decision.rule for decision in exchange.decisions] == ["tool_quota:searches"]
        assert await passes(made, caller("bob", "acme"), {"tools": [{"name": "bash"}]})
        assert await passes(made, caller("ann", "else"), CHAT)
    async with money(text, tmp_path) as made:
        assert not await passes(made, caller("ann", "acme"), CHAT)


async def test_tools_may_count_apart(tmp_path: Path) -> None:
    """With `tool` in the key, one that is used up is nothing to the others."""
    async with money("tool_quotas: {each: {key: [tool], store: memory, limit: 1, window: 1h}}", tmp_path) as made:
        made.tools.count(answered(caller("ann"), ["a"]))
        assert not await passes(made, caller("bob"), {"tools": [{"name": "a"}]})
        assert await passes(made, caller("bob"), {"tools": [{"name": "b"}]})


async def test_quotas_of_other_routes_and_shadows_refuse_nothing(tmp_path: Path) -> None:
    """What is not for the route is not asked; a shadow says what it would have done."""
    text = """
tool_quotas:
  other: {routes: [another], store: memory, limit: 1, window: day}
  shadow: {mode: shadow, store: memory, limit: 1, window: day}
"""
    async with money(text, tmp_path) as made:
        made.tools.count(answered(caller("ann"), ["a", "a", "a"]))
        exchange = caller("ann")
        assert await passes(made, exchange, {"tools": [{"name": "a"}]})
        assert [decision.verdict for decision in exchange.decisions] == ["shadow-deny"]


async def test_names_that_models_make_up_are_bounded(tmp_path: Path) -> None:
    """A model may call anything, at any length."""
    async with money("tool_quotas: {each: {key: [tool], store: memory, limit: 1, window: day}}", tmp_path) as made:
        for number in range(300):
            made.tools.count(answered(caller("ann"), [f"{number}\x00" + "x" * 100_000]))
        assert max(len(key) for key in made.tools.quotas[0].ledger._table.by_key) < 200


async def test_a_request_with_very_many_tools_waits_no_longer(tmp_path: Path) -> None:
    """Their counts are read together."""
    async with money("tool_quotas: {each: {key: [tool], limit: 1, window: day}}", tmp_path) as made:
        loop = asyncio.get_running_loop()
        took: list[float] = []
        for start in range(3):
            names = [{"name": f"tool-{start}-{number}"} for number in range(1000)]
            began = loop.time()
            assert await passes(made, caller("ann"), {"tools": names})
            took.append(loop.time() - began)
        assert min(took) < 2  # on a machine that does a lot else
        made.tools.count(answered(caller("ann"), ["tool-0-999"]))
        assert not await passes(made, caller("ann"), {"tools": [{"name": "tool-0-999"}]})
