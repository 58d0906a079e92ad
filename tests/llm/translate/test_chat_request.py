"""Requests of chat/completions as those of Messages."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import CannotTranslate, Malformed, Translated, Unsupported
from tests.llm.translate.support import title, vectors


def translate(request: dict[str, Any], model: str = "small", *, drop: bool = False) -> Translated:
    """A request as a provider with Anthropic's API gets it."""
    found = translation("openai.chat", "anthropic")
    assert found is not None
    assert ("anthropic-version", "2023-06-01") in found.headers
    return found.request(request, model, drop=drop)


def sent(request: dict[str, Any], model: str = "small") -> Any:
    """The request that is made."""
    return orjson.loads(translate(request, model).body)


@pytest.mark.parametrize("case", vectors("chat_requests"), ids=title)
def test_a_request_says_the_same_in_messages(case: dict[str, Any]) -> None:
    """Each recorded request becomes the recorded one, and lists what was left out as harmless."""
    result = translate(case["request"], case.get("model", "small"))
    assert orjson.loads(result.body) == {"model": case.get("model", "small"), "max_tokens": 4096, **case["body"]}
    assert list(result.dropped) == case.get("dropped", [])


@pytest.mark.parametrize("case", vectors("chat_refused"), ids=title)
def test_a_field_without_an_equivalent_is_refused_by_its_name_or_dropped_and_listed(case: dict[str, Any]) -> None:
    """By default the error names the field; where fields may be dropped, it is listed and the rest is sent."""
    with pytest.raises(Unsupported) as refused:
        translate(case["request"])
    assert refused.value.field == case["field"]
    assert case["field"] in str(refused.value)
    assert case["dropped"] in translate(case["request"], drop=True).dropped


def test_more_answers_than_one_are_refused_even_where_fields_may_be_dropped() -> None:
    """A client that asks for two would wait for the second."""
    with pytest.raises(Unsupported) as refused:
        translate({"messages": [], "n": 2}, drop=True)
    assert refused.value.field == "n"


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MALFORMED: list[tuple[Any, str]] = [
    ({"messages": "hi"}, "messages"),
    ({"messages": [[]]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
        "messages[0].content[0].image_url",
    ),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": 1, "function": {}}]}]}, "messages[0].tool_calls[0].id"),
    ({"messages": [{"role": "assistant", "tool_calls": [CALL]}]}, "messages[0].tool_calls[0]"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [CALL]}, {"role": "assistant", "content": "So?"}]},
        "messages[0].tool_calls[0]",
    ),
    ({"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"messages": [], "temperature": "warm"}, "temperature"),
    ({"messages": [], "max_tokens": "5"}, "max_tokens"),
    ({"messages": [], "stop": 5}, "stop"),
    ({"messages": [], "tools": [{"type": "function"}]}, "tools[0].function"),
    ({"messages": [], "tool_choice": "sometimes"}, "tool_choice"),
    ({"messages": [], "stream_options": True}, "stream_options"),
]


@pytest.mark.parametrize(("request_", "field"), MALFORMED, ids=[field for _, field in MALFORMED])
@pytest.mark.parametrize("drop", [False, True])
def test_a_field_of_the_wrong_type_is_refused_by_its_name(request_: Any, field: str, drop: bool) -> None:
    """So are calls without a result, and results without a call, which Anthropic refuses."""
    with pytest.raises(Malformed) as refused:
        translate(request_, drop=drop)
    assert refused.value.field == field


def test_arguments_too_deep_to_be_written_are_refused() -> None:
    """Documents may be read that are deeper than those that can be written."""
    deep = '{"a":' * 600 + "1" + "}" * 600
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": deep}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a", "content": "x"}]
    with pytest.raises(CannotTranslate):
        translate({"messages": messages})


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-5-sonnet-20241022", 8192),
        ("claude-3-7-sonnet-latest", 32000),
        ("claude-opus-4-1-20250805", 32000),
        ("claude-sonnet-4-20250514", 32000),
        ("anthropic/claude-opus-5", 32000),
        ("other", 4096),
    ],
)
def test_a_request_without_a_limit_gets_one_that_its_model_takes(model: str, limit: int) -> None:
    """Anthropic demands a limit; one that is too low would cut answers short."""
    assert sent({"messages": []}, model)["max_tokens"] == limit
    assert sent({"messages": [], "max_completion_tokens": 7}, model)["max_tokens"] == 7


