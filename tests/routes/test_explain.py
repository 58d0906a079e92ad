import pytest

from gateway.routes.explain import path_taken
from gateway.routes.rule import Match, NoMatch, Predicate, Rule
from tests.routes.support import table, why

GET = frozenset({"GET"})


@pytest.mark.parametrize(
    ("winner", "loser", "reason"),
    [
        (
            Rule("w", "/v1/users"),
            Rule("l", "/v1/*"),
            'less specific: "/v1/*" ends in a wildcard where "/v1/users" is literal',
        ),
        (
            Rule("w", "/v1/users"),
            Rule("l", "/v1/users/*"),
            'less specific: "/v1/users/*" ends in a wildcard where "/v1/users" is literal',
        ),
        (
            Rule("w", "/v1/us*"),
            Rule("l", "/v1/{id}"),
            'less specific: "/v1/{id}" has a wildcard where "/v1/us*" is partly literal ("us*")',
        ),
        (
            Rule("w", "/v1/use*"),
            Rule("l", "/v1/us*"),
            'less specific: "/v1/us*" is partly literal ("us*") where "/v1/use*" is partly literal ("use*")',
        ),
        (
            Rule("w", "/v1/us*"),
            Rule("l", "/v1/*rs"),
            '"/v1/*rs" is as specific as "/v1/us*", but has fewer predicates or comes later',
        ),
        (
            Rule("w", "/v1/users", hosts=("a.example.com",)),
            Rule("l", "/v1/users", hosts=("*.example.com",)),
            'less specific: it wants host "*.example.com" where route "w" wants host "a.example.com"',
        ),
        (
            Rule("w", "/v1/*", hosts=("*.example.com",)),
            Rule("l", "/v1/users"),
            'less specific: it takes any host where route "w" wants host "*.example.com"',
        ),
        (
            Rule("w", "/v1/users", methods=GET),
            Rule("l", "/v1/users"),
            'less specific: route "w" has the same path and more predicates (1, not 0)',
        ),
        (Rule("w", "/v1/users"), Rule("l", "/v1/users"), 'route "w" is as specific, and comes earlier in the file'),
        (
            Rule("w", "/v1/users"),
            Rule("l", "/old", rewrite="/v1/users"),
            'route "w" fits in its declared form, which goes before the rewritten form',
        ),
        (Rule("w", "/*"), Rule("l", "/v1/users", methods=frozenset({"PUT"})), "method GET is not among PUT"),
        (
            Rule("w", "/*"),
            Rule("l", "/v1/users", headers=(Predicate("X-Version", equals="2"),)),
            'header x-version is "1", the route wants "2"',
        ),
        (
            Rule("w", "/*"),
            Rule("l", "/v1/users", headers=(Predicate("x-missing"),)),
            "header x-missing is missing, the route wants any value",
        ),
        (
            Rule("w", "/*"),
            Rule("l", "/v1/users", query=(Predicate("a", regex="[0-9]"),)),
            'query parameter a is "x", the route wants one that wholly fits "[0-9]"',
        ),
        (
            Rule("w", "/*"),
            Rule("l", "/v1/users", query=(Predicate("a", present=False),)),
            'query parameter a is "x", the route wants it absent',
        ),
        (Rule("w", "/*"), Rule("l", "/v1/orders"), 'path differs at segment 2: "users" is not "orders"'),
        (Rule("w", "/*"), Rule("l", "/v1/x{id}"), 'path differs at segment 2: "users" is not "x{id}"'),
        (Rule("w", "/*"), Rule("l", "/v1/users/"), "the route ends in a slash, the path does not"),
        (Rule("w", "/*"), Rule("l", "/v1/users/{id}"), 'the path ends where the route goes on with "{id}"'),
        (Rule("w", "/*"), Rule("l", "/v1"), 'the path goes on with "users" at segment 2, where the route ends'),
        (
            Rule("w", "/*"),
            Rule("l", "/v1/users", hosts=("b.org", "*.b.org")),
            'host "a.example.com" is not "b.org" or "*.b.org"',
        ),
    ],
)
@pytest.mark.parametrize("base_path", ["", "/api"])
def test_every_loser_has_a_reason(winner: Rule, loser: Rule, reason: str, base_path: str) -> None:
    """For each rule that did not take a request there is one sentence that says what made the difference."""
    routes = table(winner, loser, base_path=base_path, accept_rewritten=True)
    lines = [(b"x-version", b"1")]
    explanation = routes.explain("GET", "a.example.com:80", "/v1/users", b"a=x", lines, dict(lines))
    assert isinstance(explanation.result, Match)
    assert explanation.result.value == "w"
    assert [(lost.rule.id, lost.reason) for lost in explanation.losers] == [("l", reason)]


def test_a_trailing_slash_too_many_is_named() -> None:
    """For a path with a superfluous slash the reason says so."""
    explanation = why(table(Rule("r", "/v1/users")), "/v1/users/")
    assert [lost.reason for lost in explanation.losers] == ["the path ends in a slash, the route does not"]


def test_an_unsafe_rewrite_is_named() -> None:
    """A route that is passed over since its rewrite would become a dot segment says so."""
    explanation = why(table(Rule("r", "/v{x}", rewrite="/a/$1")), "/v..")
    assert explanation.result == NoMatch()
    assert [lost.reason for lost in explanation.losers] == [
        "the captures of the wildcards would make a dot segment in the rewritten path"
    ]


