"""Which tools of a server may be called, and lists of tools without the others."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from gateway.mcp.json_text import Change, elements, joined, members
from gateway.mcp.messages import Message, folded

LONGEST_NAME: Final = 1000  # characters


class Patterns:
    """Names, in which `*` stands for any text, and everything else for itself in this letter case."""

    __slots__ = ("_expressions", "_folded")

    def __init__(self, patterns: Collection[str]) -> None:
        self._expressions = [re.compile(_expression(pattern), re.DOTALL) for pattern in patterns]
        self._folded = [re.compile(_expression(folded(pattern)), re.DOTALL) for pattern in patterns]

    def first(self, name: str) -> int | None:
        """The number of the first that fits."""
        fitting = (number for number, each in enumerate(self._expressions) if each.fullmatch(name))
        return next(fitting, None)

    def first_for_all_readers(self, name: str) -> int | None:
        """The same, or of the first that fits for a server that ignores letter case, width and spelling."""
        found = self.first(name)
        if found is not None or len(name) > LONGEST_NAME:
            return found
        name = folded(name)
        fitting = (number for number, each in enumerate(self._folded) if each.fullmatch(name))
        return next(fitting, None)


def _expression(pattern: str) -> str:
    """Each piece is looked for once, as far left as it can be: nothing is tried again."""
    head, *rest = map(re.escape, pattern.split("*"))
    if not rest:
        return head
    return head + "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece) + f".*{rest[-1]}"


class Allowed:
    """`allow` and `deny` of a server. What is allowed is so in this letter case; what is denied, in any."""

    __slots__ = ("_allow", "_deny", "all")

    def __init__(self, allow: Sequence[str] | None, deny: Sequence[str]) -> None:
        self._allow = None if allow is None else Patterns(allow)
        self._deny = Patterns([folded(pattern) for pattern in deny])
        self.all = allow is None and not deny  # there is nothing to look at

    def has(self, name: object) -> bool:
        """Whether the tool of this name may be called."""
        if self.all:
            return True
        if not isinstance(name, str) or len(name) > LONGEST_NAME or self._deny.first(folded(name)) is not None:
            return False
        return self._allow is None or self._allow.first(name) is not None


def may_list_tools(data: bytes) -> bool:
    """Whether an answer may have a list of tools: it is cheaper to ask than to read the answer."""
    return b'"tools"' in data or b"\\u" in data or b"\0" in data  # the last is no UTF-8


def hide_denied(answer: Message, allowed: Allowed) -> list[Change]:
    """The edits that remove hidden tools from a list. Raises NotJson."""
    result = answer.members.get("result")
    if result is None or not isinstance(result.value, dict) or not isinstance(result.value.get("tools"), list):
        return []
    tools = members(answer.text, result.start)["tools"]
    listed = elements(answer.text, tools.start)
    kept = [each for each in listed if isinstance(each.value, dict) and allowed.has(each.value.get("name"))]
    if len(kept) == len(listed):
        return []
    return [(tools.start, tools.end, joined(answer.text[each.start : each.end] for each in kept))]
