"""Parses a whole answer of chat/completions, for the two APIs that it is translated to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.llm.translate.translation import BadAnswer
from gateway.llm.translate.writing import answer_document


def first_choice(body: bytes) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The answer, its first choice, and the message of that. Raises BadAnswer."""
    document = answer_document(body)
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise BadAnswer("The provider's answer has no message.")
    return document, choice, message


def text_of(content: object) -> str:
    """Text, also where a server writes it in parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def calls_of(message: dict[str, Any]) -> Iterator[tuple[object, str, object]]:
    """Id, name and arguments of each call of a tool. Raises BadAnswer."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadAnswer("The provider's answer has a call of a tool without a name.")
        yield call.get("id"), function["name"], function.get("arguments")
