"""The parsed request of any family, and its answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.demo_models.faults import Faults

CHARACTERS_PER_TOKEN = 4
CREATED = 1_767_225_600
LIMIT = 4096
TEXTS = ("text", "content", "parts", "input", "output", "arguments", "functionResponse", "response")
THOUGHT = ("Let ", "me ", "see.")
WORD = re.compile(r"\s*\S+\s*?(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Tool:
    """One that may be called, with the JSON Schema of its arguments."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `forced` is the tool that must be called, "*" for any of them, "-" for none."""

    model: str
    faults: Faults
    prompt: str
    last: str
    answered_by_tool: bool = False
    tools: Sequence[Tool] = ()
    forced: str = ""
    limit: int | None = None
    number: int = 1
    stream: bool = False
    usage_wanted: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that is called. `arguments` are JSON."""

    id: str
    name: str
    arguments: str

    @property
    def document(self) -> Any:
        return orjson.loads(self.arguments)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer: words, or calls of tools. `end` is "stop", "limit" or "tools"."""

    id: str
    pieces: Sequence[str]
    calls: Sequence[Call]
    end: str
    input: int
    output: int
    cached: int = 0
    thought: Sequence[str] = field(default=())

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def thinking(self) -> int:
        """The tokens of the thought, which are part of the output."""
        return len(self.thought)


def reply(asked: Asked) -> Reply:
    """The same for the same request."""
    faults = asked.faults
    prompt = max(1, -(-len(asked.prompt) // CHARACTERS_PER_TOKEN))
    calls = tuple(_calls(asked))
    text = "" if calls else f"You said: {asked.last}" if not asked.answered_by_tool else f"The tool said: {asked.last}"
    pieces = (
        [f"{number % 1000:03} " for number in range(faults.words)] if faults.words and not calls else WORD.findall(text)
    )
    limit = LIMIT if asked.limit is None else max(asked.limit, 0)
    thought = THOUGHT[:limit] if faults.has("think") else ()
    kept = pieces[: limit - len(thought)]
    output = len(thought) + len(kept) + sum(max(1, len(call.arguments) // CHARACTERS_PER_TOKEN) for call in calls)
    return Reply(
        id=hashlib.sha256(asked.prompt.encode("utf-8", "replace")).hexdigest()[:24],
        pieces=kept,
        calls=calls,
        end="tools" if calls else "limit" if len(kept) < len(pieces) else "stop",
        input=prompt,
        output=output,
        cached=min(faults.cached, prompt),
        thought=thought,
    )


def _calls(asked: Asked) -> Iterable[Call]:
    """Each tool that is demanded, or that the last user text names as a word."""
    if asked.forced == "-" or asked.answered_by_tool:
        return
    named = [tool for tool in asked.tools if re.search(rf"\b{re.escape(tool.name)}\b", asked.last)]
    if asked.forced == "*":
        named = named or list(asked.tools[:1])
    elif asked.forced:
        named = [tool for tool in asked.tools if tool.name == asked.forced]
    for number, tool in enumerate(named):
        digest = hashlib.sha256(tool.name.encode()).hexdigest()[:12]
        yield Call(f"{number}{digest}", tool.name, orjson.dumps(example(tool.schema)).decode())


def example(schema: Mapping[str, Any]) -> Any:
    """A value that a JSON Schema allows, as far as a demo needs it: required members only, the first of an enum."""
    if options := schema.get("enum"):
        return options[0]
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if str(kind).lower() == "object":
        members = schema.get("properties") or {}
        return {name: example(members.get(name) or {"type": "string"}) for name in schema.get("required") or ()}
    simple: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "null": None}
    return simple.get(str(kind).lower(), "demo")


def words_of(value: Any) -> str:
    """All text of a part of a request, wherever its family puts it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # without halves of surrogate pairs, which cannot be written
    if isinstance(value, Sequence):
        return " ".join(filter(None, map(words_of, value)))
    if isinstance(value, Mapping):
        return " ".join(filter(None, (words_of(value[name]) for name in TEXTS if name in value)))
    return ""


def whole_number(value: Any) -> int | None:
    """The value, where it is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def tokens(text: str) -> int:
    """How many a text has on the way in."""
    return max(1, -(-len(text) // CHARACTERS_PER_TOKEN))
