import timeit
import tracemalloc

import pytest

from gateway.errors import GatewayError
from gateway.routes.rule import Match, NoMatch, Predicate, Rule
from gateway.routes.table import RuleErrors
from gateway.routes.wildcards import PatternError
from tests.routes.support import ask, sent, table, winner
from tests.support import computes_within

SAMPLE = (
    Rule("design", "/v1/process-design/*", rewrite="/api/v1/processes/$1"),
    Rule("execution", "/v1/execution/*", rewrite="/api/v1/execution/$1"),
    Rule("scheduling", "/v1/scheduling/*", rewrite="/api/v1/schedules/$1"),
)


@pytest.mark.parametrize(
    ("path", "rule", "form", "expected"),
    [
        ("/v1/process-design/x", "design", "declared", "/api/v1/processes/x"),
        ("/api/v1/process-design/x", "design", "base_path", "/api/v1/processes/x"),
        ("/api/v1/process-design", "design", "base_path", "/api/v1/processes"),
        ("/api/v1/processes", "design", "rewritten", "/api/v1/processes"),
        ("/api/v1/processes/7", "design", "rewritten", "/api/v1/processes/7"),
        ("/api/api/v1/processes", "design", "rewritten", "/api/v1/processes"),
        ("/api/v1/execution/7", "execution", "base_path", "/api/v1/execution/7"),
        ("/v1/scheduling/a/b/", "scheduling", "declared", "/api/v1/schedules/a/b/"),
    ],
)
def test_the_sample_takes_every_form_of_its_paths(path: str, rule: str, form: str, expected: str) -> None:
    """A path as declared, with the base path in front, and already rewritten reaches the same target path."""
    match = ask(table(*SAMPLE, base_path="/api", accept_rewritten=True), path)
    assert isinstance(match, Match)
    assert (match.value, match.form, match.path) == (rule, form, expected)


def test_rewritten_paths_are_taken_only_if_accepted() -> None:
    """Without accept_rewritten, a path that is already rewritten is an unknown path."""
    assert ask(table(*SAMPLE, base_path="/api"), "/api/v1/processes/7") == NoMatch()


def test_the_base_path_is_not_sent() -> None:
    """A route without a rewrite gets the path without the base path, and the base path alone is the root."""
    routes = table(Rule("root", "/"), Rule("x", "/x/*"), Rule("strip", "/s/*", strip_prefix="/s"), base_path="/api/")
    assert sent(ask(routes, "/api/x/y")) == "/x/y"
    assert sent(ask(routes, "/api/s/y")) == "/y"
    assert sent(ask(routes, "/api/s")) == "/"
    assert sent(ask(routes, "/api/")) == sent(ask(routes, "/api")) == sent(ask(routes, "/")) == "/"
    assert sent(ask(table(Rule("all", "/*"), base_path="/api"), "/api")) == "/"


@pytest.mark.parametrize(
    ("rule", "path", "parameters"),
    [
        (Rule("r", "/u/{id}", rewrite="/users/{id}/x"), "/users/7/x", {"id": "7"}),
        (Rule("r", "/u/{id}/*", rewrite="/users/$1/$2"), "/users/7", {"id": "7"}),
        (Rule("r", "/{a}/{b}", rewrite="/x/$2/$1"), "/x/1/2", {"a": "2", "b": "1"}),
        (Rule("r", "/v1/users/*", strip_prefix="/v1"), "/users/7", {}),
        (Rule("r", "/v1/users", strip_prefix="/v1/users"), "/", {}),
    ],
)
def test_rewritten_forms_have_the_wildcards_of_the_rewrite(rule: Rule, path: str, parameters: dict[str, str]) -> None:
    """What a rewrite or a stripped prefix makes of a path is taken as it is, with its parameters."""
    match = ask(table(rule, accept_rewritten=True), path)
    assert isinstance(match, Match)
    assert (match.form, match.path, match.parameters) == ("rewritten", path, parameters)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("r", "/v1/x/*", rewrite="/$1"),
        Rule("r", "/v1/{id}", rewrite="/{id}"),
        Rule("r", "/v1/*", strip_prefix="/v1"),
        Rule("r", "/*/x", strip_prefix="/v1"),
        Rule("r", "/v1/x"),
    ],
)
def test_a_rewritten_form_never_swallows_all_paths(rule: Rule) -> None:
    """A route whose rewritten form would be "/*" takes no paths but its own."""
    assert ask(table(rule, accept_rewritten=True), "/anything") == NoMatch()


