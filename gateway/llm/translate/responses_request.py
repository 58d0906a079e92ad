"""A request of OpenAI's Responses API as one of its chat/completions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gateway.llm.translate import model_names, reasoning
from gateway.llm.translate.chat_messages import ChatMessages, joined
from gateway.llm.translate.chat_stream import ChatStream
from gateway.llm.translate.reading import NO_SUCH_TOOL, Fields, Notes, malformed
from gateway.llm.translate.responses_answer import Asked, ResponsesWriter, whole_answer
from gateway.llm.translate.translation import Translated
from gateway.llm.translate.writing import request_body

# Fields that choose how the provider works, not what it answers. Codex sends some with every request.
_HARMLESS = (
    "client_metadata",
    "context_management",
    "max_tool_calls",
    "prompt_cache_options",
    "prompt_cache_retention",
    "stream_options",
    "truncation",
)
# What OpenAI's own service takes in chat/completions, too, and others may refuse.
_OPENAI_ONLY = ("prompt_cache_key", "safety_identifier", "service_tier", "user")
# State that is kept at the provider: without it, another question would be answered.
_STATE = ("background", "conversation", "previous_response_id", "prompt")
_NO_STATE = "translated requests have no state at the provider; send the whole conversation"
# Fields of a request that its response has, too, and what they are where the request has none.
_REPEATED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
}
_SEALED = "reasoning.encrypted_content"
_MOST_NAME = 64


def translate(document: Mapping[str, Any], model: str, *, drop: bool = False) -> Translated:
    """A request of Responses as one of chat/completions."""
    notes = Notes(drop=drop)
    fields = Fields(document, "", notes)
    fields.default("background", False)
    fields.default("service_tier", "auto")
    fields.default("store", False)
    fields.default("top_logprobs", 0)
    fields.default("truncation", "disabled")
    fields.refused(*_STATE, why=_NO_STATE)
    fields.ignored("model")
    fields.mapping("metadata")
    body: dict[str, Any] = {"model": model, "messages": _messages(fields, model)}
    if (limit := fields.integer("max_output_tokens")) is not None:
        body[model_names.limit_field(model)] = limit
    for name in ("temperature", "top_p"):
        if (value := fields.number(name)) is not None:
            body[name] = value
    namespaces = _tools(fields, body)
    summarizes = _reasoning(fields, body)
    _text_settings(fields, body, model)
    if fields.truth("stream"):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if model_names.is_openai(model):
        body |= {name: text for name in _OPENAI_ONLY if (text := fields.text(name)) is not None}
    fields.harmless("store", *_OPENAI_ONLY)
    included = set(fields.texts("include"))
    if included - {_SEALED}:
        notes.harmless("include")
    fields.harmless(*_HARMLESS)
    fields.end()
    given = {name: value for name in _REPEATED if (value := document.get(name)) is not None}
    repeated = {**_REPEATED, **given, "store": False}
    request_body({"event": {"response": repeated}})  # raises for what events could not repeat
    asked = Asked(model, repeated, namespaces, summarizes, _SEALED in included)
    return Translated(
        request_body(body),
        notes.dropped(),
        lambda answer: whole_answer(answer, asked),
        lambda: ChatStream(ResponsesWriter(asked)),
    )


def _messages(fields: Fields, model: str) -> list[dict[str, Any]]:
    messages = ChatMessages(merge=False)
    if instructions := fields.text("instructions"):
        messages.say("system", instructions)
    given = fields.raw("input")
    if isinstance(given, str):
        messages.say("user", given)
        return messages.all()
    for item in fields.objects("input"):
        kind = item.text("type") or "message"
        if kind in _ITEMS:
            _ITEMS[kind](item, messages, model)
        else:
            item.notes.unsupported(item.at("type"), kind)
    return messages.all()


def _message(item: Fields, messages: ChatMessages, model: str) -> None:
    role = item.needed_text("role")
    content = item.raw("content")
    item.ignored("id", "status", "phase")
    if content is None:
        raise malformed(item.at("content"), "text or a list of parts")
    if role not in {"user", "system", "developer", "assistant"}:
        raise malformed(item.at("role"), "user, assistant, system or developer")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else _parts(item, "content")
    item.end()
    if role == "assistant":
        if text := "".join(part["text"] for part in parts if part["type"] == "text"):
            messages.message(text)
    elif role == "user":
        if parts:
            messages.say("user", joined(parts))
    elif text := "\n\n".join(part["text"] for part in parts if part["type"] == "text"):
        messages.say(role if role == "system" or model_names.is_openai(model) else "system", text)


def _parts(item: Fields, name: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for part in item.objects(name):
        kind = part.needed_text("type")
        part.ignored("annotations", "logprobs")
        part.harmless("prompt_cache_breakpoint")
        if kind in {"input_text", "output_text", "text"}:
            if text := part.needed_text("text"):
                parts.append({"type": "text", "text": text})
        elif kind == "refusal":
            parts.append({"type": "text", "text": part.needed_text("refusal")})
        elif kind == "input_image" and part.has("image_url"):
            image = {"url": part.needed_text("image_url")}
            if (detail := part.text("detail")) is not None:
                image["detail"] = "high" if detail == "original" else detail
            parts.append({"type": "image_url", "image_url": image})
        elif kind == "input_file" and part.has("file_data"):
            file = {"filename": part.text("filename") or "file", "file_data": part.needed_text("file_data")}
            parts.append({"type": "file", "file": file})
            part.ignored("detail")
        else:
            missing = next((at for at in ("file_id", "file_url") if part.has(at)), None)
            part.notes.unsupported(part.at(missing or "type"), "" if missing else kind)
            continue
        part.end()
    return parts


def _call(item: Fields, messages: ChatMessages, _: str) -> None:
    name = flat_name(item.text("namespace"), item.needed_text("name"))
    messages.call(item.needed_text("call_id"), name, item.needed_text("arguments"))
    item.ignored("id", "status", "caller")
    item.end()


def _output(item: Fields, messages: ChatMessages, _: str) -> None:
    output = item.raw("output")
    if output is None:
        raise malformed(item.at("output"), "text or a list of parts")
    parts = [{"type": "text", "text": output}] if isinstance(output, str) else _parts(item, "output")
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    messages.result(item.needed_text("call_id"), text, [part for part in parts if part["type"] != "text"])
    item.ignored("id", "status", "caller", "name", "namespace")
    item.end()


def _reasoning_item(item: Fields, messages: ChatMessages, model: str) -> None:
    """Reasoning goes back whole to the model that it came from, or is left out whole."""
    thought = reasoning.opened(item.raw("encrypted_content"), model)
    if thought is None:
        item.notes.harmless(item.at("reasoning"))
    else:
        messages.reasoning(*thought)


_ITEMS = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _output,
    "reasoning": _reasoning_item,
}


def flat_name(namespace: str | None, name: str) -> str:
    """One name for a tool of a namespace, as chat/completions has no namespaces, and 64 characters for names."""
    if namespace is None:
        return name
    flat = f"{namespace}__{name}"
    if len(flat) <= _MOST_NAME:
        return flat
    return f"{flat[: _MOST_NAME - 9]}_{hashlib.sha256(flat.encode()).hexdigest()[:8]}"


def _tools(fields: Fields, body: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The tools and which may be called; gives namespace and name of those that got one name."""
    tools: list[dict[str, Any]] = []
    namespaces: dict[str, tuple[str, str]] = {}
    for tool in fields.objects("tools"):
        kind = tool.needed_text("type")
        if kind == "function":
            tools.append(_function(tool, None))
        elif kind == "namespace":
            namespace = tool.needed_text("name")
            for member in tool.objects("tools"):
                if member.needed_text("type") != "function":
                    member.notes.unsupported(member.at("type"), member.needed_text("type"))
                    continue
                function = _function(member, namespace)
                namespaces[function["function"]["name"]] = (namespace, member.needed_text("name"))
                tools.append(function)
        elif kind == "web_search" and tool.truth("external_web_access") is False:
            tool.notes.harmless(tool.at("web_search"))
        else:
            tool.notes.unsupported(tool.at("type"), f"tools of the type {kind} are OpenAI's own")
    parallel = fields.truth("parallel_tool_calls")
    choice, tools = _choice(fields, tools)
    if tools:
        body["tools"] = tools
        if choice is not None:
            body["tool_choice"] = choice
        if parallel is False:
            body["parallel_tool_calls"] = False
    return namespaces


