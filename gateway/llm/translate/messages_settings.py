"""Translates settings of Messages beside its messages: tools, thinking, the format of the answer."""

from __future__ import annotations

from typing import Any

from gateway.llm.translate import model_names
from gateway.llm.translate.reading import NO_SUCH_TOOL, Fields

_THINKING = frozenset({"enabled", "adaptive", "between_tools"})
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def set_tools(fields: Fields, body: dict[str, Any]) -> None:
    """Set the tools, and which of them may or must be called."""
    tools = [tool for one in fields.objects("tools") if (tool := _tool(one)) is not None]
    choice = fields.object("tool_choice")
    if tools:
        body["tools"] = tools
    if choice is None:
        return
    kind = choice.needed_text("type")
    if kind == "tool":
        name = choice.needed_text("name")
        if not any(tool["function"]["name"] == name for tool in tools):
            fields.notes.refuse(choice.at("name"), NO_SUCH_TOOL)
        body["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif kind not in _CHOICES:
        fields.notes.unsupported(choice.at("type"), kind)
    elif tools:
        body["tool_choice"] = _CHOICES[kind]
    if choice.truth("disable_parallel_tool_use") and tools:
        body["parallel_tool_calls"] = False
    choice.end()


def _tool(tool: Fields) -> dict[str, Any] | None:
    kind = tool.text("type") or "custom"
    if kind != "custom":
        tool.notes.unsupported(tool.at("type"), f"{kind} is a tool of Anthropic's own")
        return None
    function: dict[str, Any] = {"name": tool.needed_text("name")}
    if (description := tool.text("description")) is not None:
        function["description"] = description
    if (schema := tool.mapping("input_schema")) is not None:
        function["parameters"] = schema
    if (strict := tool.truth("strict")) is not None:
        function["strict"] = strict
    callers = tool.array("allowed_callers")
    if callers and "direct" not in callers:
        tool.notes.unsupported(tool.at("allowed_callers"))
    tool.harmless("cache_control", "defer_loading", "eager_input_streaming", "input_examples")
    tool.end()
    return {"type": "function", "function": function}


def set_thinking(fields: Fields, body: dict[str, Any], model: str) -> bool:
    """Whether the client wants to see reasoning; sets how much of it there is, for models that support it."""
    output = fields.object("output_config")
    shape = fields.object("output_format")
    effort = None
    if output is not None:
        effort = output.text("effort")
        shape = output.object("format") or shape
        output.harmless("task_budget")
        output.end()
    if shape is not None:
        _shape(shape, body)
    thinking = fields.object("thinking")
    kind = None if thinking is None else thinking.needed_text("type")
    if thinking is not None and kind in _THINKING and effort is None:
        budget = thinking.integer("budget_tokens")
        if budget is None:
            effort = None
        elif budget <= 2048:
            effort = "low"
        else:
            effort = "medium" if budget <= 8192 else "high"
    if effort is not None and model_names.takes_effort(model):
        body["reasoning_effort"] = effort if effort in {"low", "medium"} else "high"
    else:
        if kind in _THINKING:
            fields.notes.harmless("thinking")
        if output is not None and output.has("effort"):
            fields.notes.harmless("output_config.effort")
    return thinking is not None and kind in _THINKING and thinking.raw("display") != "omitted"


def _shape(shape: Fields, body: dict[str, Any]) -> None:
    kind = shape.needed_text("type")
    if kind != "json_schema":
        shape.notes.unsupported(shape.at("type"), kind)
        return
    schema = shape.mapping("schema") or {}
    described = {"name": "answer", "strict": is_strict(schema), "schema": schema}
    body["response_format"] = {"type": "json_schema", "json_schema": described}
    shape.end()


def is_strict(schema: dict[str, Any]) -> bool:
    """Whether OpenAI enforces a schema: all properties of each object are required, and no others are allowed."""
    left: list[Any] = [schema]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value.values()
            properties, required = value.get("properties"), value.get("required")
            if value.get("type") != "object" or not isinstance(properties, dict):
                continue
            if value.get("additionalProperties") is not False or not isinstance(required, list):
                return False
            if not properties.keys() <= {name for name in required if isinstance(name, str)}:
                return False
    return True
