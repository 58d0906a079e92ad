"""Requests of Responses as those of chat/completions."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.llm.translate.responses_request import flat_name
from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import CannotTranslate, Malformed, Translated, Unsupported
from tests.llm.translate.support import title, vectors


def translate(request: dict[str, Any], model: str = "small", *, drop: bool = False) -> Translated:
    """A request as a provider with chat/completions gets it."""
    found = translation("openai.responses", "openai")
    assert found is not None
    return found.request(request, model, drop=drop)


@pytest.mark.parametrize("case", vectors("responses_requests"), ids=title)
def test_a_request_says_the_same_in_chat_completions(case: dict[str, Any]) -> None:
    """Each recorded request becomes the recorded one, and lists what was left out as harmless."""
    result = translate(case["request"], case.get("model", "small"))
    assert orjson.loads(result.body) == case["body"]
    assert list(result.dropped) == case.get("dropped", [])


@pytest.mark.parametrize("case", vectors("responses_refused"), ids=title)
def test_a_field_without_an_equivalent_is_refused_by_its_name_or_dropped_and_listed(case: dict[str, Any]) -> None:
    """By default the error names the field; where fields may be dropped, it is listed and the rest is sent."""
    with pytest.raises(Unsupported) as refused:
        translate(case["request"])
    assert refused.value.field == case["field"]
    assert case["field"] in str(refused.value)
    assert case["dropped"] in translate(case["request"], drop=True).dropped


@pytest.mark.parametrize("field", ["previous_response_id", "conversation", "prompt", "background"])
def test_state_at_the_provider_is_refused_even_where_fields_may_be_dropped(field: str) -> None:
    """Without it the model would answer another question, with nothing to show that."""
    with pytest.raises(Unsupported) as refused:
        translate({"input": "And?", field: True}, drop=True)
    assert refused.value.field == field


MALFORMED: list[tuple[Any, str]] = [
    ({"input": 5}, "input"),
    ({"input": ["hi"]}, "input[0]"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
    ({"input": [{"type": "function_call", "call_id": "a", "name": "f"}]}, "input[0].arguments"),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": "a"}]}, "input[0].output"),
    ({"input": "x", "tools": [5]}, "tools[0]"),
    ({"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
    ({"input": "x", "tool_choice": "perhaps"}, "tool_choice"),
    ({"input": "x", "include": "all"}, "include"),
    ({"input": "x", "max_output_tokens": 1.5}, "max_output_tokens"),
    ({"input": "x", "metadata": []}, "metadata"),
    ({"input": "x", "instructions": ["x"]}, "instructions"),
]


@pytest.mark.parametrize(("request_", "field"), MALFORMED, ids=[field for _, field in MALFORMED])
@pytest.mark.parametrize("drop", [False, True])
def test_a_field_of_the_wrong_type_is_refused_by_its_name(request_: Any, field: str, drop: bool) -> None:
    """Wrong types are errors of the client even where unknown fields are dropped."""
    with pytest.raises(Malformed) as refused:
        translate(request_, drop=drop)
    assert refused.value.field == field


def test_what_events_could_not_repeat_is_refused_before_anything_is_sent() -> None:
    """A response repeats fields of its request: those that cannot be written are an error at once."""
    deep: Any = 1
    for _ in range(600):
        deep = [deep]
    with pytest.raises(CannotTranslate):
        translate({"input": "x", "metadata": {"a": deep}})


def test_tools_of_a_namespace_have_one_name_each_of_a_length_that_is_allowed() -> None:
    """Names of chat/completions have 64 characters at most, and must stay different."""
    assert flat_name("mcp__files", "read") == "mcp__files__read"
    long = {flat_name("n" * 40, "t" * 40 + end) for end in "ab"}
    assert len(long) == 2
    assert all(len(name) == 64 for name in long)


def test_reasoning_goes_back_to_the_model_that_it_came_from_and_to_no_other() -> None:
    """What a client sends back of an item of reasoning is its encrypted content: kept whole for its model."""
    asked = translate({"input": "2+2?", "include": ["reasoning.encrypted_content"]}, "deep")
    answer = asked.answer(orjson.dumps({"choices": [{"message": {"content": "4", "reasoning": "2+2"}}]}))
    output = orjson.loads(answer)["output"]
    request = {"input": [*output, {"role": "user", "content": "sure?"}]}
    turn, _ = orjson.loads(translate(request, "deep").body)["messages"]
    assert turn == {"role": "assistant", "content": "4", "reasoning": "2+2"}
    other = translate(request, "small")
    assert orjson.loads(other.body)["messages"][0] == {"role": "assistant", "content": "4"}
    assert other.dropped == ("input[].reasoning",)
