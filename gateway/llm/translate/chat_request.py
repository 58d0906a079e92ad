"""A request of OpenAI's chat/completions as one of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.llm.translate import model_names
from gateway.llm.translate.chat_answer import Asked, MessagesStream, whole_answer
from gateway.llm.translate.chat_thinking import set_thinking
from gateway.llm.translate.message_turns import Turns
from gateway.llm.translate.reading import NO_SUCH_TOOL, Fields, Notes, malformed
from gateway.llm.translate.translation import Translated
from gateway.llm.translate.writing import request_body

# Fields that choose how the provider works, not what it answers.
_HARMLESS = (
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
    "store",
    "stream_options",
    "verbosity",
)
# What says nothing where it has these values.
_DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0, 0.0),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0, 0.0),
    "service_tier": ("auto",),
    "store": (False,),
    "top_logprobs": (0,),
    "top_p": (1, 1.0),
}
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_MOST_USER = 256


def translate(document: Mapping[str, Any], model: str, *, drop: bool = False) -> Translated:
    """A request of chat/completions as one of Messages."""
    notes = Notes(drop=drop)
    fields = Fields(document, "", notes)
    for name, values in _DEFAULTS.items():
        fields.default(name, *values)
    fields.refused("n", why="one answer is all that it gives")
    fields.ignored("model")
    turns = Turns()
    for message in fields.objects("messages"):
        turns.add(message)
    body: dict[str, Any] = {"model": model, "max_tokens": _limit(fields, model)}
    if system := turns.system():
        body["system"] = system
    body["messages"] = turns.messages()
    _sampling(fields, body, model)
    _tools(fields, body, turns, model)
    # Both APIs take a name without meaning for the user, to find abuse.
    names = [fields.text("safety_identifier"), fields.text("user")]
    user = next((name for name in names if name and len(name) <= _MOST_USER), None)
    if user is not None:
        body["metadata"] = {"user_id": user}
    _shape(fields, body)
    thinks = set_thinking(fields, body, model)
    if streams := fields.truth("stream"):
        body["stream"] = True
    counts = _counts(fields)
    fields.harmless(*_HARMLESS)
    fields.end()
    asked = Asked(model, thinks, bool(streams) and counts)
    return Translated(
        request_body(body),
        notes.dropped(),
        lambda answer: whole_answer(answer, asked),
        lambda: MessagesStream(asked),
    )


def _limit(fields: Fields, model: str) -> int:
    old = fields.integer("max_tokens")
    new = fields.integer("max_completion_tokens")
    limit = new if new is not None else old
    return limit if limit is not None else model_names.default_output_limit(model)


def _counts(fields: Fields) -> bool:
    options = fields.object("stream_options")
    if options is None:
        return False
    counts = options.truth("include_usage")
    options.harmless("include_obfuscation")
    options.end()
    return bool(counts)


def _sampling(fields: Fields, body: dict[str, Any], model: str) -> None:
    temperature, top_p = fields.number("temperature"), fields.number("top_p")
    takes_any, takes_both = model_names.takes_sampling(model)
    if temperature is not None and (temperature > 1 or not takes_any):
        fields.notes.harmless("temperature")
    if temperature is not None and takes_any:
        body["temperature"] = min(temperature, 1)
    if top_p is not None and top_p != 1:
        if takes_any and (temperature is None or takes_both):
            body["top_p"] = top_p
        else:
            fields.notes.harmless("top_p")
    stop = fields.raw("stop")
    stops = [stop] if isinstance(stop, str) else fields.texts("stop")
    for index, sequence in enumerate(stops):
        if not sequence.strip():
            fields.notes.unsupported(f"stop[{index}]", "sequences of nothing but white space are refused")
    if stops := [sequence for sequence in stops if sequence.strip()]:
        body["stop_sequences"] = stops


def _shape(fields: Fields, body: dict[str, Any]) -> None:
    shape = fields.object("response_format")
    if shape is None:
        return
    kind = shape.needed_text("type")
    if kind == "json_schema":
        described = shape.object("json_schema")
        if described is None:
            raise malformed(shape.at("json_schema"), "an object")
        body["output_config"] = {"format": {"type": "json_schema", "schema": described.mapping("schema") or {}}}
        described.ignored("name", "description", "strict")
        described.end()
    elif kind != "text":
        shape.notes.unsupported(shape.at("type"), kind)
    shape.end()


def _tools(fields: Fields, body: dict[str, Any], turns: Turns, model: str) -> None:
    tools = [tool for one in fields.objects("tools") if (tool := _tool(one, model)) is not None]
    choice, tools = _choice(fields, tools)
    if fields.truth("parallel_tool_calls") is False and tools:
        choice = {"type": "auto"} if choice is None else choice
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    if not tools and (used := turns.tools_used()):
        # Calls in the conversation need their tools, even where none may be called any more.
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in used]
        choice = {"type": "none"}
    if tools:
        body["tools"] = tools
        if choice is not None:
            body["tool_choice"] = choice


def _tool(tool: Fields, model: str) -> dict[str, Any] | None:
    kind = tool.needed_text("type")
    if kind != "function":
        tool.notes.unsupported(tool.at("type"), kind)
        return None
    function = tool.object("function")
    if function is None:
        raise malformed(tool.at("function"), "an object")
    schema = function.mapping("parameters") or {"properties": {}}
    made: dict[str, Any] = {"name": function.needed_text("name"), "input_schema": {"type": "object", **schema}}
    if description := function.text("description"):
        made["description"] = description
    if function.truth("strict"):
        if model_names.takes_strict_tools(model):
            made["strict"] = True
        else:
            function.notes.harmless(function.at("strict"))
    if (hint := tool.mapping("cache_control")) is not None:
        made["cache_control"] = hint
    function.end()
    tool.end()
    return made


def _choice(fields: Fields, tools: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    given = fields.raw("tool_choice")
    if given is None:
        return None, tools
    if isinstance(given, str):
        if given not in _CHOICES:
            raise malformed("tool_choice", "auto, none, required or an object")
        return {"type": _CHOICES[given]}, tools
    choice = Fields(given, "tool_choice", fields.notes)
    kind = choice.needed_text("type")
    inner = choice.object(kind) if kind in {"function", "allowed_tools"} else None
    if inner is None:
        fields.notes.unsupported(choice.at("type"), kind)
        return None, tools
    choice.end()
    if kind == "function":
        name = inner.needed_text("name")
        if not any(tool["name"] == name for tool in tools):
            fields.notes.refuse(inner.at("name"), NO_SUCH_TOOL)
        return {"type": "tool", "name": name}, tools
    named = [one.object("function") for one in inner.objects("tools")]
    allowed = {one.needed_text("name") for one in named if one is not None}
    mode = _CHOICES.get(inner.needed_text("mode"), "auto")
    return {"type": mode}, [tool for tool in tools if tool["name"] in allowed]
