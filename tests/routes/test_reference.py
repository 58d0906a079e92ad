"""The table against a matcher that is slow and obvious: try every form of every rule, and sort those that fit."""

import re
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routes.rule import Match, NoMatch, Rule
from tests.routes.support import ask, table, why

# Partly literal segments of equal length are left out: which of those goes first depends on the other rules.
_WANTED = st.sampled_from(["a", "b", "abb", "{x}", "*", "a*", "*bb", "a*bb"])
_GIVEN = st.sampled_from(["a", "b", "ab", "abb", "axbb", "c"])
_HOSTS = st.sampled_from([(), (), ("h.example.com",), ("*.example.com",), ("*.h.example.com", "x.org")])
_METHODS = st.sampled_from([None, frozenset({"GET"}), frozenset({"POST", "PUT"})])

patterns = st.builds(
    lambda s, end: "/" + "/".join(s) + end, st.lists(_WANTED, min_size=1, max_size=3), st.sampled_from(["", "/", "/*"])
)
paths = st.builds(
    lambda s, end: "/" + "/".join(s) + end, st.lists(_GIVEN, min_size=1, max_size=4), st.sampled_from(["", "", "/"])
)
hosts = st.sampled_from(["h.example.com", "y.h.example.com", "example.com", "x.org:80"])
methods = st.sampled_from(["GET", "HEAD", "POST"])


@st.composite
def rule_sets(draw: st.DrawFn) -> list[Rule]:
    rules = []
    for number in range(draw(st.integers(1, 6))):
        path = draw(patterns)
        names = path.count("*") + path.count("{x}")
        for place in range(path.count("{x}")):
            path = path.replace("{x}", f"{{x{place}}}", 1)
        rewrite = draw(st.sampled_from([None, f"/b/${names}"])) if path.endswith("/*") else None
        rules.append(Rule(str(number), path, hosts=draw(_HOSTS), methods=draw(_METHODS), rewrite=rewrite))
    return rules


def reference(rules: list[Rule], base: str, method: str, host: str, path: str) -> tuple[str, str] | tuple[str, ...]:
    """Return the id of the winner and the path that is sent, or else the methods that would do."""
    allowed: set[str] = set()
    fitting = []
    for order, rule in enumerate(rules):
        for rank, pattern, rewrite, dropped in _forms(rule, base):
            found = _regex(pattern).fullmatch(path)
            host_rank = _host_rank(rule.hosts, host.partition(":")[0])
            if found is None or host_rank is None:
                continue
            answered = rule.methods and rule.methods | ({"HEAD"} if "GET" in rule.methods else set())
            if answered and method not in answered:
                allowed |= answered
                continue
            sent = rewrite + (found["rest"] or "") if rewrite else path[len(dropped) :] or "/"
            fitting.append((host_rank, _ranks(pattern), rule.methods is None, rank, order, rule.id, sent))
    return min(fitting)[-2:] if fitting else tuple(sorted(allowed))


def _forms(rule: Rule, base: str) -> Iterator[tuple[int, str, str | None, str]]:
    rewrite = rule.rewrite and rule.rewrite.rpartition("/")[0]
    yield 0, rule.path, rewrite, ""
    yield 1, base + rule.path, rewrite, base
    if rewrite and rule.path.count("*") + rule.path.count("{") == 1:  # it can be turned around
        yield 2, rewrite + "/*", None, ""
        yield 2, base + rewrite + "/*", None, base


def _regex(pattern: str) -> re.Pattern[str]:
    body = pattern.removesuffix("/*")
    text = re.sub(r"\\\{.*?\\\}|\\\*", "[^/]+", re.escape(body))
    return re.compile(text + ("(?P<rest>(/.*)?)" if body != pattern else "(?P<rest>)"))


def _ranks(pattern: str) -> list[tuple[int, int]]:
    segments = pattern.split("/")[1:]
    ranks = []
    for index, segment in enumerate(segments):
        if segment == "*" and index == len(segments) - 1:
            ranks.append((3, 0))
        elif segment == "*" or segment.startswith("{"):
            ranks.append((2, 0))
        else:
            ranks.append((1, -len(segment)) if "*" in segment else (0, 0))
    return ranks


def _host_rank(wanted: tuple[str, ...], host: str) -> tuple[int, int] | None:
    ranks = [(0, 0) for pattern in wanted if pattern == host]
    ranks += [(1, -len(pattern)) for pattern in wanted if pattern[0] == "*" and host.endswith(pattern[1:])]
    return min(ranks, default=None) if wanted else (2, 0)


@settings(max_examples=400)
@given(
    rules=rule_sets(), base=st.sampled_from(["/api", "/a"]), method=methods, host=hosts, path=paths, under=st.booleans()
)
def test_the_table_agrees_with_the_definition(
    rules: list[Rule], base: str, method: str, host: str, path: str, under: bool
) -> None:
    """The route, the path that is sent, and the allowed methods are those of the documented order, for any rules."""
    path = base + path if under else path
    answer = ask(table(*rules, base_path=base, accept_rewritten=True), path, method=method, host=host)
    found = (answer.rule.id, answer.path) if isinstance(answer, Match) else answer.allow
    assert found == reference(rules, base, method, host, path)


@settings(max_examples=200)
@given(rules=rule_sets(), method=methods, host=hosts, path=paths)
def test_the_explanation_agrees_with_the_match(rules: list[Rule], method: str, host: str, path: str) -> None:
    """What is explained is what happens, every rule is spoken of once, and every loser has a reason."""
    routes = table(*rules, base_path="/a", accept_rewritten=True)
    answer = ask(routes, path, method=method, host=host)
    explanation = why(routes, path, method=method, host=host)
    assert explanation.result == answer
    named = [loser.rule.id for loser in explanation.losers]
    assert sorted([*named, *([answer.rule.id] if isinstance(answer, Match) else [])]) == [rule.id for rule in rules]
    assert all(loser.reason for loser in explanation.losers)
    assert explanation.more == 0
    if isinstance(answer, NoMatch):
        assert not any("specific" in loser.reason for loser in explanation.losers)
