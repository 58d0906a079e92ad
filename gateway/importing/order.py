"""Puts routes into our order: what the original would answer by its own order of routes, ours must, by specificity.

The routes of the original are asked in the order of their rank. Ours are asked the most specific first. Where the two
differ for the requests that two routes have in common, the route that the original would take is written once more, for
just these requests: then it is the more specific one. Found by asking a real table for one request of each such kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gateway.http.methods import REGISTERED
from gateway.importing.description import Description, Path, Route, narrowed
from gateway.importing.entries import (
    Asked,
    Entry,
    common_hosts,
    common_methods,
    entries_of,
)
from gateway.importing.neighbours import Neighbours
from gateway.importing.patterns import TYPED, Pattern, are_apart, intersection
from gateway.importing.report import WHOLE
from gateway.routes.rule import Match
from gateway.routes.table import RouteTable
from gateway.routes.wildcards import PatternError

ROUNDS = 6
MOST = 1000  # routes that are added
MOST_SHOWN = 4  # requests that the report gives as examples
MOST_COMPARED = 3000  # pairs of expressions


def ordered(description: Description) -> list[Entry]:
    """The entries that have ours answer as the original does, in the order of the file."""
    entries = [entry for route in description.routes for entry in entries_of(route) if _sayable(entry, description)]
    asked = sorted(entries, key=lambda entry: entry.path.rank)
    entries = asked = _reached(asked, description)
    added: list[Entry] = []
    wrong: list[_Wrong] = []
    for _ in range(ROUNDS):
        entries = _in_file(entries)
        known = {entry.identity for entry in entries}
        wrong = list(_wrong(entries, asked, description))
        remedies = {each.remedy.identity: each.remedy for each in wrong if each.remedy is not None}
        missing = [entry for identity, entry in remedies.items() if identity not in known]
        if not missing or len(added) + len(missing) > MOST:
            break
        added += missing
        entries = [*missing, *entries]
    else:
        entries = _in_file(entries)
        wrong = list(_wrong(entries, asked, description))
    for entry in added:
        if entry.also is not None:
            description.report.differs(
                entry.also.place,
                f"what it shares with line {entry.route.place} ({entry.path.pattern.text}) goes there, as before: "
                "that route is written again, for these requests",
            )
    _name_differences(wrong, description)
    return entries


def _name_differences(wrong: list[_Wrong], description: Description) -> None:
    """Name, once for each two routes, what goes elsewhere than in the original for want of a remedy."""
    named: dict[tuple[Route | None, Route | None], dict[str, None]] = {}
    for each in wrong:
        owner, winner = (None if entry is None else entry.route for entry in (each.owner, each.winner))
        named.setdefault((owner, winner), {})[f"{each.asked.method} {each.asked.path}"] = None
    for (owner, winner), requests in named.items():
        shown = ", ".join([*requests][:MOST_SHOWN]) + (", ..." if len(requests) > MOST_SHOWN else "")
        here = f"go to line {winner.place}" if winner else "are answered 404"
        if owner is not None:
            text = f"such as {shown} went to this route in the original, and {here} here"
            text += ", sent in another way" if owner is winner else ": both take them"
            description.report.differs(owner.place, f"{text}; write a route with that path, and see `gateway explain`")
        elif winner is not None:
            text = f"such as {shown} were answered 404 by the original, and go to this route here"
            description.report.differs(winner.place, text)


def _sayable(entry: Entry, description: Description) -> bool:
    """Whether our table takes it: expressions that our engine does not take are found here."""
    try:
        RouteTable([(entry.rule("asked"), None)])
    except PatternError as error:
        description.report.unsaid(
            entry.route.place, f"{entry.path.pattern.text} is no path or condition of ours: {error}"
        )
        return False
    return True


def _reached(ranked: list[Entry], description: Description) -> list[Entry]:
    """Without those all of whose requests a route takes that the original asks before."""
    near = Neighbours(entry.path.pattern for entry in ranked)
    kept: dict[int, Entry] = {}
    for number, entry in enumerate(ranked):
        others = (kept[other] for other in near.of(entry.path.pattern) if other in kept)
        before = next((other for other in others if other.takes_all(entry)), None)
        if before is None:
            kept[number] = entry
        elif (
            before.route is not entry.route
            and not entry.route.leftover
            and not any(  # another path of its route has these requests, at another place in the order
                intersection(other.path.pattern, entry.path.pattern) is not None
                for other in ranked
                if other.route is entry.route and other is not entry
            )
        ):
            description.report.unsaid(
                entry.route.place,
                f"{entry.path.pattern.text} is left out: line {before.route.place} comes before, and takes all of it",
            )
    return list(kept.values())


def _in_file(entries: list[Entry]) -> list[Entry]:
    """In the order of the original's lines, leftovers last; those that only the order distinguishes, by their rank."""
    entries = sorted(entries, key=lambda entry: (entry.route.leftover, entry.route.place.file, entry.route.place.line))
    places: dict[object, list[int]] = {}
    for number, entry in enumerate(entries):
        places.setdefault(turn(entry.path.pattern), []).append(number)
    for numbers in places.values():
        ranked = sorted(
            [entries[number] for number in numbers],
            key=lambda entry: (entry.route.leftover, not entry.ahead, entry.path.rank),
        )
        for number, entry in zip(numbers, ranked, strict=True):
            entries[number] = entry
    return entries


