"""Requests of Messages as those of chat/completions."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import CannotTranslate, Malformed, Translated, Unsupported
from tests.llm.translate.support import title, vectors


def translate(request: dict[str, Any], model: str = "small", *, drop: bool = False) -> Translated:
    """A request as a provider with OpenAI's API gets it."""
    found = translation("anthropic.messages", "openai")
    assert found is not None
    return found.request(request, model, drop=drop)


@pytest.mark.parametrize("case", vectors("messages_requests"), ids=title)
def test_a_request_says_the_same_in_chat_completions(case: dict[str, Any]) -> None:
    """Each recorded request becomes the recorded one, and lists what was left out as harmless."""
    result = translate(case["request"], case.get("model", "small"))
    assert orjson.loads(result.body) == case["body"]
    assert list(result.dropped) == case.get("dropped", [])


@pytest.mark.parametrize("case", vectors("messages_refused"), ids=title)
def test_a_field_without_an_equivalent_is_refused_by_its_name_or_dropped_and_listed(case: dict[str, Any]) -> None:
    """By default the error names the field; where fields may be dropped, it is listed and the rest is sent."""
    with pytest.raises(Unsupported) as refused:
        translate(case["request"])
    assert refused.value.field == case["field"]
    assert case["field"] in str(refused.value)
    assert case["dropped"] in translate(case["request"], drop=True).dropped


MALFORMED: list[tuple[Any, str]] = [
    ({"messages": 5}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"),
    ({"messages": [{"role": 7, "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": {"type": "text"}}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": ["text"]}]}]}, "messages[0].content[0].type"),
    ({"messages": [], "max_tokens": "many"}, "max_tokens"),
    ({"messages": [], "max_tokens": True}, "max_tokens"),
    ({"messages": [], "stop_sequences": [1]}, "stop_sequences[0]"),
    ({"messages": [], "tools": {"name": "x"}}, "tools"),
    ({"messages": [], "stream": "yes"}, "stream"),
    ({"messages": [], "system": 4}, "system"),
]


@pytest.mark.parametrize(("request_", "field"), MALFORMED, ids=[field for _, field in MALFORMED])
@pytest.mark.parametrize("drop", [False, True])
def test_a_field_of_the_wrong_type_is_refused_by_its_name(request_: Any, field: str, drop: bool) -> None:
    """Wrong types are errors of the client even where unknown fields are dropped."""
    with pytest.raises(Malformed) as refused:
        translate(request_, drop=drop)
    assert refused.value.field == field


def test_arguments_too_deep_to_be_written_are_refused() -> None:
    """Documents may be read that are deeper than those that can be written."""
    deep: Any = 1
    for _ in range(600):
        deep = [deep]
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": deep}}
    with pytest.raises(CannotTranslate):
        translate({"messages": [{"role": "assistant", "content": [block]}]})


def test_names_of_unknown_fields_are_listed_in_printable_and_bounded_form() -> None:
    """The list goes into a header: no line ends, and no names of a megabyte."""
    result = translate({"messages": [], "a\r\nSet-Cookie: x": 1, "b" * 100_000: 1}, drop=True)
    assert result.dropped == ("a??Set-Cookie:?x", "b" * 80 + "...")
    many = translate({"messages": [], **{f"field{number}": 1 for number in range(1000)}}, drop=True)
    assert len(many.dropped) == 64


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("gpt-4o", "max_completion_tokens"),
        ("gpt-5.2", "max_completion_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("openai/gpt-5-mini", "max_completion_tokens"),
        ("gpt-oss:20b", "max_tokens"),
        ("openai/gpt-oss-120b", "max_tokens"),
        ("qwen3-coder", "max_tokens"),
        ("smollm2", "max_tokens"),
    ],
)
def test_the_limit_of_the_output_has_the_name_that_the_model_takes(model: str, field: str) -> None:
    """OpenAI's models refuse max_tokens or are to be asked without; other servers may not know the newer field."""
    assert orjson.loads(translate({"messages": [], "max_tokens": 9}, model).body)[field] == 9


@pytest.mark.parametrize(
    ("model", "sent"), [("gpt-5.2", "high"), ("gpt-oss:20b", "high"), ("gpt-4o", None), ("small", None)]
)
def test_effort_goes_only_to_models_that_take_it(model: str, sent: str | None) -> None:
    """Claude Code always sends an effort; models that do not reason refuse requests with one."""
    result = translate({"messages": [], "output_config": {"effort": "max"}}, model)
    assert orjson.loads(result.body).get("reasoning_effort") == sent
    assert ("output_config.effort" in result.dropped) is (sent is None)


def test_reasoning_goes_back_to_the_model_that_it_came_from_and_to_no_other() -> None:
    """A thinking block is kept whole for its own model, and left out for others, never made text."""
    found = translation("anthropic.messages", "openai")
    assert found is not None
    asked = translate({"messages": [], "thinking": {"type": "adaptive"}}, "deep")
    answer = orjson.loads(
        asked.answer(orjson.dumps({"choices": [{"message": {"content": "4", "reasoning_content": "2+2"}}]}))
    )
    request = {"messages": [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": "sure?"}]}
    turn, _ = orjson.loads(translate(request, "deep").body)["messages"]
    assert turn == {"role": "assistant", "content": "4", "reasoning_content": "2+2"}
    other = translate(request, "small")
    assert orjson.loads(other.body)["messages"][0] == {"role": "assistant", "content": "4"}
    assert other.dropped == ("messages[].content[].thinking",)


OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (OBJECT, True),
        ({**OBJECT, "required": []}, False),
        ({**OBJECT, "additionalProperties": True}, False),
        ({**OBJECT, "properties": {"a": {"type": "array", "items": {**OBJECT, "required": []}}}}, False),
        ({"anyOf": [OBJECT, {"type": "string"}]}, True),
        ({"type": "object", "properties": {"a": {}}}, False),
    ],
)
def test_a_schema_is_strict_where_openai_takes_it_so(schema: dict[str, Any], strict: bool) -> None:
    """Anthropic allows optional properties; OpenAI refuses them in a strict schema."""
    shape = {"format": {"type": "json_schema", "schema": schema}}
    body = orjson.loads(translate({"messages": [], "output_config": shape}).body)
    assert body["response_format"]["json_schema"] == {"name": "answer", "strict": strict, "schema": schema}