def test_parameters_are_there_in_every_form() -> None:
    """The text of a {name} is given also under the base path, counted from behind it."""
    match = ask(table(Rule("r", "/u/{id}/*", rewrite="/users/{id}/$2"), base_path="/api"), "/api/u/7/a/b")
    assert isinstance(match, Match)
    assert (match.path, match.parameters) == ("/users/7/a/b", {"id": "7"})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/users", "/v1/users"),
        ("/v1/users/", "/v1/users/*"),
        ("/v1/user-7", "/v1/user-*"),
        ("/v1/u7", "/v1/u*"),
        ("/v1/x", "/v1/{id}"),
        ("/v1/x/y", "/v1/*"),
        ("/v1/7/posts", "/v1/{id}/posts"),
        ("/v1/users/posts", "/v1/users/*"),
        ("/v1", "/v1/*"),
        ("/v2", "/*"),
        ("/v1/user-7/x", "/v1/*"),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_most_specific_path_wins(path: str, expected: str, reverse: bool) -> None:
    """From the left: literal, partly literal, whole wildcard, rest; whatever the order in the file."""
    paths = ["/*", "/v1/*", "/v1/{id}", "/v1/u*", "/v1/user-*", "/v1/users", "/v1/users/*", "/v1/{id}/posts"]
    rules = [Rule(path, path) for path in paths]
    assert winner(ask(table(*reversed(rules) if reverse else rules), path)) == expected


@pytest.mark.parametrize(
    ("more", "less", "path"), [("/*bb", "/a*", "/abb"), ("/a*c", "/a*", "/abc"), ("/ab*", "/*c", "/abc")]
)
@pytest.mark.parametrize("reverse", [False, True])
def test_more_literal_text_goes_first_wherever_it_is(more: str, less: str, path: str, reverse: bool) -> None:
    """Of partly literal segments, the one with more literal characters wins, whether they are in front or behind."""
    rules = [Rule(more, more), Rule(less, less)]
    assert winner(ask(table(*(reversed(rules) if reverse else rules)), path)) == more


@pytest.mark.parametrize("paths", [["/a*", "/*b"], ["/*b", "/a*"]])
def test_equally_literal_segments_go_by_the_file(paths: list[str]) -> None:
    """Of partly literal segments with as much literal text, the one that comes first in the file wins."""
    assert winner(ask(table(*(Rule(path, path) for path in paths)), "/ab")) == paths[0]


def test_a_turn_that_leads_nowhere_is_taken_back() -> None:
    """If the more specific beginning has no route for the rest of the path, the less specific one is tried."""
    routes = table(
        Rule("literal", "/a/b/c"), Rule("name", "/a/{x}/d"), Rule("partial", "/a/b*/e"), Rule("rest", "/a/*")
    )
    assert winner(ask(routes, "/a/b/d")) == "name"
    assert winner(ask(routes, "/a/bb/e")) == "partial"
    assert winner(ask(routes, "/a/bb/d")) == "name"
    assert winner(ask(routes, "/a/bb/f")) == "rest"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.example.com", "exact"),
        ("API.Example.COM:8443", "exact"),
        ("api.example.com.", "exact"),
        ("api.example.com.:80", "exact"),
        ("%61pi%2Eexample.com", "exact"),
        ("api.example.com%3A80", "exact"),
        ("%78.example.com", "wildcard"),
        ("x.example.com", "wildcard"),
        ("x.y.example.com", "wildcard"),
        ("x.eu.example.com", "longer"),
        ("example.com", "any"),
        ("example.org", "any"),
        ("[::1]:9000", "ipv6"),
        ("[::1]", "ipv6"),
        ("[::2", "any"),
        ("", "any"),
        ("a." * 2000 + "example.com", "any"),
    ],
)
def test_the_most_specific_host_wins(host: str, expected: str) -> None:
    """An exact host goes before the longest wildcard, and that before any host; case, port and escapes do not count."""
    routes = table(
        Rule("any", "/x"),
        Rule("wildcard", "/x", hosts=("*.example.com",)),
        Rule("longer", "/x", hosts=("*.EU.example.com",)),
        Rule("exact", "/x", hosts=("other.example.com", "api.example.com")),
        Rule("ipv6", "/x", hosts=("[::1]",)),
    )
    assert winner(ask(routes, "/x", host=host)) == expected


def test_an_unknown_path_of_a_host_falls_through_to_any_host() -> None:
    """A host with routes of its own still has the routes for any host, even if those are more specific."""
    routes = table(Rule("all", "/exact"), Rule("own", "/own/*", hosts=("a.example.com",)))
    assert winner(ask(routes, "/exact", host="a.example.com")) == "all"
    assert winner(ask(routes, "/own/x", host="a.example.com")) == "own"
    assert ask(routes, "/own/x", host="b.example.com") == NoMatch()


