import pytest

from gateway.config.checks.routes import rule_warnings
from gateway.routes.rule import Predicate, Rule
from gateway.routes.wildcards import PatternError
from tests.routes.test_table import SAMPLE

GET = frozenset({"GET"})


def found(*rules: Rule, base_path: str = "", accept_rewritten: bool = False) -> list[tuple[str, str]]:
    return [(warning.rule_id, warning.kind) for warning in rule_warnings(rules, base_path, accept_rewritten)]


def test_the_sample_is_without_doubt() -> None:
    """The sample of the documentation gives no warnings, though one rewrite is its own path under the base path."""
    assert found(*SAMPLE, base_path="/api", accept_rewritten=True) == []


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ([Rule("a", "/x")], Rule("b", "/x")),
        ([Rule("a", "/x/{id}")], Rule("b", "/x/{name}")),
        ([Rule("a", "/~x")], Rule("b", "/%7Ex")),
        ([Rule("a", "/x", methods=frozenset({"GET", "POST"}))], Rule("b", "/x", methods=GET)),
        ([Rule("a", "/x", methods=GET)], Rule("b", "/x", methods=frozenset({"HEAD"}))),
        (
            [Rule("a", "/x", methods=GET), Rule("c", "/x", methods=frozenset({"PUT"}))],
            Rule("b", "/x", methods=frozenset({"GET", "PUT"})),
        ),
        ([Rule("a", "/x", hosts=("a.org", "b.org"))], Rule("b", "/x", hosts=("B.org",))),
        (
            [Rule("a", "/x", headers=(Predicate("X-A"), Predicate("x-b")))],
            Rule("b", "/x", headers=(Predicate("x-b"), Predicate("x-a"))),
        ),
    ],
)
def test_a_rule_behind_a_rule_that_takes_all_is_shadowed(earlier: list[Rule], later: Rule) -> None:
    """A rule is reported if earlier rules with the same path and conditions leave no request for it."""
    assert found(*earlier, later) == [("b", "shadowed")]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (Rule("a", "/x"), Rule("b", "/x", methods=GET)),
        (Rule("a", "/x", methods=GET), Rule("b", "/x")),
        (Rule("a", "/x", methods=GET), Rule("b", "/x", methods=frozenset({"GET", "PUT"}))),
        (Rule("a", "/x"), Rule("b", "/x", hosts=("a.org",))),
        (Rule("a", "/x", hosts=("a.org",)), Rule("b", "/x", hosts=("a.org", "b.org"))),
        (
            Rule("a", "/x", headers=(Predicate("a", equals="1"),)),
            Rule("b", "/x", headers=(Predicate("a", equals="2"),)),
        ),
        (Rule("a", "/x", headers=(Predicate("a"),)), Rule("b", "/x", query=(Predicate("a"),))),
        (Rule("a", "/*"), Rule("b", "/x")),
        (Rule("a", "/x/*"), Rule("b", "/x/{id}")),
        (Rule("a", "/x/"), Rule("b", "/x")),
    ],
)
def test_a_rule_that_some_request_reaches_is_not_shadowed(earlier: Rule, later: Rule) -> None:
    """Rules that differ in host, path or predicates live beside each other without a warning."""
    assert found(earlier, later) == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule("r", "/a//b"), "repeated slashes"),
        (Rule("r", "/a//*"), "repeated slashes"),
        (Rule("r", "/a/../b"), "dot segments"),
        (Rule("r", "/a/%2e%2E/{x}"), "dot segments"),
        (Rule("r", "/a/..;x/b"), "hides a dot segment"),
        (Rule("r", "/a%2fb"), "allow_encoded_slashes"),
        (Rule("r", "/a#b"), '"#"'),
        (Rule("r", "/a?b=1"), '"?"'),
        (Rule("r", "/a\\b"), "a backslash"),
        (Rule("r", "/a%zz"), "hexadecimal"),
        (Rule("r", "/a%00"), "control character"),
        (Rule("r", "/a", methods=frozenset()), "leave it out"),
        (Rule("r", "/a", hosts=("a b",)), 'host "a b"'),
        (Rule("r", "/a", hosts=("*",)), 'host "*"'),
        (Rule("r", "/a", hosts=("a.*.org", "x.org")), 'host "a.*.org"'),
    ],
)
def test_a_rule_that_can_never_match_is_reported(rule: Rule, message: str) -> None:
    """A path that no normalised request has, a host that no request has, or no method at all: said with a remedy."""
    (warning,) = rule_warnings([rule])
    assert (warning.rule_id, warning.kind) == ("r", "never_matches")
    assert message in warning.message


