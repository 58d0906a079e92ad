"""Tools that a model must call."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import Unsupported

SEARCH = {"type": "web_search_20250305", "name": "search"}
CASES: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "anthropic.messages",
        "openai",
        {"messages": [], "tools": [SEARCH], "tool_choice": {"type": "tool", "name": "search"}},
        "tool_choice.name",
    ),
    (
        "openai.responses",
        "openai",
        {"input": "x", "tools": [{"type": "local_shell"}], "tool_choice": {"type": "function", "name": "shell"}},
        "tool_choice.name",
    ),
    (
        "openai.chat",
        "anthropic",
        {"messages": [], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice.function.name",
    ),
]


@pytest.mark.parametrize(("source", "protocol", "request_", "field"), CASES, ids=[case[0] for case in CASES])
def test_a_tool_that_must_be_called_must_be_there(source: str, protocol: str, request_: Any, field: str) -> None:
    """Where the tool was dropped, the model cannot be made to call it: that is refused, not forgotten."""
    found = translation(source, protocol)
    assert found is not None
    with pytest.raises(Unsupported) as refused:
        found.request(request_, "small", drop=True)
    assert refused.value.field == field