def turn(pattern: Pattern) -> object:
    """The same for patterns of which, where a request fits several, the first in the file takes it: those of the same
    text, or that differ in expressions with equally much literal text."""
    for number, segment in enumerate(pattern.segments):
        if typed := TYPED.fullmatch(segment):
            return pattern.segments[:number], len(typed[1] + typed[3])
    return pattern.text


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A request that goes elsewhere than in the original: to `winner` and not to `owner`; None is a 404. `remedy` is
    the entry that would change that, None if it cannot be translated."""

    asked: Asked
    region: Entry
    owner: Entry | None
    winner: Entry | None
    remedy: Entry | None


def _wrong(entries: list[Entry], ranked: list[Entry], description: Description) -> Iterator[_Wrong]:
    """The requests that go elsewhere, of one of each kind that several routes could take."""
    table = RouteTable([(entry.rule(str(number)), entry) for number, entry in enumerate(entries)])
    named = {method for entry in entries for method in entry.methods or ()}
    usual = ("GET", "POST", "PUT", "DELETE")
    unnamed = next((method for method in usual if method not in named), min(REGISTERED - named, default="GET"))
    near = Neighbours(entry.path.pattern for entry in ranked)
    for region in _regions(entries, description):
        for asked in region.requests(unnamed):
            takers = (ranked[number] for number in near.of(Pattern(tuple(asked.path[1:].split("/")))))
            owner = next((entry for entry in takers if entry.takes(asked)), None)
            match = table.match(
                asked.method, asked.host, asked.path, asked.query, list(asked.headers), dict(asked.headers)
            )
            winner = match.value if isinstance(match, Match) else None
            if _is_as_before(owner, winner, asked):
                continue
            yield _Wrong(asked, region, owner, winner, _remedy(owner, region))


def _is_as_before(owner: Entry | None, winner: Entry | None, asked: Asked) -> bool:
    """Whether a request goes to the route that it went to, and is sent as it was."""
    if owner is None:
        return winner is None or bool(winner.route.settings.get("respond", {}).get("status") == 404)
    if winner is None or owner.route is not winner.route:
        return False
    return not owner.differs_in_sending(winner) or owner.sent_for(asked) == winner.sent_for(asked)


def _regions(entries: list[Entry], description: Description) -> Iterator[Entry]:
    """For each two entries, what they have in common, as an entry; and what a route excludes."""
    compared, turns = 0, _Turns(entries)
    near = Neighbours(entry.path.pattern for entry in entries)
    for number, one in enumerate(entries):
        for pattern in (*one.route.excluded, *one.path.pattern.excluded):
            region = replace(one, path=Path(pattern, ()), also=None)
            yield region
            others = [entries[other] for other in near.of(pattern)]
            shared = [region.common(other) for other in (one, *others) if other is one or other.route is not one.route]
            yield from [each for each in shared if each is not None]
        for other in [entries[index] for index in near.of(one.path.pattern) if index > number]:
            if other.route is one.route and not one.differs_in_sending(other):
                continue
            pairs = zip(one.path.pattern.segments, other.path.pattern.segments, strict=False)
            apart = any(a != b and TYPED.fullmatch(a) and TYPED.fullmatch(b) for a, b in pairs)
            if apart and (turns.are_kept(one, other) or compared > MOST_COMPARED):
                continue
            compared += apart
            if (both := one.common(other)) is not None:
                yield both
            elif _may_clash(one, other, turns):
                description.report.differs(
                    max(one.route.place, other.route.place, key=lambda place: place.line),
                    f"it and line {min(one.route.place.line, other.route.place.line)} may take the same requests "
                    f"({one.path.pattern.text} and {other.path.pattern.text}), and it is not known for which: see with "
                    "`gateway explain` which comes first, and write a route for those that go wrong",
                )
    if compared > MOST_COMPARED:
        description.report.differs(WHOLE, "not all expressions were compared: `gateway explain` says where a path goes")


class _Turns:
    """Which of two expressions at one place our table asks first, where both have equally much literal text: the one
    of which a path comes first in the file, those with more predicates before the others."""

    def __init__(self, entries: list[Entry]) -> None:
        self._first: dict[object, int] = {}
        in_order = sorted(entries, key=lambda entry: -entry.weight)
        for number, entry in enumerate(in_order):
            segments = entry.path.pattern.segments
            for end, segment in enumerate(segments, 1):
                if TYPED.fullmatch(segment):
                    for host in entry.hosts or ("",):
                        self._first.setdefault((host, segments[:end]), number)

    def are_kept(self, one: Entry, other: Entry) -> bool:
        """Whether the one that the original asks first comes first here."""
        a, b = sorted((one, other), key=lambda entry: entry.path.rank)
        pairs = zip(a.path.pattern.segments, b.path.pattern.segments, strict=False)
        end = next((number for number, (c, d) in enumerate(pairs, 1) if c != d), 0)
        ends = [entry.path.pattern.segments[:end] for entry in (a, b)]
        typed = [TYPED.fullmatch(segments[-1]) if segments else None for segments in ends]
        literal = [len(match[1] + match[3]) if match else -1 for match in typed]
        if a.hosts != b.hosts or literal[0] != literal[1] or -1 in literal:
            return False
        return all(self._first[host, ends[0]] < self._first[host, ends[1]] for host in a.hosts or ("",))


def _may_clash(one: Entry, other: Entry, turns: _Turns) -> bool:
    patterns = one.path.pattern, other.path.pattern
    if are_apart(*patterns) or intersection(*patterns, closely=True) is not None:
        return False
    return common_hosts(one.hosts, other.hosts) is not None and not turns.are_kept(one, other)


def _remedy(owner: Entry | None, region: Entry) -> Entry | None:
    """The entry that the original would take, for the paths, hosts and conditions of this region; without one, an entry
    that answers 404. None if it cannot be translated, or a 404 depends on conditions."""
    others = [route for route in (region.route, region.also) if route is not None]
    if owner is None:
        if any(route.headers or route.query for route in others):
            return None
        name, place = f"{region.route.name}-nothing", region.route.place
        route = Route(name, place, [], hosts=region.hosts, settings={"respond": {"status": 404}}, leftover=True)
        return Entry(route, region.path, region.hosts, region.methods)
    pattern = intersection(owner.path.pattern, region.path.pattern, closely=True)
    path = None if pattern is None else narrowed(owner.path, pattern)
    if path is None:
        return None
    others = [route for route in others if route is not owner.route]
    also = next((route for route in others if route.headers or route.query), others[0] if others else None)
    methods = common_methods(owner.methods, region.methods)
    return Entry(owner.route, path, common_hosts(owner.hosts, region.hosts) or owner.hosts, methods, also, ahead=True)