def _function(tool: Fields, namespace: str | None) -> dict[str, Any]:
    function: dict[str, Any] = {"name": flat_name(namespace, tool.needed_text("name"))}
    if (description := tool.text("description")) is not None:
        function["description"] = description
    if (parameters := tool.mapping("parameters")) is not None:
        function["parameters"] = parameters
    if (strict := tool.truth("strict")) is not None:
        function["strict"] = strict
    tool.ignored("type", "output_schema")
    tool.harmless("defer_loading", "allowed_callers")
    tool.end()
    return {"type": "function", "function": function}


def _choice(fields: Fields, tools: list[dict[str, Any]]) -> tuple[object, list[dict[str, Any]]]:
    given = fields.raw("tool_choice")
    if given is None or isinstance(given, str):
        if given not in {None, "auto", "none", "required"}:
            raise malformed("tool_choice", "auto, none, required or an object")
        return given, tools
    choice = Fields(given, "tool_choice", fields.notes)
    kind = choice.needed_text("type")
    if kind == "function":
        name = flat_name(choice.text("namespace"), choice.needed_text("name"))
        choice.end()
        if not any(tool["function"]["name"] == name for tool in tools):
            fields.notes.refuse(choice.at("name"), NO_SUCH_TOOL)
        return {"type": "function", "function": {"name": name}}, tools
    if kind == "allowed_tools":
        allowed = {flat_name(one.text("namespace"), one.needed_text("name")) for one in choice.objects("tools")}
        mode = choice.needed_text("mode")
        choice.end()
        return mode, [tool for tool in tools if tool["function"]["name"] in allowed]
    fields.notes.unsupported(choice.at("type"), kind)
    return None, tools


def _reasoning(fields: Fields, body: dict[str, Any]) -> bool:
    """Whether the client wants to see reasoning; sets how much of it there is."""
    wanted = fields.object("reasoning")
    if wanted is None:
        return False
    if (effort := wanted.text("effort")) is not None:
        body["reasoning_effort"] = effort
    summary = wanted.text("summary") or wanted.text("generate_summary")
    wanted.harmless("context", "mode")
    wanted.end()
    return summary is not None


def _text_settings(fields: Fields, body: dict[str, Any], model: str) -> None:
    text = fields.object("text")
    if text is None:
        return
    shape = text.object("format")
    if shape is not None:
        kind = shape.needed_text("type")
        if kind == "json_object":
            body["response_format"] = {"type": kind}
        elif kind == "json_schema":
            names = ("name", "description", "schema", "strict")
            schema = {name: value for name in names if (value := shape.raw(name)) is not None}
            body["response_format"] = {"type": kind, "json_schema": schema}
        elif kind != "text":
            shape.notes.unsupported(shape.at("type"), kind)
        shape.end()
    if model_names.is_openai(model) and (verbosity := text.text("verbosity")) is not None:
        body["verbosity"] = verbosity
    text.harmless("verbosity")
    text.end()