def test_more_predicates_go_first() -> None:
    """Of rules for one path, the one that asks for more is tried first, and then the order of the file."""
    routes = table(
        Rule("plain", "/x"),
        Rule("get", "/x", methods=frozenset({"GET"})),
        Rule("later", "/x"),
        Rule("both", "/x", methods=frozenset({"GET"}), headers=(Predicate("X-Version", equals="2"),)),
        Rule("query", "/x", query=(Predicate("a"), Predicate("b", regex="[0-9]+"))),
    )
    assert winner(ask(routes, "/x", method="POST")) == "plain"
    assert winner(ask(routes, "/x")) == "get"
    assert winner(ask(routes, "/x", headers={"x-version": "2"})) == "both"
    assert winner(ask(routes, "/x", query="a&b=12")) == "query"
    assert winner(ask(routes, "/x", query="a&b=12x")) == "get"


def test_declared_paths_go_before_rewritten_ones() -> None:
    """Where one rule's rewritten form is another's path, the declared one wins, also if it comes later."""
    rules = Rule("old", "/old/*", rewrite="/new/$1"), Rule("base", "/new/*"), Rule("new", "/api/new/*")
    routes = table(*rules, base_path="/api", accept_rewritten=True)
    assert winner(ask(routes, "/new/x")) == "base"
    assert winner(ask(routes, "/api/new/x")) == "new"


@pytest.mark.parametrize(
    ("predicate", "query", "fits"),
    [
        (Predicate("a", equals="1"), "a=1", True),
        (Predicate("a", equals="1"), "b=2&a=1&b=1", True),
        (Predicate("a"), "a=1&a=2", True),
        (Predicate("a", present=False), "a=1&a=2", False),
        (Predicate("a", equals="1"), "a=11", False),
        (Predicate("a", equals="x y"), "a=x+y", True),
        (Predicate("a", equals="é/"), "a=%C3%A9%2F", True),
        (Predicate("a", equals=""), "a", True),
        (Predicate("a"), "a=", True),
        (Predicate("a"), "A=1", False),
        (Predicate("a", present=False), "", True),
        (Predicate("a", present=False), "a", False),
        (Predicate("a", regex="[0-9]"), "a=1", True),
        (Predicate("a", regex="[0-9]"), "a=12", False),
    ],
)
def test_query_predicates_hold_for_decoded_values(predicate: Predicate, query: str, fits: bool) -> None:
    """A query parameter is compared decoded and wholly; that it is there can be said of several, too."""
    assert isinstance(ask(table(Rule("r", "/x", query=(predicate,))), "/x", query=query), Match) is fits


@pytest.mark.parametrize(
    ("predicate", "headers", "fits"),
    [
        (Predicate("X-Tenant", equals="a"), {"x-tenant": "a"}, True),
        (Predicate("x-tenant", equals="a"), {"x-tenant": "A"}, False),
        (Predicate("x-tenant", equals="a"), {}, False),
        (Predicate("x-tenant"), {"x-tenant": ""}, True),
        (Predicate("x-tenant", present=False), {"x-tenant": ""}, False),
        (Predicate("x-tenant", present=False), {}, True),
        (Predicate("x-tenant", regex="é+"), {"x-tenant": "éé"}, True),
        (Predicate("x-tenant", regex="a"), {"x-tenant": "aa"}, False),
    ],
)
def test_header_predicates_hold_for_whole_values(predicate: Predicate, headers: dict[str, str], fits: bool) -> None:
    """A header is found by its name in any case, and its value compared wholly and by case."""
    assert isinstance(ask(table(Rule("r", "/x", headers=(predicate,))), "/x", headers=headers), Match) is fits


@pytest.mark.parametrize("host", ["api.test", "API.test", "api.test:80", "api.test."])
@pytest.mark.parametrize("wanted", ["api.test", "API.test:9000"])
def test_a_predicate_on_the_host_compares_hosts(host: str, wanted: str) -> None:
    """As `host` of a rule does: the same host, written in another way, takes no other route."""
    routes = table(Rule("closed", "/x", headers=(Predicate("Host", equals=wanted),)), Rule("open", "/x"))
    assert winner(ask(routes, "/x", headers={"host": host})) == "closed"


