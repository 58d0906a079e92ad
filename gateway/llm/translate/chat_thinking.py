"""Whether a Claude model thinks, for a request of chat/completions: by its effort, or by Anthropic's own field."""

from __future__ import annotations

from typing import Any

from gateway.llm.translate import model_names
from gateway.llm.translate.reading import Fields

_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 16384, "xhigh": 24576, "max": 24576}
_OFF = {"type": "disabled"}


def set_thinking(fields: Fields, body: dict[str, Any], model: str) -> bool:
    """Set it in the request that is made, and say whether thinking is on.

    It cannot be where a tool is forced, or where the last turn has calls without the thinking that led to them: then
    it is left out and listed.
    """
    effort = fields.text("reasoning_effort")
    given = fields.mapping("thinking")
    by_itself = model_names.thinks_by_itself(model)
    thinking = given
    shape: dict[str, str] = {}
    if given is None and effort is not None:
        thinking, shape = _for_effort(effort, model, body["max_tokens"])
    if thinking is not None and thinking.get("type") == "disabled":
        body["thinking"] = thinking
        return False
    if thinking is None or _forced(body) or lacks_thinking(body["messages"]):
        for name, value in (("reasoning_effort", effort), ("thinking", given)):
            if value is not None and value != "none":
                fields.notes.harmless(name)
        return by_itself
    body["thinking"] = thinking
    if shape:
        body["output_config"] = {**body.get("output_config", {}), **shape}
    for name in ("temperature", "top_p"):
        if body.pop(name, 1) != 1:
            fields.notes.harmless(name)
    return True


def _for_effort(effort: str, model: str, limit: int) -> tuple[dict[str, Any] | None, dict[str, str]]:
    if effort == "none":
        return (_OFF if model_names.thinks_by_itself(model) else None), {}
    version = model_names.claude_version(model)
    if version is None or version < (3, 7) or effort not in _BUDGETS:
        return None, {}
    if version >= (4, 6):
        known = {"minimal": "low"} if version >= (4, 7) else {"minimal": "low", "xhigh": "high"}
        return {"type": "adaptive"}, {"effort": known.get(effort, effort)}
    budget = min(_BUDGETS[effort], limit // 2)
    return ({"type": "enabled", "budget_tokens": budget}, {}) if budget >= 1024 else (None, {})


def _forced(body: dict[str, Any]) -> bool:
    choice = body.get("tool_choice")
    return choice is not None and choice["type"] in {"any", "tool"}


def lacks_thinking(messages: list[Any]) -> bool:
    """Whether the last turn of the assistant has calls, and does not begin with its thinking."""
    turns = (message for message in reversed(messages) if isinstance(message, dict))
    content = next((message.get("content") for message in turns if message.get("role") == "assistant"), None)
    kinds = [block.get("type") for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    return "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking")
