"""What is left of files with errors, without the parts that have them: one error must not hide those of other parts.

Nothing of it is ever served. It is there to be checked further, and what is found in it is only said where it cannot
follow from what was left out.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.models import Model
from gateway.config.models.layout import places_of
from gateway.config.problems import Path, Problem, format_path
from gateway.config.values.paths import slug
from gateway.config.yaml.document import Document

ROUNDS: Final = 8  # of leaving something out, and looking again
_QUOTED: Final = re.compile(r'"([^"]*)"')
_STEP: Final = re.compile(r"[.\[]")
_AROUND_WORDS: Final = "\"'`,;:.()[]{}"

Kind = Literal["value", "key", "reference"]
"""What is wrong at a place: a value, which may be why others are; only a key that is unknown; or a value which is right
by itself."""


@dataclass(slots=True)
class LeftOut:
    """The parts that were left out: their places, and the words in them, which others may refer to."""

    places: set[tuple[str, str]] = field(default_factory=set)  # file, and place as problems have it
    around: set[tuple[str, str]] = field(default_factory=set)  # those, and what they stand in
    groups: set[str] = field(default_factory=set)  # such as redis
    words: set[str] = field(default_factory=set)

    def may_cause(self, problem: Problem) -> bool:
        """Whether a problem may be there only because something was left out."""
        if (problem.file, problem.where) in self.around:
            return True
        if any((problem.file, place) in self.places for place in _and_around(problem.where)):
            return True
        words = {word.strip(_AROUND_WORDS) for word in problem.message.split()}
        quoted = set(_QUOTED.findall(problem.message))
        return not (self.groups.isdisjoint(words) and self.words.isdisjoint(quoted))


def _and_around(place: str) -> Iterator[str]:
    """A place, as problems have it, and all that it stands in."""
    yield ""
    yield from (place[: match.start()] for match in _STEP.finditer(place))
    yield place


class Rest:
    """What is left of one document. `model` is None where nothing can be checked."""

    def __init__(self, kind: type[Model], document: Document, value: Any, left_out: LeftOut) -> None:
        self.model: Model | None = None
        self._kind = kind
        self._document = document
        self._value = copy.deepcopy(value)  # of which others keep what was read
        if kind.__name__.startswith("Routes") and isinstance(self._value, list):
            self._value = {"routes": self._value}
        self._left_out = left_out
        self._gone: set[Path] = set()

    def without(self, faults: Iterable[tuple[Path, Kind]]) -> bool:
        """Leave out what is wrong at these places, and what is wrong without it. False: that cannot be done."""
        errors = list(faults)
        references = all(kind == "reference" for _, kind in errors)
        for _ in range(ROUNDS):
            self._gone.clear()
            if not all(self._leave_out(path, kind) for path, kind in errors):
                self.model = None
                return False
            try:
                self.model = self._kind.model_validate({} if self._value is None else self._value)
            except ValidationError as error:
                found = error.errors(include_url=False, include_input=False, include_context=False)
                errors = sorted(((each["loc"], _kind(each, references=references)) for each in found), key=_last_first)
            else:
                return True
        self.model = None
        return False

    def _leave_out(self, path: Path, kind: Kind) -> bool:
        holders: list[Any] = [self._value]
        steps: list[str | int] = []
        for step in path:
            holder = holders[-1]
            if not _has(holder, step):
                break
            holders.append(holder[step])
            steps.append(step)
        if any(path[:length] in self._gone for length in range(len(path) + 1)):
            return True
        self._gone.add(path)
        if not steps or (len(steps) == 1 and (kind == "key" or steps[0] in ("routes", "services", "groups"))):
            return False  # nothing is known of what it was meant for
        self._left_out.words.update(_words(holders[-1]))
        if kind != "reference":
            self._left_out.words.add(str(steps[:2][-1]))
        if len(steps) == 1:
            self._left_out.groups.add(str(steps[0]))
        if kind != "key":
            self._note(path if kind == "reference" else path[:2])
            stand_in = self._stand_in(steps)
            if stand_in is not None:
                self._note(path[:2])
                self._left_out.words.update(_words(holders[2]))
                if holders[2] == stand_in:
                    return False
                holders[1][steps[1]] = stand_in
                self._gone.add(path[:2])
                return True
        if isinstance(holders[-2], list) and len(steps) == 2:
            return steps[0] != "routes" and self._leave_out(path[:1], kind)
        del holders[-2][steps[-1]]
        return True

    def _note(self, path: Path) -> None:
        place = self._document.find(path)
        where = format_path(place.shown)
        self._left_out.places.add((place.file, where))
        self._left_out.around.update((place.file, outer) for outer in _and_around(where))

    def _stand_in(self, steps: list[str | int]) -> Any:
        """For a part that others count or refer to, by its place or name."""
        if self._document.file != "routes.yaml" or len(steps) < 2:
            return None
        if steps[0] == "services":
            return {"endpoints": ["127.0.0.1:9"]}
        if steps[0] == "routes":
            route = self._value["routes"][steps[1]]
            if not isinstance(route, dict):
                return None
            identifier = route.get("id") if steps[2:3] != ["id"] else None
            path = f"/left-out-{steps[1]}"
            self._left_out.words.update(slug(word) for word in _words(route) if word.startswith("/"))
            return {"path": path, "respond": 404, "id": identifier or f"left-out-{steps[1]}"}
        return None


def _kind(error: ErrorDetails, *, references: bool) -> Kind:
    """The kind of one of pydantic's errors. `references`: it is there for a reference that was left out."""
    if references and len(error["loc"]) > 2:
        return "reference"
    return "key" if error["type"] == "extra_forbidden" else "value"


def _has(holder: Any, step: str | int) -> bool:
    if isinstance(holder, dict):
        return step in holder
    return isinstance(holder, list) and isinstance(step, int) and step < len(holder)


def _last_first(error: tuple[Path, Kind]) -> tuple[tuple[bool, int | str], ...]:
    """Entries of a list from its end on, so that those in front keep their places."""
    return tuple((isinstance(step, str), -step if isinstance(step, int) else step) for step in error[0])


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not places_of(str(key)):
                yield str(key)  # a name
            yield from _words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner)
    elif isinstance(value, str):
        yield value