def test_no_match_names_those_that_came_nearest_first() -> None:
    """Without a match, rules with only a wrong method come first, then those that fit the most of the path."""
    routes = table(
        Rule("far", "/x"), Rule("near", "/v1/users/{id}/posts"), Rule("method", "/v1/users/{id}", methods=GET)
    )
    explanation = why(routes, "/v1/users/7", method="POST")
    assert explanation.result == NoMatch(("GET", "HEAD"))
    assert [lost.rule.id for lost in explanation.losers] == ["method", "near", "far"]


def test_the_form_that_came_nearest_is_shown() -> None:
    """A rule is spoken of once, in the form that fits the most of the path."""
    routes = table(Rule("r", "/v1/x/*", rewrite="/api/v2/x/$1"), base_path="/api", accept_rewritten=True)
    (lost,) = why(routes, "/api/v2/y").losers
    assert (lost.path, lost.pattern, lost.form) == ("/v1/x/*", "/api/v2/x/$1", "rewritten")
    assert lost.reason == 'rewritten it is /api/v2/x/$1, and path differs at segment 3: "y" is not "x"'


@pytest.mark.parametrize(
    ("rules", "path", "reason"),
    [
        (
            [Rule("w", "/api/v2/*"), Rule("l", "/plain/*")],
            "/api/v2/1",
            'behind base_path /api it is /api/plain/*, and path differs at segment 2: "v2" is not "plain"',
        ),
        ([Rule("w", "/a"), Rule("l", "/plain")], "/a", 'path differs at segment 1: "a" is not "plain"'),
        (
            [Rule("w", "/api/v2/*"), Rule("l", "/")],
            "/api/v2",
            'behind base_path /api it is /api/, and the path goes on with "v2" at segment 2, where the route ends',
        ),
        (
            [Rule("w", "/users/*"), Rule("l", "/*")],
            "/api/users/1",
            'less specific: "/*" ends in a wildcard where "/users/*" is literal',
        ),
        (
            [Rule("w", "/users/*"), Rule("l", "/api/{any}/*")],
            "/api/users/1",
            'less specific: "/api/{any}/*" has a wildcard where "/users/*" behind base_path /api is literal',
        ),
        (
            [Rule("w", "/api/users"), Rule("l", "/users")],
            "/api/users",
            'route "w" fits in its declared form, which goes before the form behind base_path',
        ),
    ],
)
def test_paths_are_named_as_they_are_written(rules: list[Rule], path: str, reason: str) -> None:
    """What is compared with the base path in front is no path of the file: the reason names both, and the base path."""
    explanation = why(table(*rules, base_path="/api"), path)
    assert [(lost.path, lost.reason) for lost in explanation.losers] == [(rules[1].path, reason)]


def test_a_long_list_is_cut() -> None:
    """Of many rules that do not fit, the nearest are listed and the others counted."""
    routes = table(*(Rule(f"far{i}", f"/x/{i}") for i in range(50)), *(Rule(f"near{i}", f"/v1/{i}") for i in range(5)))
    explanation = why(routes, "/v1/users")
    assert len(explanation.losers) == 20
    assert [lost.rule.id for lost in explanation.losers[:6]] == ["near0", "near1", "near2", "near3", "near4", "far0"]
    assert explanation.more == 35


@pytest.mark.parametrize(
    ("pattern", "path", "reason"),
    [
        ("/shop/*", "/", 'the path ends where the route goes on with "shop"'),
        ("/users/{id}", "/users/", 'the path ends where the route goes on with "{id}"'),
        ("/users", "/users/", "the path ends in a slash, the route does not"),
        ("/users/", "/users", "the route ends in a slash, the path does not"),
        ("/users/", "/users/7", 'the path goes on with "7" at segment 2, where the route ends'),
        ("/", "/users", 'the path goes on with "users" at segment 1, where the route ends'),
        ("/users", "/users/7", 'the path goes on with "7" at segment 2, where the route ends'),
    ],
)
def test_a_slash_is_blamed_only_where_it_is_to_blame(pattern: str, path: str, reason: str) -> None:
    """Of a route that takes paths with a slash at their end, and of one that ends elsewhere, no slash is said to be
    the reason."""
    explanation = why(table(Rule("r", pattern)), path)
    assert [lost.reason for lost in explanation.losers] == [reason]


@pytest.mark.parametrize("path", ["/a/x", "/b/x/y", "/b/c/d", "/api/b/x", "/new/x", "/q/x"])
def test_the_path_alone_is_the_one_that_an_explanation_names(path: str) -> None:
    """Of a rule with several paths and forms, whatever other rules come first that want more of a request."""
    draft = Predicate("x-stage", equals="draft")
    routes = table(
        Rule("draft", "/b/*", headers=(draft,)),
        Rule("w", "/a/{name}", also=("/b/*", "/b/c/*", "/q/{name}"), rewrite="/new/$1"),
        Rule("put", "/a/x", methods=frozenset({"PUT"})),
        base_path="/api",
        accept_rewritten=True,
    )
    explanation = why(routes, path)
    assert isinstance(explanation.result, Match)
    assert path_taken(routes, explanation.result, "GET", "localhost", path) == explanation.path != ""
