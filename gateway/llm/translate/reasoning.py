"""Reasoning of models behind chat/completions, as a whole: out in a thinking block, and back to the model it came from.

Some of these models want their reasoning back while they use tools. The signature of the block says which field it was
and of which model; reasoning of any other origin is left out of requests, as no other model can use it.
"""

from __future__ import annotations

import base64
from typing import Any

from gateway.llm.translate.writing import event_document, written

_MARK = "chat-reasoning:"
SIGNED = base64.b64encode(_MARK.encode())
SEALED = base64.b64encode(b'{"' + _MARK.encode())[:20]
"""How what stands in place of signatures begins, and of encrypted reasoning."""

FIELDS = ("reasoning_content", "reasoning")


def signature(field: str, model: str) -> str:
    """The replacement of a signature."""
    return base64.b64encode(f"{_MARK}{field}:{model}".encode()).decode()


def field_for(given: object, model: str) -> str | None:
    """The field of a message in which this reasoning goes back to the model; None if it must not."""
    if not isinstance(given, str):
        return None
    return next((field for field in FIELDS if given == signature(field, model)), None)


def sealed(field: str, model: str, text: str) -> str:
    """The replacement of encrypted reasoning in Responses: clients send back nothing else of it."""
    return base64.b64encode(written({_MARK: [field, model, text]})).decode()


def opened(given: object, model: str) -> tuple[str, str] | None:
    """The field and text of reasoning that goes back to the model; None if it must not."""
    found = unsealed(given)
    return (found[0], found[2]) if found is not None and found[1] == model else None


def unsealed(given: object) -> tuple[str, str, str] | None:
    """The field, the model and the text of what `sealed` made; None of anything else."""
    if not isinstance(given, str):
        return None
    try:
        field, model, text = (event_document(base64.b64decode(given, validate=True)) or {})[_MARK]
    except (ValueError, TypeError, KeyError):
        return None
    return (field, model, text) if field in FIELDS and isinstance(model, str) and isinstance(text, str) else None


def of_delta(delta: dict[str, Any]) -> tuple[str, str] | None:
    """The field and text of reasoning in a message or a part of one."""
    for field in FIELDS:
        text = delta.get(field)
        if isinstance(text, str) and text:
            return field, text
    return None