@pytest.mark.parametrize(
    ("predicate", "lines", "query"),
    [
        (Predicate("x-env", equals="prod"), [("x-env", "prod"), ("x-env", "")], ""),
        (Predicate("x-env", equals="prod"), [("x-env", "prod"), ("x-env", "prod")], ""),
        (Predicate("x-env", regex="prod|"), [("x-env", ""), ("other", "1"), ("x-env", "prod")], ""),
        (Predicate("env", equals="prod"), [], "env=prod&env="),
        (Predicate("env", equals="prod"), [], "%65nv=prod&a=1&env"),
        (Predicate("env", regex="p.*"), [], "env=prod&env=prod"),
    ],
)
def test_what_hangs_on_a_value_that_is_there_twice_is_refused(
    predicate: Predicate, lines: list[tuple[str, str]], query: str
) -> None:
    """A request that two parts of a chain could read differently takes neither route: it is a 400."""
    closed = Rule("closed", "/x", headers=(predicate,)) if lines else Rule("closed", "/x", query=(predicate,))
    routes = table(closed, Rule("open", "/x"))
    with pytest.raises(GatewayError, match=f"{predicate.name} is there more than once") as caught:
        ask(routes, "/x", headers=lines, query=query)
    assert caught.value.kind.status == 400
    assert winner(ask(routes, "/x", headers=lines[:1], query=query.partition("&")[0])) is not None


@pytest.mark.parametrize(
    ("name", "lines", "whole"),
    [
        ("accept", ["text/html", "application/json"], "text/html, application/json"),
        ("cookie", ["a=1", "b=2"], "a=1; b=2"),
        ("x-forwarded-for", ["192.0.2.1", "192.0.2.2"], "192.0.2.1, 192.0.2.2"),
    ],
)
def test_the_lines_of_a_list_are_one_value(name: str, lines: list[str], whole: str) -> None:
    """A header that is a list may come in several lines, which mean the same as one."""
    routes = table(Rule("r", "/x", headers=(Predicate(name, equals=whole),)))
    assert winner(ask(routes, "/x", headers=[(name, line) for line in lines])) == "r"


def test_a_value_that_no_predicate_hangs_on_may_be_there_twice() -> None:
    """What a route does not look at is between the client and the backend, as is what only has to be there."""
    routes = table(
        Rule("elsewhere", "/y", headers=(Predicate("x-env", equals="prod"),)),
        Rule("there", "/x", headers=(Predicate("x-env"),), query=(Predicate("a"),)),
    )
    assert winner(ask(routes, "/x", headers=[("x-env", "1"), ("x-env", "2")], query="a=1&a=2&b=1&b=2")) == "there"


def test_a_regular_expression_that_does_not_compile_is_refused() -> None:
    """A malformed regular expression is an error that names the route and the predicate."""
    with pytest.raises(PatternError, match='route "orders": x-a: "\\[" cannot be used'):
        table(Rule("orders", "/x", headers=(Predicate("x-a", regex="["),)))


@pytest.mark.parametrize("kind", ["headers", "query"])
def test_no_value_keeps_a_regular_expression_busy(kind: str) -> None:
    """A value made to send a backtracking engine astray is compared as fast as any, and one without end is a 400."""
    predicate = (Predicate("x-a", regex="(a+)+$"),)
    routes = table(Rule("r", "/x", headers=predicate) if kind == "headers" else Rule("r", "/x", query=predicate))

    def asked(value: str) -> str | None:
        return winner(ask(routes, "/x", headers={"x-a": value}, query=f"x-a={value}"))

    assert asked("a" * 2000 + "!") is None
    assert asked("a" * 2000) == "r"
    assert computes_within(0.5, lambda: asked("a" * 2000 + "!"))
    with pytest.raises(GatewayError, match="has more than the 8192 characters") as caught:
        asked("a" * 8193)
    assert caught.value.kind.status == 400


def test_every_rule_that_does_not_compile_is_named() -> None:
    """All malformed rules are reported at once, each with its id, so that they can be shown at their places."""
    rules = Rule("good", "/x"), Rule("a", "/a/**"), Rule("b", "/b", rewrite="/$1")
    with pytest.raises(RuleErrors) as caught:
        table(*rules)
    assert [rule_id for rule_id, _ in caught.value.problems] == ["a", "b"]
    assert "two wildcards side by side" in caught.value.problems[0][1]


def test_an_empty_host_is_refused() -> None:
    """A host that is only a port is an error, not a route for any host."""
    with pytest.raises(PatternError, match='route "orders": host ":80" has no name'):
        table(Rule("orders", "/x", hosts=(":80",)))


