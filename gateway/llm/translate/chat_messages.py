"""Messages of a chat/completions request in the making: calls of tools directly followed by their results."""

from __future__ import annotations

from typing import Any

PLACE_OF_IMAGES = "(The images of this result are in the next message.)"


class ChatMessages:
    """Takes what was said in order. Other messages that stand between calls and results follow the results.

    With `merge`, messages of the user that follow each other become one, as Anthropic reads them.
    """

    __slots__ = ("_late", "_merge", "_messages", "_open", "_said", "_turn")

    def __init__(self, *, merge: bool) -> None:
        self._merge = merge
        self._messages: list[dict[str, Any]] = []
        self._turn: dict[str, Any] | None = None
        self._said: list[str] = []  # the text of the turn
        self._open: set[str] = set()
        self._late: list[dict[str, Any]] = []

    def say(self, role: str, content: str | list[dict[str, Any]]) -> None:
        """A message of the user, system or developer."""
        self._end_turn()
        target = self._late if self._open else self._messages
        before = target[-1] if target else None
        if self._merge and before is not None and before["role"] == role == "user":
            if isinstance(before["content"], str):
                before["content"] = _parts(before["content"])
            before["content"] += _parts(content)
        else:
            target.append({"role": role, "content": content})

    def text(self, text: str) -> None:
        """Text of the assistant's turn; more of it continues the same message."""
        self._assistant()
        self._said.append(text)

    def message(self, text: str) -> None:
        """A message of the assistant, which begins a turn of its own unless calls of tools stand before it."""
        if self._said and self._turn is not None and "tool_calls" not in self._turn:
            self._end_turn()
        self.text(text)

    def reasoning(self, field: str, text: str) -> None:
        """Reasoning of the turn, in the field that its server has for it."""
        turn = self._assistant()
        turn[field] = turn.get(field, "") + text

    def call(self, identifier: str, name: str, arguments: str) -> None:
        """A call of a tool in the assistant's turn."""
        calls = self._assistant().setdefault("tool_calls", [])
        calls.append({"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}})
        self._open.add(identifier)

    def result(self, identifier: str, text: str, images: list[dict[str, Any]]) -> None:
        """The result of a call. These messages are text only: images follow in one of the user."""
        self._end_turn()
        self._messages.append(
            {"role": "tool", "tool_call_id": identifier, "content": text or (PLACE_OF_IMAGES if images else "")}
        )
        self._open.discard(identifier)
        if images:
            self._late.append({"role": "user", "content": images})
        if not self._open:
            self._say_late()

    def all(self) -> list[dict[str, Any]]:
        """The messages."""
        self._end_turn()
        self._say_late()
        return self._messages

    def _assistant(self) -> dict[str, Any]:
        if self._turn is None:
            self._say_late()
            self._open.clear()
            self._turn = {"role": "assistant", "content": None}
        return self._turn

    def _end_turn(self) -> None:
        if self._turn is not None:
            self._turn["content"] = "".join(self._said) if self._said else None
            self._said.clear()
            self._messages.append(self._turn)
            self._turn = None

    def _say_late(self) -> None:
        self._messages += self._late
        self._late.clear()


def joined(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Content of a message: one text as text, which every server takes, anything else as parts."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
