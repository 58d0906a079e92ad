"""Policies on what is said to models and by them: what their authors write, and how they are asked.

A guardrail is a class with any of `before_model`, `after_model` and `on_text`. It is given one text at a time, and says
whether it passes, what of it is taken out, or that it refuses it. See docs/writing-middleware.md.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from gateway.custom_code import is_failure, place_of
from gateway.deadlines import NEVER
from gateway.errors import ErrorKind
from gateway.http import Decision, Exchange
from gateway.http.model_record import ModelRecord
from gateway.llm.speaking import ModelError

logger = logging.getLogger("gateway.models")

Stage = Literal["input", "output", "stream"]
WINDOW: Final = 256
"""Characters that a guardrail of streams sees at least, where it does not say how many: `window`."""

LONGEST_WINDOW: Final = 65_536
_METHODS: Final = {"input": "before_model", "output": "after_model"}


@dataclass(frozen=True, slots=True)
class Text:
    """The text to check. Of a stream it is a window: the newest text, and the part that the client has already."""

    text: str
    stage: Stage
    exchange: Exchange = field(repr=False)
    role: str = ""  # who says it: `system`, `user`, `assistant`, `tool`, ...; "" where that is not known
    kind: Literal["text", "tool"] = "text"  # `tool`: what a tool is called with or answers, or its name
    tool: str = ""  # its name, where that is known


class Cut(NamedTuple):
    """Characters from `start` to `end` of a text, and what stands in their place."""

    start: int
    end: int
    replacement: str = "[redacted]"


@dataclass(frozen=True, slots=True)
class Pass:
    """The text passes."""


@dataclass(frozen=True, slots=True)
class Redact:
    """The text passes without these parts."""

    cuts: tuple[Cut, ...]

    @classmethod
    def matches(cls, matches: Iterable[re.Match[str]], replacement: str = "[redacted]") -> Redact:
        """Without what a regular expression has found."""
        return cls(tuple(Cut(*match.span(), replacement) for match in matches))


@dataclass(frozen=True, slots=True)
class Refuse:
    """The request is refused, or its answer. The client reads the sentence."""

    sentence: str = "the text is refused by a rule of this gateway"


Verdict = Pass | Redact | Refuse | None
"""None is Pass."""


class Refused(Exception):
    """A guardrail refuses a text, or cannot say whether it does."""

    def __init__(self, error: ModelError) -> None:
        super().__init__(error.code)
        self.error = error


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """A guardrail as it is configured."""

    name: str
    policy: Any = field(repr=False)
    on: frozenset[str]
    enforced: bool = True
    strict: bool = True  # where it fails, the request is refused
    window: int = WINDOW  # characters

    @property
    def rule(self) -> str:
        """Its name in decisions."""
        return f"guardrail:{self.name}"

    def call(self, text: Text) -> object:
        """Ask it. What comes may have to be awaited, but not of streams."""
        return self.method(text.stage)(text)

    def method(self, stage: Stage) -> Any:
        """What is asked of it."""
        found = getattr(self.policy, _METHODS.get(stage, ""), None)
        return self.policy.on_text if found is None else found


class Watch:
    """The guardrails of one request, and what they have said of it."""

    __slots__ = ("_exchange", "_record", "_said", "guards")

    def __init__(self, guards: Sequence[Guard], exchange: Exchange, record: ModelRecord) -> None:
        self.guards = tuple(guards)
        self._exchange = exchange
        self._record = record
        self._said: set[tuple[str, str]] = set()

    def on(self, stage: Stage) -> tuple[Guard, ...]:
        """Those that look at this."""
        return tuple(guard for guard in self.guards if stage in guard.on)

    def text(self, text: str, stage: Stage, role: str = "", *, tool: str | None = None) -> Text:
        """One to be looked at. `tool`: the name of the one that it belongs to, if any."""
        return Text(text, stage, self._exchange, role, "text" if tool is None else "tool", tool or "")

    async def look(self, text: Text, guards: Sequence[Guard]) -> list[Cut]:
        """The parts of a text to remove. Raises Refused."""
        cuts: list[Cut] = []
        for guard in guards:
            try:
                said = guard.call(text)
                if inspect.isawaitable(said):
                    ends = self._exchange.deadline
                    async with asyncio.timeout_at(None if ends == NEVER else ends):  # others wait for what does not end
                        said = await said
                found = _judged(said, text)
            except BaseException as error:
                if not is_failure(error):
                    raise
                self._failed(guard, text, error)
                continue
            cuts += self._applied(guard, found, text)
        return cuts

    def look_now(self, text: Text, guards: Sequence[Guard]) -> list[Cut]:
        """The same of a text that streams."""
        cuts: list[Cut] = []
        for guard in guards:
            try:
                found = _judged(guard.call(text), text)
            except BaseException as error:
                if not is_failure(error):
                    raise
                self._failed(guard, text, error)
                continue
            cuts += self._applied(guard, found, text)
        return cuts

    def unreadable(self, stage: Stage, what: str) -> None:
        """Something came that no guardrail can look at. Raises Refused where one of them must."""
        for guard in self.on(stage):
            self._passes_unseen(guard, stage)
            if guard.strict:
                sentence = f"{what} cannot be looked at by the guardrails that it is subject to"
                self._deny(guard, sentence, ModelError(ErrorKind.BAD_REQUEST, sentence, "content_refused"))

    def _applied(self, guard: Guard, found: list[Cut] | Refuse, text: Text) -> list[Cut]:
        if isinstance(found, Refuse):
            reason = f"refuses {text.stage}"
            logged = f'guardrail "{guard.name}" {reason}'
            error = ModelError(ErrorKind.BAD_REQUEST, found.sentence, "content_refused", logged=logged)
            self._deny(guard, reason, error)
            return []
        if found:
            self._note(guard, "allow" if guard.enforced else "shadow-deny", f"redacts {text.stage}")
        return found if guard.enforced else []

    def _failed(self, guard: Guard, text: Text, error: BaseException) -> None:
        """Not what it says is logged: that may repeat the text."""
        waited = error.__cause__ if isinstance(error, TimeoutError) else None  # says where it was when time was up
        kind, place = type(error).__name__, place_of(waited or error)
        if isinstance(error, _WrongVerdict):
            method = guard.method(text.stage)
            kind = f"{type(guard.policy).__name__}.{method.__name__} returned {error}"
            code = getattr(method, "__code__", None)
            place = "an unknown place" if code is None else f"{code.co_filename}:{code.co_firstlineno}"
        request = self._exchange.request_id
        logger.error("guardrail %s failed on request %s: %s at %s", guard.name, request, kind, place)
        reason = f'guardrail "{guard.name}" failed; see the log under this id'
        if guard.strict:
            self._deny(guard, reason, ModelError(ErrorKind.INTERNAL, reason, "guardrail_failed"))
        else:
            self._passes_unseen(guard, text.stage)
            self._note(guard, "allow", f"failed on {text.stage}")

    def _passes_unseen(self, guard: Guard, stage: Stage) -> None:
        """Note that this is not as the guardrail would have left it, where that matters: see `Contents`."""
        if guard.enforced and stage not in self._record.unseen:
            self._record.unseen += (stage,)

    def _deny(self, guard: Guard, reason: str, error: ModelError) -> None:
        self._note(guard, "deny" if guard.enforced else "shadow-deny", reason)
        if guard.enforced:
            self._record.failure = "policy"
            raise Refused(error)

    def _note(self, guard: Guard, verdict: Literal["allow", "deny", "shadow-deny"], reason: str) -> None:
        """Once for each request: a guardrail says the same of many texts."""
        if (guard.rule, reason) not in self._said:
            self._said.add((guard.rule, reason))
            self._exchange.decisions += (Decision(guard.rule, verdict, reason),)


class _WrongVerdict(TypeError):
    """A guardrail returned an invalid result. The text says what came, and nothing of what is in it."""


def _judged(said: object, text: Text) -> list[Cut] | Refuse:
    """A verdict, with cuts that are within the text."""
    if said is None or isinstance(said, Pass):
        return []
    if isinstance(said, Refuse):
        return said if isinstance(said.sentence, str) else Refuse()
    if not isinstance(said, Redact):
        hint = "; of a text that streams nothing is awaited: write a plain def" if inspect.isawaitable(said) else ""
        raise _WrongVerdict(f"{type(said).__name__}, and not None, Pass(), Redact or Refuse{hint};")
    length, found = len(text.text), []
    for cut in said.cuts:
        start, end, replacement = cut
        if not (isinstance(start, int) and isinstance(end, int) and isinstance(replacement, str)):
            raise _WrongVerdict("Redact with a cut that is not (start, end, replacement): two numbers and a text;")
        start, end = max(0, start), min(length, end)
        if start < end:
            found.append(Cut(start, end, replacement))
    return found


def without(text: str, cuts: Iterable[Cut]) -> str:
    """A text with its cuts made. Where they overlap, the first counts, and the others take out what is behind it."""
    pieces: list[str] = []
    at = 0
    for start, end, replacement in sorted(cuts):
        if end <= at:
            continue
        if start >= at:
            pieces += (text[at:start], replacement)
        at = end
    return "".join((*pieces, text[at:]))
