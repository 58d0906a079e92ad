"""Why a rule takes a request, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from gateway.routes.candidate import Candidate
from gateway.routes.conditions import Asked
from gateway.routes.hosts import best_pattern
from gateway.routes.pattern import (
    WILD,
    Pattern,
    Segment,
    closeness,
    has_expression,
    segment_fits,
    show,
)
from gateway.routes.rule import Form, Match, NoMatch, Rule
from gateway.routes.wildcards import written_segments

if TYPE_CHECKING:
    from gateway.routes.table import RouteTable

T = TypeVar("T")

_MOST_LISTED = 20
"""How many rules are listed whose host or path does not fit."""

_FORMS: Final[dict[Form, str]] = {
    "declared": "declared form",
    "base_path": "form behind base_path",
    "rewritten": "rewritten form",
}


@dataclass(frozen=True, slots=True)
class Request:
    """The input of matching; `host` and `path` in normal form."""

    method: str
    host: str
    path: str
    asked: Asked


@dataclass(frozen=True, slots=True)
class Loser:
    """A rule that did not take the request, in the form that came nearest, and a sentence that says why.

    `path`: which of its paths, as it is written; `pattern` is that path in this form.
    """

    rule: Rule
    path: str
    pattern: str
    form: Form
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation(Generic[T]):
    """The result of `match`, and every other rule once.

    First those whose host and path fit, in the order in which they are tried; then those of which most of the path
    fits. `more` is the number of rules that are left out at the end, where even less fits. `path`: which of its paths
    the rule took the request by.
    """

    result: Match[T] | NoMatch
    losers: tuple[Loser, ...]
    more: int
    path: str = ""


def explain(
    request: Request,
    result: Match[T] | NoMatch,
    reached: Iterable[Candidate[T]],
    every: Iterable[Candidate[T]],
) -> Explanation[T]:
    """Explain `result`, given the candidates whose host and path fit, in order, and all there are."""
    winner: Candidate[T] | None = None
    losers: dict[int, Loser] = {}
    for candidate in reached:
        reason = candidate.refusal(request.method, request.path, request.asked)
        if reason is None:
            if winner is None:
                winner = candidate
                continue
            reason = _outranked(candidate, winner, request.host)
        losers.setdefault(candidate.order, _loser(candidate, reason))
    if winner is not None:
        losers.pop(winner.order, None)
    known = losers.keys() | ({winner.order} if winner else set())
    missed = _nearest_forms(request, (candidate for candidate in every if candidate.order not in known))
    listed = nsmallest(_MOST_LISTED, missed, key=lambda miss: (-miss[0], miss[1].order))
    reasons = [_loser(candidate, _misfit(candidate, request, fitting)) for fitting, candidate in listed]
    path = winner.shape.path if winner is not None else ""
    return Explanation(result, (*losers.values(), *reasons), len(missed) - len(listed), path)


def path_taken(table: RouteTable[T], match: Match[T], method: str, host: str, path: str) -> str:
    """By which of its paths, as it is written, a rule took a request without query and headers.

    It looks at the rule's own forms only: an explanation looks at all rules there are.
    """
    asked = Asked(b"", [], {})
    reached = (each for candidates, _ in table.find(host, path) for each in candidates)
    forms = (each for each in reached if each.rule is match.rule and each.form == match.form)
    return next((each.shape.path for each in forms if each.refusal(method, path, asked) is None), "")


def _loser(candidate: Candidate[T], reason: str) -> Loser:
    return Loser(candidate.rule, candidate.shape.path, candidate.pattern.source, candidate.form, reason)


def _nearest_forms(request: Request, candidates: Iterable[Candidate[T]]) -> list[tuple[int, Candidate[T]]]:
    """Choose for every rule the form that fits the longest beginning of the path, and give it with its length."""
    segments = request.path.split("/")[1:]
    nearest: dict[int, tuple[int, Candidate[T]]] = {}
    for candidate in candidates:
        fitting = _fitting(candidate.pattern, segments)
        if candidate.order not in nearest or fitting > nearest[candidate.order][0]:
            nearest[candidate.order] = fitting, candidate
    return list(nearest.values())


def _fitting(pattern: Pattern, segments: Sequence[str]) -> int:
    """How many segments, from the left, fit the pattern."""
    for index, (wanted, given) in enumerate(zip(pattern.segments, segments, strict=False)):
        if not segment_fits(wanted, given):
            return index
    return min(len(pattern.segments), len(segments))


def _misfit(candidate: Candidate[T], request: Request, fitting: int) -> str:
    """The reason why host or path do not match."""
    if best_pattern(candidate.hosts, request.host) is None:
        return f'host "{request.host}" is not {" or ".join(map(_quoted, candidate.hosts))}'
    reason = _misfit_of_path(candidate, request, fitting)
    if candidate.form == "base_path":
        return f"behind base_path {_base(candidate)} it is {candidate.pattern.source}, and {reason}"
    return f"rewritten it is {candidate.pattern.source}, and {reason}" if candidate.form == "rewritten" else reason


def _misfit_of_path(candidate: Candidate[T], request: Request, fitting: int) -> str:
    """The reason why the path does not match this form of the rule."""
    given = request.path.split("/")[1 + fitting :]
    wanted = written_segments(candidate.pattern.source)[1 + fitting :]
    if not wanted and given == [""]:
        return "the path ends in a slash, the route does not"
    if not given and wanted == [""]:
        return "the route ends in a slash, the path does not"
    if not wanted or wanted == [""]:
        return f'the path goes on with "{given[0]}" at segment {fitting + 1}, where the route ends'
    if not given or given == [""]:
        return f'the path ends where the route goes on with "{wanted[0]}"'
    return f'path differs at segment {fitting + 1}: "{given[0]}" is not "{wanted[0]}"'


def _quoted(text: str) -> str:
    return f'"{text}"'


def _outranked(loser: Candidate[T], winner: Candidate[T], host: str) -> str:
    """The reason why `winner` precedes `loser`, which would take the request too."""
    if loser.rule.below and not winner.rule.below:
        return f'it takes only what no written route takes, as "{winner.rule.id}" does'
    route = f'route "{winner.rule.id}"'
    lost, won = best_pattern(loser.hosts, host), best_pattern(winner.hosts, host)
    if lost != won:
        wants = f'wants host "{lost}"' if lost else "takes any host"
        return f'less specific: it {wants} where {route} wants host "{won}"'
    if (reason := _less_specific(loser, winner)) is not None:
        return reason
    if loser.weight != winner.weight:
        return f"less specific: {route} has the same path and more predicates ({winner.weight}, not {loser.weight})"
    if loser.form != winner.form:
        return f"{route} fits in its {_FORMS[winner.form]}, which goes before the {_FORMS[loser.form]}"
    return f"{route} is as specific, and comes earlier in the file"


def _less_specific(loser: Candidate[T], winner: Candidate[T]) -> str | None:
    """Compare the first segments that differ; None if both patterns are the same."""
    if loser.pattern.key == winner.pattern.key:
        return None
    mixed = loser.form != winner.form
    named, over = _named(loser, mixed), _named(winner, mixed)
    pairs = zip_longest(loser.pattern.segments, winner.pattern.segments)
    lost, won = next(((lost, won) for lost, won in pairs if lost != won), (None, None))
    if isinstance(lost, tuple) and isinstance(won, tuple) and closeness(lost) == closeness(won):
        return f"{named} is as specific as {over}, but has fewer predicates or comes later"
    return f"less specific: {named} {_kind(lost, loser.pattern)} where {over} {_kind(won, winner.pattern)}"


def _named(candidate: Candidate[T], mixed: bool) -> str:
    """The path as it is written, with the base path where it is compared with a path in `mixed`, another form."""
    if candidate.form == "rewritten":
        return f"{_quoted(candidate.pattern.source)} (rewritten)"
    path = _quoted(candidate.shape.path)
    return f"{path} behind base_path {_base(candidate)}" if mixed and candidate.form == "base_path" else path


def _base(candidate: Candidate[T]) -> str:
    """The base path, of a form behind it: what is in front of the path, or alone, where that is `/`."""
    return candidate.pattern.source.removesuffix(candidate.shape.path)


def _kind(segment: Segment | None, pattern: Pattern) -> str:
    if segment is None:
        return "ends in a wildcard" if pattern.rest else "is literal"
    if isinstance(segment, str):
        return "is literal"
    if segment == WILD:
        return "has a wildcard"
    if has_expression(segment):
        return "has a regular expression"
    return f'is partly literal ("{show(segment)}")'