def test_get_answers_head() -> None:
    """A route for GET takes HEAD too (RFC 9110, 9.3.2), and one for HEAD does not take GET."""
    assert winner(ask(table(Rule("r", "/x", methods=frozenset({"GET"}))), "/x", method="HEAD")) == "r"
    assert ask(table(Rule("r", "/x", methods=frozenset({"HEAD"}))), "/x") == NoMatch(("HEAD",))


def test_the_answer_to_a_wrong_method_lists_the_allowed_ones() -> None:
    """If only methods are wrong, the answer names those of every rule that fits otherwise; if not, it is a 404."""
    routes = table(
        Rule("get", "/x", methods=frozenset({"GET"})),
        Rule("put", "/*", methods=frozenset({"PUT"})),
        Rule("other", "/x", methods=frozenset({"PATCH"}), headers=(Predicate("x-a"),)),
        Rule("host", "/x", methods=frozenset({"DELETE"}), hosts=("a.example.com",)),
    )
    assert ask(routes, "/x", method="POST") == NoMatch(("GET", "HEAD", "PUT"))
    assert ask(routes, "/y", method="POST") == NoMatch(("PUT",))
    assert ask(routes, "/x", method="POST", headers={"x-a": ""}) == NoMatch(("GET", "HEAD", "PATCH", "PUT"))
    assert ask(routes, "/x", method="POST", host="a.example.com") == NoMatch(("DELETE", "GET", "HEAD", "PUT"))
    assert winner(ask(routes, "/x", method="PUT")) == "put"
    assert ask(table(Rule("r", "/x", methods=frozenset())), "/x") == NoMatch()


def test_a_match_says_what_the_rule_says() -> None:
    """A match carries its rule, with what only others look at, such as whether encoded slashes are allowed."""
    match = ask(table(Rule("r", "/x/*", allow_encoded_slashes=True)), "/x/a%2Fb")
    assert isinstance(match, Match)
    assert match.rule.allow_encoded_slashes
    assert match.path == "/x/a%2Fb"


@pytest.mark.parametrize("path", ["/s{}/x", "/s{}/*", "/s{}/{{id}}", "/s{}-*/x"])
def test_many_routes_cost_as_little_as_few(path: str) -> None:
    """Finding the last of 5,000 routes takes about as long as that of two (a scan takes hundreds of times as long)."""
    assert _seconds_for_last(path, 5000) < 10 * _seconds_for_last(path, 2)


def _seconds_for_last(path: str, count: int) -> float:
    routes = table(*(Rule(f"r{i}", path.format(i)) for i in range(count)))
    asked = path.format(count - 1).replace("{id}", "x").replace("*", "x")
    assert winner(ask(routes, asked)) == f"r{count - 1}"
    return min(timeit.repeat(lambda: ask(routes, asked), number=50, repeat=9))


def test_a_rule_below_others_takes_only_what_they_leave() -> None:
    """However specific its host and path, a rule that is not below goes first; its methods count."""
    routes = table(
        Rule("below", "/v1/chat", hosts=("a.example",), below=True),
        Rule("second", "/v1/more", below=True),
        Rule("all", "/v1/*", methods=frozenset({"POST"})),
        base_path="/api",
    )
    assert winner(ask(routes, "/v1/chat", method="POST", host="a.example")) == "all"
    assert winner(ask(routes, "/v1/chat", method="GET", host="a.example:80")) == "below"
    assert winner(ask(routes, "/api/v1/more", method="GET")) == "second"
    assert ask(routes, "/v1/chat", method="GET") == NoMatch(("POST",))


def test_explain_says_that_a_rule_is_below() -> None:
    """Its path is more specific, which does not count."""
    routes = table(Rule("below", "/v1/chat", below=True), Rule("all", "/v1/*"))
    (loser,) = routes.explain("GET", "a", "/v1/chat", b"", [], {}).losers
    assert loser.reason == 'it takes only what no written route takes, as "all" does'


def test_the_pieces_of_a_table_hold_nearly_all_of_it() -> None:
    """So that a large one is freed little by little: without them, at most a sixth of it is freed at once."""
    hosts = ((), ("a.example.com",))
    rules = [
        Rule(f"r{number}", path, hosts[number % 2])
        for number in range(400)
        for path in (f"/v1/r{number}/{{id}}", f"/v2/r{number}", f"/v3/a-{{x}}/r{number}/*")
    ]
    tracemalloc.start()
    try:
        routes = table(*rules)
        whole, _ = tracemalloc.get_traced_memory()
        pieces = list(routes.pieces())
        before, _ = tracemalloc.get_traced_memory()
        del routes
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(pieces) >= 2 * len(rules)
    assert (before - left) < whole / 6
