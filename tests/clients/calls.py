"""What is asked of each SDK: the same in Python and in JavaScript, but for the names of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LANGUAGES = ("python", "node")
SAID = [{"role": "user", "content": "hello there, all of you"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
ANSWERED = [
    {"role": "user", "content": "ask the weather"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
]
RESULT = [
    {"role": "user", "content": "ask the weather"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}]},
]


@dataclass(frozen=True, slots=True)
class Call:
    """A method of an SDK and its arguments; `only`: the language that has it."""

    sdk: str
    method: str
    arguments: Mapping[str, Any]
    only: str = ""

    def __str__(self) -> str:
        return f"{self.sdk}.{self.method}"


def chat(**more: Any) -> Call:
    return Call("openai", "chat.completions.create", {"model": "small", "messages": SAID, **more})


def responses(**more: Any) -> Call:
    return Call("openai", "responses.create", {"model": "small", "input": "hello there", **more})


def messages(**more: Any) -> Call:
    return Call("anthropic", "messages.create", {"model": "small", "max_tokens": 64, "messages": SAID, **more})


def gemini(method: str, **more: Any) -> Call:
    return Call("gemini", f"models.{method}", {"model": "small", "contents": "hello there", **more}, only="python")


TOOL = {"name": "weather", "input_schema": SCHEMA}
GEMINI_TOOLS = {"tools": [{"function_declarations": [{"name": "weather", "parameters_json_schema": SCHEMA}]}]}
WHOLE: Mapping[str, Call] = {
    "chat": chat(),
    "chat with a limit": chat(max_completion_tokens=3),
    "chat, two choices": chat(n=2),
    "chat with tools": chat(tools=[FUNCTION], tool_choice="required"),
    "chat after a tool": chat(messages=ANSWERED, tools=[FUNCTION]),
    "completions": Call("openai", "completions.create", {"model": "small", "prompt": "hello there"}),
    "responses": responses(),
    "responses with tools": responses(
        tools=[{"type": "function", "name": "weather", "parameters": SCHEMA}], tool_choice="required"
    ),
    "embeddings": Call("openai", "embeddings.create", {"model": "embed", "input": ["hello", "there"]}),
    "moderations": Call("openai", "moderations.create", {"model": "small", "input": "a flag"}),
    "images": Call("openai", "images.generate", {"model": "small", "prompt": "a dot"}),
    "messages": messages(),
    "messages, thinking": messages(model="small+think"),
    "messages with tools": messages(tools=[TOOL], tool_choice={"type": "any"}),
    "messages after a tool": messages(messages=RESULT, tools=[TOOL]),
    "count_tokens": Call("anthropic", "messages.count_tokens", {"model": "small", "messages": SAID}, only="python"),
    "countTokens": Call("anthropic", "messages.countTokens", {"model": "small", "messages": SAID}, only="node"),
    "gemini": gemini("generate_content"),
    "gemini with tools": gemini("generate_content", contents="ask the weather", config={**GEMINI_TOOLS}),
    "gemini count": gemini("count_tokens"),
    "gemini embed": gemini("embed_content", model="embed"),
}
STREAMED: Mapping[str, Call] = {
    "chat": chat(**USAGE),
    "chat without usage": chat(stream=True),
    "chat, two choices": chat(n=2, **USAGE),
    "chat with tools": chat(tools=[FUNCTION], tool_choice="required", **USAGE),
    "completions": Call("openai", "completions.create", {"model": "small", "prompt": "hello there", **USAGE}),
    "responses": responses(stream=True),
    "responses, thinking": responses(model="small+think", stream=True),
    "responses with tools": responses(
        tools=[{"type": "function", "name": "weather", "parameters": SCHEMA}], tool_choice="required", stream=True
    ),
    "messages": messages(stream=True),
    "messages, thinking": messages(model="small+think", stream=True),
    "messages with tools": messages(tools=[TOOL], tool_choice={"type": "any"}, stream=True),
    "gemini": gemini("generate_content_stream"),
}


def cases(calls: Mapping[str, Call]) -> Sequence[tuple[str, str]]:
    """Parameters of a test: each language, with the names of the calls that its SDKs have."""
    return [(each, name) for each in LANGUAGES for name, call in calls.items() if call.only in {"", each}]
