import pytest

from gateway.routes.rule import Match, Rule
from gateway.routes.wildcards import PatternError
from tests.routes.support import ask, table


def fits(pattern: str, path: str) -> bool:
    return isinstance(ask(table(Rule("r", pattern)), path), Match)


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("/a/b", ["/a/b"], ["/a/b/", "/a", "/A/b", "/a/b/c"]),
        ("/a/", ["/a/"], ["/a", "/a//"]),
        ("/", ["/"], ["/a"]),
        ("/v1/x/*", ["/v1/x", "/v1/x/", "/v1/x/a/b", "/v1/x/a/"], ["/v1/xa", "/v1", "/v1/y"]),
        ("/*", ["/", "/a", "/a/b/"], []),
        ("/u/{id}", ["/u/7", "/u/a.b"], ["/u/", "/u", "/u/7/", "/u/7/8"]),
        ("/u/{id}/", ["/u/7/"], ["/u/7", "/u//"]),
        ("/a/*/c", ["/a/b/c"], ["/a//c", "/a/c", "/a/b/b/c"]),
        ("/a/*/c/*", ["/a/b/c", "/a/b/c/d/e"], ["/a/c/d"]),
        ("/img/*.png", ["/img/a.png", "/img/a.png.png"], ["/img/.png", "/img/a/b.png", "/img/a.jpg"]),
        ("/v{version}/x", ["/v1/x", "/v12/x"], ["/v/x", "/w1/x"]),
        ("/{from}-{to}", ["/a-b", "/a-b-c"], ["/a-", "/-b", "/ab"]),
        ("/file*", ["/files", "/file.txt"], ["/file", "/files/a"]),
        ("/café/*", ["/caf%C3%A9/x"], ["/cafe/x"]),
        ("/a b", ["/a%20b"], []),
        ("/%7euser", ["/~user"], []),
        ("/literal%2A", ["/literal*"], ["/literalx"]),
        ("/users%3Adelete", ["/users:delete"], ["/users/delete"]),
    ],
)
def test_a_pattern_fits_what_it_says(pattern: str, fitting: list[str], others: list[str]) -> None:
    """Literal text, {name} and * fit what the documentation says, and nothing else."""
    assert [path for path in fitting if not fits(pattern, path)] == []
    assert [path for path in others if fits(pattern, path)] == []


@pytest.mark.parametrize(
    ("pattern", "path", "parameters"),
    [
        ("/u/{id}", "/u/7", {"id": "7"}),
        ("/u/{id}/posts/{post}", "/u/7/posts/x%20y", {"id": "7", "post": "x%20y"}),
        ("/{from}-{to}", "/a-b-c", {"from": "a", "to": "b-c"}),
        ("/v{major}.{minor}/*", "/v1.2.3/x", {"major": "1", "minor": "2.3"}),
        ("/x/*/{y}/*", "/x/1/2/3", {"y": "2"}),
    ],
)
def test_names_give_what_they_took(pattern: str, path: str, parameters: dict[str, str]) -> None:
    """Each {name} gives the text of the path it stands for, the first of a segment taking as little as it can."""
    match = ask(table(Rule("r", pattern)), path)
    assert isinstance(match, Match)
    assert match.parameters == parameters


def test_a_wildcard_never_takes_half_an_escape() -> None:
    """Literal text in a segment is not found inside a percent-encoded character, so that no capture ends in a "%"."""
    routes = table(Rule("r", "/{x}2{y}"))
    assert not isinstance(ask(routes, "/a%2Fb"), Match)
    match = ask(routes, "/a%2F2b")
    assert isinstance(match, Match)
    assert match.parameters == {"x": "a%2F", "y": "b"}
    assert not fits("/*F", "/a%2F")


def test_segments_with_many_wildcards_are_decided_quickly() -> None:
    """A path made to keep a pattern with many wildcards busy costs no more than reading it (no backtracking)."""
    pattern = "/" + "*a" * 30 + "*b"
    assert not fits(pattern, "/" + "a" * 8000)
    assert fits(pattern, "/" + "xa" * 4000 + "xb")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("v1/x", 'must begin with "/"'),
        ("", 'must begin with "/"'),
        ("/a/**", "two wildcards side by side"),
        ("/a/{x}{y}", "two wildcards side by side"),
        ("/a/{x", "a brace without its partner"),
        ("/a/x}", "a brace without its partner"),
        ("/a/{}", "is not a name"),
        ("/a/{b-c}", "is not a name"),
        ("/{a}/{a}", "twice"),
        ("/a\x00b*", "control character"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused(pattern: str, message: str) -> None:
    """A malformed path is an error that names the route and says what is wrong with it."""
    with pytest.raises(PatternError, match=f'route "orders": .*{message}'):
        table(Rule("orders", pattern))
