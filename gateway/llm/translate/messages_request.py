"""A request of Anthropic's Messages API as one of OpenAI's chat/completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.llm.translate import model_names, reasoning
from gateway.llm.translate.chat_messages import ChatMessages, joined
from gateway.llm.translate.chat_stream import ChatStream
from gateway.llm.translate.messages_answer import Asked, MessagesWriter, whole_answer
from gateway.llm.translate.messages_settings import set_thinking, set_tools
from gateway.llm.translate.reading import Fields, Notes, malformed
from gateway.llm.translate.translation import Translated
from gateway.llm.translate.writing import request_body, request_text

# Fields that choose how the provider works, not what it answers. Claude Code sends most of them with every request.
_HARMLESS = (
    "billing_policy",
    "cache_control",
    "context_management",
    "diagnostics",
    "metadata",
    "service_tier",
    "speed",
    "user_profile_id",
)
# What says nothing where it has this value.
_DEFAULTS: Mapping[str, Any] = {
    "mcp_servers": [],
    "service_tier": "auto",
    "speed": "standard",
    "thinking": {"type": "disabled"},
}
_BILLING = "x-anthropic-billing-header:"


def translate(document: Mapping[str, Any], model: str, *, drop: bool = False) -> Translated:
    """A request of Messages as one of chat/completions."""
    notes = Notes(drop=drop)
    fields = Fields(document, "", notes)
    fields.ignored("model")
    for name, value in _DEFAULTS.items():
        fields.default(name, value)
    messages = ChatMessages(merge=True)
    system = fields.raw("system")
    if system is not None and (text := _text_of(system, fields, "system")):
        messages.say("system", text)
    for message in fields.objects("messages"):
        _message(message, messages, model)
    body: dict[str, Any] = {"model": model, "messages": messages.all()}
    if (limit := fields.integer("max_tokens")) is not None:
        body[model_names.limit_field(model)] = limit
    stops = fields.texts("stop_sequences")
    if stops:
        body["stop"] = stops
    for name in ("temperature", "top_p"):
        if (value := fields.number(name)) is not None:
            body[name] = value
    set_tools(fields, body)
    thinks = set_thinking(fields, body, model)
    if fields.truth("stream"):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    fields.harmless(*_HARMLESS)
    fields.end()
    asked = Asked(model, frozenset(stops), thinks)
    return Translated(
        request_body(body),
        notes.dropped(),
        lambda answer: whole_answer(answer, asked),
        lambda: ChatStream(MessagesWriter(asked)),
    )


def _text_of(value: object, fields: Fields, name: str) -> str:
    """Text that is given as such or as blocks. The first block of Claude Code is a line of accounting, new each time:
    at another provider it would only keep prompts from being cached."""
    if isinstance(value, str):
        return value
    texts = []
    for index, block in enumerate(fields.objects(name)):
        kind = block.needed_text("type")
        if kind != "text":
            fields.notes.unsupported(block.at("type"), kind)
            continue
        text = block.needed_text("text")
        if index == 0 and text.startswith(_BILLING):
            fields.notes.harmless(block.place)
        elif text:
            texts.append(text)
        block.harmless("cache_control", "citations")
        block.end()
    return "\n\n".join(texts)


def _message(message: Fields, messages: ChatMessages, model: str) -> None:
    role = message.needed_text("role")
    content = message.raw("content")
    if content is None:
        raise malformed(message.at("content"), "text or a list of blocks")
    if role == "user":
        _user(message, content, messages)
    elif role == "assistant":
        _assistant(message, content, messages, model)
    elif role == "system":
        if text := _text_of(content, message, "content"):
            messages.say("system", text)
        message.harmless("output_config")
    else:
        raise malformed(message.at("role"), "user, assistant or system")
    message.end()


def _user(message: Fields, content: object, messages: ChatMessages) -> None:
    if isinstance(content, str):
        messages.say("user", content)
        return
    parts: list[dict[str, Any]] = []
    for block in message.objects("content"):
        if block.raw("type") == "tool_result":
            texts, images = _result(block)
            messages.result(block.needed_text("tool_use_id"), "\n".join(texts), images)
            block.harmless("cache_control", "is_error", "toolset_name")
            block.end()
        else:
            parts += _parts(block)
    if parts:
        messages.say("user", joined(parts))


def _result(block: Fields) -> tuple[list[str], list[dict[str, Any]]]:
    content = block.raw("content")
    if content is None or isinstance(content, str):
        return [content or ""], []
    parts = [part for one in block.objects("content") for part in _parts(one)]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return texts, [part for part in parts if part["type"] != "text"]


def _parts(block: Fields, *, inside: bool = False) -> list[dict[str, Any]]:
    """A block of a user's message as parts of one: several for a document made of blocks, which has none `inside`."""
    kind = block.needed_text("type")
    block.harmless("cache_control")
    if kind == "text":
        text = block.needed_text("text")
        block.harmless("citations")
        block.end()
        return [{"type": "text", "text": text}] if text else []
    if kind == "tool_reference":
        # Where tools are found by a search: all of them are sent, so that its name says enough.
        parts = [{"type": "text", "text": block.needed_text("tool_name")}]
        block.end()
        return parts
    source = block.object("source") if kind == "image" or (kind == "document" and not inside) else None
    if source is None:
        block.notes.unsupported(block.at("type"), kind)
        return []
    parts = _image(source) if kind == "image" else _document(block, source)
    block.harmless("transformations")
    block.end()
    return parts


