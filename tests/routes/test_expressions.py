"""Path segments by regular expression, and rules with several paths."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routes.rule import Match, Rule
from gateway.routes.table import RouteTable
from gateway.routes.wildcards import PatternError
from tests.routes.support import ask, sent, table, why, winner
from tests.support import computes_within


def takes(pattern: str, path: str) -> bool:
    return isinstance(ask(table(Rule("r", pattern)), path), Match)


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("/api/{id:[1-9][0-9]*}", ["/api/7", "/api/10"], ["/api/07", "/api/", "/api/7a", "/api/7/", "/api/7/8"]),
        ("/x/{a:[^/]+}/y", ["/x/1/y"], ["/x//y", "/x/1/2/y"]),
        ("/x/{a:[0-9]{2,3}}/*", ["/x/12", "/x/123/z"], ["/x/1", "/x/1234"]),
        ("/x/{a:[]}]+}", ["/x/%5D%7D"], ["/x/a"]),
        ("/x/{a:\\}|b}", ["/x/%7D", "/x/b"], ["/x/a"]),
        ("/v{n:[0-9]+}.json", ["/v12.json"], ["/v.json", "/va.json", "/v12.xml"]),
        ("/{year:20[0-9]{2}}", ["/2026"], ["/1999"]),
        ("/{name:(?i)readme(\\.md)?}", ["/README", "/readme.MD"], ["/readme.txt"]),
        ("/{name:[a-zé ]+}", ["/caf%C3%A9", "/a%20b"], ["/caf%C3", "/A"]),
        ("/{name:^a$}", ["/a"], ["/aa"]),
        ("/{name:.*}", ["/a"], ["/"]),
    ],
)
def test_a_segment_fits_its_regular_expression_as_a_whole(pattern: str, fitting: list[str], others: list[str]) -> None:
    """Escapes are decoded before they are compared; slashes, braces and brackets belong to the expression."""
    assert [path for path in fitting if not takes(pattern, path)] == []
    assert [path for path in others if takes(pattern, path)] == []


def test_the_most_specific_segment_wins_whatever_the_order_of_the_file() -> None:
    """Literal text, then partly literal, of these one with an expression first, then an expression, then any text."""
    rules = [
        Rule("rest", "/a/*"),
        Rule("any", "/a/{x}"),
        Rule("digits", "/a/{x:[0-9]+}"),
        Rule("seven", "/a/7{x}"),
        Rule("seven-digits", "/a/7{x:[0-9]}"),
        Rule("literal", "/a/77"),
    ]
    for routes in (table(*rules), table(*reversed(rules))):
        wanted = {"/a/77": "literal", "/a/78": "seven-digits", "/a/7x": "seven", "/a/8": "digits", "/a/b": "any"}
        assert {path: winner(ask(routes, path)) for path in wanted} == wanted
        assert winner(ask(routes, "/a/b/c")) == "rest"


def test_of_two_expressions_the_first_of_the_file_is_asked_first() -> None:
    """And a request that the first does not take goes to the second."""
    routes = table(Rule("hex", "/{x:[0-9a-f]+}"), Rule("word", "/{y:[a-z]+}"))
    assert [winner(ask(routes, path)) for path in ("/ab", "/a1", "/xyz", "/-")] == ["hex", "hex", "word", None]


def test_of_two_that_are_equally_close_the_one_of_the_first_rule_goes_first_whatever_follows() -> None:
    """The first rule is that with the most predicates, then the first in the file, even if it fits no more itself."""
    rules = [Rule("hex", "/{x:[0-9a-f]+}/b"), Rule("word", "/{y:[a-z]+}/c"), Rule("hex-rest", "/{x:[0-9a-f]+}/{z}")]
    assert [winner(ask(table(*order), "/a/c")) for order in (rules, rules[1:])] == ["hex-rest", "word"]
    methods = Rule("word-deleted", "/{y:[a-z]+}/d", methods=frozenset({"DELETE"}))
    assert winner(ask(table(*rules, methods), "/a/c")) == "word"


EXPRESSIONS = (
    "[0-9a-f]+", "(users|a)", "(?:users|b)", "(?i)Users", "us.*", "[a-f]", "é|%", "(a|ab|abc)", "ab?", "[^a]b",
)  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "a", "%C3%A9", "A"]), st.sampled_from(EXPRESSIONS), st.sampled_from(["", "b"])),
        unique=True,
    ),
    st.one_of(
        st.sampled_from(["users", "USERS", "aUsers", "%C3%A9%C3%A9", "Ab", "%25b", "a%C3%A9", "%C3", "useb", "aab"]),
        st.text("abcAuser%9C3"),
    ),
)
def test_of_expressions_that_begin_alike_all_and_only_those_that_fit_are_asked(
    segments: list[tuple[str, str, str]], text: str
) -> None:
    """Together they take what each would take alone, the one with the most literal text first, then in their order."""
    rules = [Rule(str(number), f"/x/{head}{{v:{body}}}{tail}/y") for number, (head, body, tail) in enumerate(segments)]
    path = f"/x/{text}/y"
    fitting = [rule for rule in rules if takes(rule.path, path)]
    first = min(fitting, key=lambda rule: -len("".join(segments[int(rule.id)][::2])), default=None)
    assert winner(ask(table(*rules), path)) == (first and first.id)


def test_a_thousand_expressions_that_begin_alike_cost_a_request_no_more_than_ten() -> None:
    """Whatever it asks for: what one of them takes, what all of them take, or nothing."""

    def routes_of(count: int) -> RouteTable[str]:
        rules = (
            Rule(
                str(number), f"/api/{{a:(?:users|items{number})}}/{{b:[0-9]+}}", also=(f"/x/{{a:shop{number}-[a-z]+}}",)
            )
            for number in range(count)
        )
        return table(*rules)

    def seconds(routes: RouteTable[str], path: str) -> float:
        best = 9.0
        found = ask(routes, path)
        for _ in range(5):  # the machine may do something else meanwhile
            began = time.process_time()
            assert all(ask(routes, path) == found for _ in range(50))
            best = min(best, time.process_time() - began)
        return best

    thousand, ten = routes_of(1000), routes_of(10)
    for path in ("/api/items7/1", "/api/users/1", "/api/items/1", "/x/shop7-a", "/x/shop/a"):
        assert seconds(thousand, path) < 15 * seconds(ten, path)


@pytest.mark.parametrize("text", ["a" * 8000, "a" * 8000 + "!", "%C3%A9" * 1300])
def test_a_hostile_segment_takes_no_longer_than_its_length(text: str) -> None:
    """What makes other engines go back and forth for ever takes milliseconds."""

    def looked_up() -> str | None:
        return winner(ask(table(Rule("r", "/{x:(a+)+b|(a|a)*c}")), "/" + text))

    assert looked_up() is None
    assert computes_within(1, looked_up)


def test_what_an_expression_took_can_be_used_in_rewrites_under_a_base_path_and_turned_around() -> None:
    """By number and by name; and a path in the rewritten form is accepted where the expression fits it only."""
    rule = Rule("r", "/u/{id:[0-9]+}/*", rewrite="/users/{id}/$2")
    routes = table(rule, base_path="/api", accept_rewritten=True)
    answers = [ask(routes, path) for path in ("/u/7/x/y", "/api/u/7", "/users/7/x", "/users/seven/x")]
    assert [sent(answer) for answer in answers] == ["/users/7/x/y", "/users/7", "/users/7/x", None]
    assert isinstance(answers[2], Match)
    assert answers[2].own_path == "/u/7/x"
    assert isinstance(answers[0], Match)
    assert answers[0].parameters == {"id": "7"}


def test_two_expressions_in_one_segment_of_the_rewrite_are_checked_on_the_way_back() -> None:
    """The rewritten form alone cannot tell; the path that it would come from does."""
    rule = Rule("r", "/{a:[0-9]+}/{b:[a-z]+}", rewrite="/x/{a}-{b}")
    routes = table(rule, accept_rewritten=True)
    assert sent(ask(routes, "/1/b")) == "/x/1-b"
    assert [winner(ask(routes, path)) for path in ("/x/1-b", "/x/b-1", "/x/1-2")] == ["r", None, None]


def test_strip_prefix_keeps_the_expression() -> None:
    """In the declared form, and in the one that is left of it."""
    routes = table(Rule("r", "/v1/users/{id:[0-9]+}", strip_prefix="/v1"), accept_rewritten=True)
    paths = ("/v1/users/7", "/users/7", "/users/x", "/v1/users/x")
    assert [sent(ask(routes, path)) for path in paths] == ["/users/7", "/users/7", None, None]


@given(st.text("0123456789ab.-", max_size=6))
def test_a_path_is_taken_by_one_of_two_complementary_routes(text: str) -> None:
    """The expression takes exactly what its plain sibling does not get."""
    routes = table(Rule("any", "/x/{a}"), Rule("digits", "/x/{a:[0-9]+}"))
    expected = None if not text else "digits" if text.isascii() and text.isdigit() else "any"
    assert winner(ask(routes, f"/x/{text}")) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("/{a:[0-9]+}{b}", "two wildcards side by side"),
        ("/{a:[0-9]+}-{b}", "has a regular expression beside another wildcard"),
        ("/{a:[0-9}", "a brace without its partner"),
        ("/{a:(}", '"(" cannot be used: see character 1'),
        ("/{a:[0-9]+?}", "see character 7"),
        ("/{a:x}/{a:y}", "twice"),
        ("/{:x}", "is not a name"),
        ("/x}", "a brace without its partner"),
    ],
)
def test_an_invalid_expression_is_reported(pattern: str, message: str) -> None:
    """With its place in the expression."""
    with pytest.raises(PatternError) as raised:
        table(Rule("r", pattern))
    assert message in str(raised.value)


def test_the_reasons_name_the_expression() -> None:
    """Of a route that lost, and of one that the path does not fit."""
    routes = table(Rule("digits", "/a/{x:[0-9]+}"), Rule("any", "/a/{x}"), Rule("slashed", "/a/{x:[^/]{9}}/b"))
    lost = {loser.rule.id: loser.reason for loser in why(routes, "/a/7").losers}
    assert lost["any"] == 'less specific: "/a/{x}" has a wildcard where "/a/{x:[0-9]+}" has a regular expression'
    assert lost["slashed"] == 'path differs at segment 2: "7" is not "{x:[^/]{9}}"'
    missed = {loser.rule.id: loser.reason for loser in why(routes, "/a/x").losers}
    assert missed["digits"] == 'path differs at segment 2: "x" is not "{x:[0-9]+}"'


def test_a_rule_takes_each_of_its_paths() -> None:
    """With the same rewrite, in all forms, and is listed once where it takes none."""
    rule = Rule("r", "/v1/{id}/*", also=("/old/{id}/*", "/exact"), methods=frozenset({"GET"}))
    other = Rule("two", "/v1/{id}", rewrite="/u/{id}", also=("/users/{id}",))
    routes = table(rule, other, base_path="/api")
    paths = ("/v1/7/x", "/api/old/7/y", "/exact", "/exact/x", "/v1/7", "/api/users/8")
    assert [sent(ask(routes, path)) for path in paths] == ["/v1/7/x", "/old/7/y", "/exact", None, "/u/7", "/u/8"]
    explained = why(routes, "/users/7")
    assert (explained.path, [loser.rule.id for loser in explained.losers]) == ("/users/{id}", ["r"])
