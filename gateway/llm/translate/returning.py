"""Conversations that went through a translation, on their way to a provider that has the client's API.

The reasoning that a translation handed out has no signature that such a provider could check: it refuses the whole
conversation. So it is taken out, and thinking with it where a turn would have to begin with it.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.llm import splice
from gateway.llm.translate import reasoning
from gateway.llm.translate.chat_thinking import lacks_thinking
from gateway.llm.translate.writing import event_document, written


def without_translated(api: str, body: bytes) -> bytes:
    """The body without such reasoning, and otherwise as it was. Others pass untouched, at little cost."""
    mark, change = _APIS.get(api, (None, _messages))
    if mark is None or mark not in body:
        return body
    document = event_document(body)
    changed = {} if document is None else change(document)
    values: list[tuple[splice.Span, bytes]] = []
    try:
        for name, value in changed.items():
            new = written(value)
            values += [(span, new) for span in splice.places(body, name, value)]
    except (orjson.JSONEncodeError, splice.TooManyError):
        return body  # no conversation is so deep or long: the provider will say what is wrong with it
    return splice.replaced(body, values)


def _messages(document: dict[str, Any]) -> dict[str, Any]:
    kept: list[Any] = []
    found = False
    for message in _list(document, "messages"):
        content = message.get("content") if isinstance(message, dict) else None
        blocks = (
            [block for block in content if not _is_marked(block, "signature", reasoning.SIGNED)]
            if isinstance(content, list)
            else []
        )
        if not isinstance(content, list) or len(blocks) == len(content):
            kept.append(message)
            continue
        found = True
        if blocks:
            kept.append({**message, "content": blocks})
    if not found:
        return {}
    changed: dict[str, Any] = {"messages": kept}
    thinking, management = document.get("thinking"), document.get("context_management")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled" and lacks_thinking(kept):
        changed["thinking"] = {"type": "disabled"}
        if isinstance(management, dict):
            edits = [
                edit
                for edit in _list(management, "edits")
                if not (isinstance(edit, dict) and str(edit.get("type")).startswith("clear_thinking"))
            ]
            changed["context_management"] = {**management, "edits": edits}
    return changed


def _items(document: dict[str, Any]) -> dict[str, Any]:
    items = _list(document, "input")
    kept = [item for item in items if not _is_marked(item, "encrypted_content", reasoning.SEALED)]
    return {} if len(kept) == len(items) else {"input": kept}


_APIS = {"anthropic.messages": (reasoning.SIGNED, _messages), "openai.responses": (reasoning.SEALED, _items)}


def _list(document: dict[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else []


def _is_marked(block: object, name: str, mark: bytes) -> bool:
    value = block.get(name) if isinstance(block, dict) else None
    return isinstance(value, str) and value.startswith(mark.decode())