@pytest.mark.parametrize(
    "rule",
    [
        Rule("r", "/a%2fb", allow_encoded_slashes=True),
        Rule("r", "/é/a b/%7e"),
        Rule("r", "/..{x}/*"),
        Rule("r", "/", hosts=("*.example.com", "a_b.org", "[::1]", "localhost", "xn--e1a.org")),
    ],
)
def test_an_unusual_rule_that_can_match_is_not_reported(rule: Rule) -> None:
    """Unusual but possible paths and hosts give no warning."""
    assert found(rule) == []


@pytest.mark.parametrize("accept_rewritten", [False, True])
@pytest.mark.parametrize(
    ("rules", "base_path"),
    [
        ([Rule("a", "/a/*", rewrite="/b/$1"), Rule("b", "/b/*", rewrite="/c/$1")], ""),
        ([Rule("a", "/a/{id}", rewrite="/b/{id}"), Rule("b", "/b/{id}", rewrite="/c/{id}")], ""),
        ([Rule("a", "/a/x", rewrite="/b"), Rule("b", "/b", rewrite="/c", methods=GET)], ""),
        ([Rule("a", "/v1/a/*", rewrite="/api/v1/b/$1"), Rule("b", "/v1/b/*", rewrite="/c/$1")], "/api"),
        ([Rule("a", "/v1/b/*", strip_prefix="/v1"), Rule("b", "/b/*", rewrite="/c/$1")], ""),
    ],
)
def test_a_rewritten_form_that_is_rewritten_again_is_reported(
    rules: list[Rule], base_path: str, accept_rewritten: bool
) -> None:
    """A rule is reported if another declared path takes what it makes of a path, and makes something else of that."""
    assert found(*rules, base_path=base_path, accept_rewritten=accept_rewritten) == [("a", "double_rewrite")]


@pytest.mark.parametrize(
    "other",
    [
        Rule("b", "/b/*"),
        Rule("b", "/b/*", rewrite="/b/$1"),
        Rule("b", "/*", rewrite="/c/$1"),
        Rule("b", "/b/*", rewrite="/c/$1", methods=frozenset({"PUT"})),
        Rule("b", "/b/*", rewrite="/c/$1", hosts=("b.org",)),
    ],
)
def test_a_rewritten_form_that_stays_as_it_is_is_not_reported(other: Rule) -> None:
    """A path in rewritten form that no rule as specific changes, or only for other requests, gives no warning."""
    assert found(Rule("a", "/a/*", rewrite="/b/$1", methods=GET), other, accept_rewritten=True) == []


@pytest.mark.parametrize(
    ("headers", "expected"), [((), []), ((Predicate("x-new"),), [("a", "double_rewrite")])], ids=["always", "sometimes"]
)
def test_a_rule_in_front_protects_a_rewritten_form(
    headers: tuple[Predicate, ...], expected: list[tuple[str, str]]
) -> None:
    """Where another rule leaves the path alone, it counts for nothing if that rule wants more of the request."""
    keeps = Rule("keeps", "/b/*", methods=GET, headers=headers)
    assert found(Rule("a", "/a/*", rewrite="/b/$1", methods=GET), keeps, Rule("b", "/b/*", rewrite="/c/$1")) == expected


def test_warnings_come_in_the_order_of_the_rules() -> None:
    """Warnings of all kinds are in the order of the rules, so that they read like the file."""
    rules = [Rule("a", "/a//"), Rule("b", "/b"), Rule("c", "/b"), Rule("d", "/d?", methods=frozenset())]
    assert [rule_id for rule_id, _ in found(*rules)] == ["a", "c", "d", "d"]


def test_rules_that_do_not_compile_are_errors() -> None:
    """What is wrong beyond a warning is an error that names the route."""
    with pytest.raises(PatternError, match='route "orders"'):
        rule_warnings([Rule("orders", "/a/**")])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("a", "/d/{tenant}/*", rewrite="/x/$2"), [("a", "one_way")]),
        (Rule("a", "/d/{tenant}", rewrite="/x/$1/$1"), [("a", "one_way")]),
        (Rule("a", "/{x}-{y}/z", rewrite="/x/$1$2"), [("a", "one_way")]),
        (Rule("a", "/d/{tenant}/*", rewrite="/x/$1/y/$2"), []),
        (Rule("a", "/d", rewrite="/x"), []),
        (Rule("a", "/d/{tenant}/*", rewrite="/$2"), []),
        (Rule("a", "/d/*", redirect="here", rewrite="/x"), []),
    ],
)
def test_a_rewrite_that_cannot_be_turned_around_is_reported(rule: Rule, expected: list[tuple[str, str]]) -> None:
    """Where rewritten paths are accepted, a route that cannot take them, as their own path is not known, says so."""
    assert found(rule, accept_rewritten=True) == expected
    assert found(rule) == []