def _image(source: Fields) -> list[dict[str, Any]]:
    kind = source.needed_text("type")
    if kind == "base64":
        address = f"data:{source.needed_text('media_type')};base64,{source.needed_text('data')}"
    elif kind == "url":
        address = source.needed_text("url")
    else:
        source.notes.unsupported(source.at("type"), kind)
        return []
    source.end()
    return [{"type": "image_url", "image_url": {"url": address}}]


def _document(block: Fields, source: Fields) -> list[dict[str, Any]]:
    title = block.text("title")
    citations = block.object("citations")
    if citations is not None and citations.truth("enabled"):
        block.notes.unsupported(citations.place)
    block.unsupported("context")
    kind = source.needed_text("type")
    if kind == "base64":
        address = f"data:{source.needed_text('media_type')};base64,{source.needed_text('data')}"
        parts = [{"type": "file", "file": {"filename": title or "document.pdf", "file_data": address}}]
    elif kind == "text":
        source.ignored("media_type")
        parts = [{"type": "text", "text": source.needed_text("data")}]
    elif kind == "content":
        content = source.raw("content")
        if isinstance(content, str):
            parts = [{"type": "text", "text": content}]
        else:
            parts = [part for one in source.objects("content") for part in _parts(one, inside=True)]
    else:
        source.notes.unsupported(source.at("type"), kind)
        return []
    source.end()
    return parts


def _assistant(message: Fields, content: object, messages: ChatMessages, model: str) -> None:
    if isinstance(content, str):
        if content:
            messages.text(content)
        return
    for block in message.objects("content"):
        kind = block.needed_text("type")
        if kind == "text":
            if text := block.needed_text("text"):
                messages.text(text)
            block.harmless("citations")
        elif kind == "tool_use":
            given = block.mapping("input")
            messages.call(block.needed_text("id"), block.needed_text("name"), request_text(given or {}))
            block.harmless("caller", "toolset_name")
        elif kind in {"thinking", "redacted_thinking"}:
            field = reasoning.field_for(block.raw("signature"), model)
            if field is not None and (thought := block.text("thinking")):
                messages.reasoning(field, thought)
            else:
                block.notes.harmless(block.at("thinking"))
            continue
        else:
            block.notes.unsupported(block.at("type"), kind)
            continue
        block.harmless("cache_control")
        block.end()
