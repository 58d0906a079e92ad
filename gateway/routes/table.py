"""Which rule takes a request, and the path that is sent for it.

Which route wins
----------------
Of all rules that a request fits, the most specific one takes it:

1. An exact host goes before a wildcard host (`*.example.com`), of which the longest goes first, and both before rules
   without a host.
2. Then the path, segment by segment from the left; the first difference decides: literal text, then a segment that is
   partly literal (the more literal characters, the earlier), then a whole `{name}` or `*`, then a `*` that takes the
   rest. A regular expression counts as partly literal, and goes first where the literal characters are as many. Of
   different segments that are equal in this, whichever the first rule has, in the order of 3 to 5, goes first: to look
   at all that fit, and compare what follows, would cost as much as there are routes.
3. For the same path, the rule with more predicates: its methods are one, every header and query parameter is one.
4. Then the form in which the path was written: as declared, then with the base path in front, then already rewritten.
5. Then the order in the file.

Rules that are `below` others come after all of them, whatever their hosts and paths.

A rule whose predicates a request does not meet is passed over for the next in this order, down to the rules without a
host.

The forms of a path
-------------------
- declared: the path of the rule. Without a rewrite, it is sent as it is.
- base path: with `base_path` in front, which is not sent.
- rewritten, if accepted: what the rewrite makes of a path, with or without the base path, is sent as it is. For
  `strip_prefix`, it is the pattern without that prefix. A form that nearly every path would fit (`/*` for the rewrite
  `/$1`, or for `/v1/*` stripped of `/v1`) is left out, and so is one whose paths cannot be brought back into the
  declared form, because the rewrite drops or repeats what a wildcard took.

Whatever the form, `Match.own_path` is the path in its declared form: that is what all rules about a path look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from gateway.http import Headers
from gateway.http.hosts import normalise_host
from gateway.routes.candidate import Candidate, candidates_of
from gateway.routes.conditions import Asked
from gateway.routes.hosts import wildcards
from gateway.routes.rewrite import parse_prefix
from gateway.routes.rule import Match, NoMatch, Rule
from gateway.routes.trie import Trie
from gateway.routes.wildcards import PatternError

if TYPE_CHECKING:
    from gateway.routes.explain import Explanation

T = TypeVar("T")

_NONE: Final[frozenset[str]] = frozenset()


class RuleErrors(PatternError):
    """Every rule that does not compile. `problems` has the id of each, and what is wrong with it."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f'route "{rule_id}": {message}' for rule_id, message in problems))
        self.problems = tuple(problems)


class RouteTable(Generic[T]):
    """The rules of one configuration, compiled. Immutable.

    Raises `RuleErrors` if a path, rewrite, prefix, host or predicate of some rules means nothing, and `PatternError` if
    the base path does.
    """

    def __init__(self, rules: Iterable[tuple[Rule, T]], *, base_path: str = "", accept_rewritten: bool = False) -> None:
        base = parse_prefix("base_path", base_path)
        candidates: list[Candidate[T]] = []
        problems: list[tuple[str, str]] = []
        for order, (rule, value) in enumerate(rules):
            try:
                candidates += candidates_of(rule, value, order, base, accept_rewritten)
            except PatternError as error:
                problems.append((rule.id, str(error)))
        if problems:
            raise RuleErrors(problems)
        self.candidates = tuple(candidates)
        self._hosts = _tries(candidate for candidate in self.candidates if not candidate.rule.below)
        self._any_host = self._hosts.pop("")
        below = [candidate for candidate in self.candidates if candidate.rule.below]
        self._below = _tries(below) if below else None

    def pieces(self) -> Iterator[object]:
        """Its largest parts."""
        yield from self.candidates
        for trie in (self._any_host, *self._hosts.values(), *(self._below or {}).values()):
            yield from trie.pieces()

    def match(
        self,
        method: str,
        host: str,
        path: str,
        query: bytes,
        headers: Headers,
        fields: dict[bytes, bytes],
        pieces: tuple[str, ...] = (),
    ) -> Match[T] | NoMatch:
        """Find the rule for a request.

        `host` is a `Host` value, with or without port. `path` is as it is compared, `pieces` as it is sent, where that
        differs. `query` is what follows the "?". `fields` has the last value of each of `headers`, by its lower-case
        name. Raises `GatewayError` where the rule depends on a duplicated header or parameter.
        """
        asked: Asked | None = None
        allowed = _NONE
        for candidates, segments in self.find(host, path):
            for candidate in candidates:
                if candidate.conditions:
                    asked = asked or Asked(query, headers, fields)
                    if not all(condition.holds(asked) for condition in candidate.conditions):
                        continue
                if candidate.methods is not None and method not in candidate.methods:
                    allowed |= candidate.methods
                elif (cut := candidate.cut) is not None and not pieces:
                    sent = cut.head + path[cut.start :] or "/"
                    # What Match(...) does, without the call in between: 0.1 us of every request.
                    return tuple.__new__(Match, (candidate.rule, candidate.value, sent, {}, candidate.form, path))
                elif match := candidate.build(path, segments, pieces):
                    return match
        return NoMatch(tuple(sorted(allowed)))

    def explain(
        self,
        method: str,
        host: str,
        path: str,
        query: bytes,
        headers: Headers,
        fields: dict[bytes, bytes],
        pieces: tuple[str, ...] = (),
    ) -> Explanation[T]:
        """Say of every rule why it did not take a request that `match` is asked with. Not for the request path."""
        from gateway.routes.explain import Request, explain  # noqa: PLC0415  no start asks

        request = Request(method, normalise_host(host), path, Asked(query, headers, fields))
        result = self.match(method, host, path, query, headers, fields, pieces)
        reached = chain.from_iterable(candidates for candidates, _ in self.find(host, path))
        return explain(request, result, reached, self.candidates)

    def find(self, host: str, path: str) -> Iterator[tuple[Sequence[Candidate[T]], Sequence[str]]]:
        """Give the candidates whose host and path fit, the most specific first, and the segments of the path."""
        if not self._hosts and self._below is None:
            return self._any_host.find(path)
        return chain.from_iterable(trie.find(path) for trie in self._tries(host))

    def _tries(self, host: str) -> Iterator[Trie[Candidate[T]]]:
        # Most clients write the host as it is compared, and looking is cheaper than bringing it into that form.
        host = host if host in self._hosts else normalise_host(host)
        yield from _for_host(self._hosts, host)
        yield self._any_host
        if self._below is not None:
            yield from _for_host(self._below, host)
            yield self._below[""]


def _for_host(tries: Mapping[str, Trie[Candidate[T]]], host: str) -> Iterator[Trie[Candidate[T]]]:
    """Those of rules with this host, and with patterns of hosts that it fits."""
    if exact := tries.get(host):
        yield exact
    for pattern in wildcards(host):
        if wildcard := tries.get(pattern):
            yield wildcard


def _tries(candidates: Iterable[Candidate[T]]) -> dict[str, Trie[Candidate[T]]]:
    """Sort candidates by host; "" is any."""
    tries: dict[str, Trie[Candidate[T]]] = {"": Trie()}
    for candidate in sorted(candidates, key=attrgetter("precedence")):
        for host in candidate.hosts or ("",):
            if host not in tries:
                tries[host] = Trie()
            tries[host].add(candidate.pattern, candidate)
    return tries