EFFORTS = [
    ("claude-3-5-sonnet-20241022", {}),
    ("other", {}),
    ("claude-sonnet-4-20250514", {"thinking": {"type": "enabled", "budget_tokens": 4096}}),
    ("claude-opus-4-5-20251101", {"thinking": {"type": "enabled", "budget_tokens": 4096}}),
    ("claude-opus-4-6", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}),
    ("claude-opus-5", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}),
]


@pytest.mark.parametrize(("model", "made"), EFFORTS)
def test_effort_becomes_the_thinking_that_the_model_has(model: str, made: dict[str, Any]) -> None:
    """Older models have budgets, newer ones decide for themselves, and the oldest do not think."""
    request = {"messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": "medium", "temperature": 0.5}
    result = translate(request, model)
    body = orjson.loads(result.body)
    assert {name: value for name, value in body.items() if name in {"thinking", "output_config"}} == made
    assert ("temperature" in body) is (not made)
    assert result.dropped == (("temperature",) if made else ("reasoning_effort",))


def test_thinking_is_left_out_where_the_last_turn_has_calls_without_it() -> None:
    """Anthropic refuses a final turn with calls that does not begin with its thinking."""
    turn: dict[str, Any] = {"role": "assistant", "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "a", "content": "x"}
    request = {"messages": [turn, result], "reasoning_effort": "low"}
    without = translate(request, "claude-opus-5")
    assert "thinking" not in orjson.loads(without.body)
    assert without.dropped == ("reasoning_effort",)
    turn["thinking_blocks"] = [{"index": 0, "type": "thinking", "thinking": "hm", "signature": "s"}]
    body = sent(request, "claude-opus-5")
    assert body["thinking"] == {"type": "adaptive"}
    assert body["messages"][0]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "s"}
    forced = {
        "messages": [],
        "reasoning_effort": "low",
        "tool_choice": "required",
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    assert "thinking" not in sent(forced, "claude-opus-5")


def test_thinking_blocks_are_kept_or_dropped_as_a_whole() -> None:
    """A block without its signature would be refused; the others of the turn are then of no use."""
    blocks = [
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "thinking", "thinking": "b", "signature": ""},
    ]
    result = translate({"messages": [{"role": "assistant", "content": "So.", "thinking_blocks": blocks}]})
    assert orjson.loads(result.body)["messages"] == [
        {"role": "assistant", "content": [{"type": "text", "text": "So."}]}
    ]
    assert result.dropped == ("messages[].thinking_blocks",)


def test_strict_tools_are_of_models_that_know_them() -> None:
    """Others refuse the field, and mostly do without what it says."""
    request = {"messages": [], "tools": [{"type": "function", "function": {"name": "f", "strict": True}}]}
    assert sent(request, "claude-sonnet-4-5")["tools"][0]["strict"] is True
    old = translate(request, "claude-3-7-sonnet-latest")
    assert "strict" not in orjson.loads(old.body)["tools"][0]
    assert old.dropped == ("tools[].function.strict",)


@pytest.mark.parametrize(("model", "effort"), [("claude-opus-4-6", "high"), ("claude-sonnet-5", "xhigh")])
def test_the_highest_effort_is_one_that_the_model_knows(model: str, effort: str) -> None:
    """There is more than high from 4.7 on."""
    assert sent({"messages": [], "reasoning_effort": "xhigh"}, model)["output_config"] == {"effort": effort}


def test_thinking_of_a_model_that_thinks_by_itself_can_be_sent_back() -> None:
    """Its blocks may be without text: they have a signature, and the next turn goes on from them."""
    block = {"type": "thinking", "thinking": "", "signature": "s"}
    request = translate({"messages": []}, "claude-opus-5")
    answer = orjson.loads(request.answer(orjson.dumps({"content": [block, {"type": "text", "text": "So."}]})))
    message = answer["choices"][0]["message"]
    assert message["thinking_blocks"] == [block]
    assert sent({"messages": [message]}, "claude-opus-5")["messages"][0]["content"][0] == block


def test_ids_of_calls_are_of_allowed_letters_and_of_one_call_each() -> None:
    """Some servers have colons in ids, or give the same ones in each answer: results must find their calls."""
    turn = {"role": "assistant", "tool_calls": [{"id": "functions.f:0", "function": {"name": "f", "arguments": ""}}]}
    result = {"role": "tool", "tool_call_id": "functions.f:0", "content": "x"}
    blocks = [
        block
        for message in sent({"messages": [turn, result, turn, result]})["messages"]
        for block in message["content"]
    ]
    ids = [block.get("id", block.get("tool_use_id")) for block in blocks]
    assert ids == ["functions_f_0", "functions_f_0", "functions_f_0_2", "functions_f_0_2"]
