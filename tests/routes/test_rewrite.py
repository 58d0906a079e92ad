import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.paths import is_sendable
from gateway.routes.rule import Match, NoMatch, Rule
from gateway.routes.wildcards import PatternError
from tests.routes.support import ask, sent, table


@pytest.mark.parametrize(
    ("pattern", "rewrite", "path", "expected"),
    [
        ("/v1/process-design/*", "/api/v1/processes/$1", "/v1/process-design/a/b", "/api/v1/processes/a/b"),
        ("/v1/process-design/*", "/api/v1/processes/$1", "/v1/process-design/", "/api/v1/processes/"),
        ("/v1/process-design/*", "/api/v1/processes/$1", "/v1/process-design", "/api/v1/processes"),
        ("/x/*", "/$1", "/x/a", "/a"),
        ("/x/*", "/$1", "/x", "/"),
        ("/x/*", "/y/$1/z", "/x/a/b", "/y/a/b/z"),
        ("/x/*", "/y/$1/z", "/x/a/", "/y/a/z"),
        ("/x/*", "/y/$1/z", "/x", "/y/z"),
        ("/x/*", "/y-$1", "/x/a/b", "/y-a/b"),
        ("/x/*", "/fixed", "/x/a/b", "/fixed"),
        ("/x/*", None, "/x/a/b", "/x/a/b"),
        ("/exact", "/other", "/exact", "/other"),
        ("/u/{id}", "/users/{id}", "/u/7", "/users/7"),
        ("/u/{id}", "/users/$1/profile", "/u/7", "/users/7/profile"),
        ("/u/{id}/*", "/users/{id}/$2", "/u/7/a/b", "/users/7/a/b"),
        ("/u/{id}/*", "/users/{id}/$2", "/u/7", "/users/7"),
        ("/{a}/{b}", "/$2/$1/{a}", "/1/2", "/2/1/1"),
        ("/img/*.png", "/pictures/$1/full.png", "/img/cat.png", "/pictures/cat/full.png"),
        ("/u/{id}", "/users/{id}.json", "/u/7%2F8", "/users/7%2F8.json"),
        ("/é/*", "/ü ü/$1", "/%C3%A9/x", "/%C3%BC%20%C3%BC/x"),
        ("/pay/*", "/cost$/$1", "/pay/x", "/cost$/x"),
    ],
)
def test_a_rewrite_puts_captures_in_place(pattern: str, rewrite: str | None, path: str, expected: str) -> None:
    """$1 and {name} stand for what the wildcards took, and a trailing * keeps the slash before it."""
    assert sent(ask(table(Rule("r", pattern, rewrite=rewrite)), path)) == expected


@pytest.mark.parametrize(
    ("pattern", "prefix", "path", "expected"),
    [
        ("/v1/*", "/v1", "/v1/a/b", "/a/b"),
        ("/v1/*", "/v1/", "/v1/a/b", "/a/b"),
        ("/v1/*", "/v1", "/v1", "/"),
        ("/v1/*", "/v1", "/v1/", "/"),
        ("/*", "/v1", "/v10/a", "/v10/a"),
        ("/v1/exact", "/v1", "/v1/exact", "/exact"),
        ("/v1/{id}", "/v1", "/v1/7", "/7"),
        ("/v1/*", "/", "/v1/a", "/v1/a"),
    ],
)
def test_a_prefix_is_stripped_at_the_end_of_a_segment(pattern: str, prefix: str, path: str, expected: str) -> None:
    """strip_prefix takes whole segments off the front, and leaves "/" of nothing."""
    assert sent(ask(table(Rule("r", pattern, strip_prefix=prefix)), path)) == expected


@pytest.mark.parametrize(
    ("pattern", "rewrite", "path"),
    [
        ("/v{x}/y", "/$1/secret", "/v../y"),
        ("/v{x}/y", "/$1;p/secret", "/v../y"),
        ("/v{x}/y", "/.$1/secret", "/v./y"),
        ("/v{x}", "/a/$1", "/v..%2Fb"),
        ("/{a}-{b}", "/a/$1$2", "/.-."),
        ("/{a}/{b}-x", "/a/.$1", "/;p/b-x"),
        ("/x/*", "/a/.$1", "/x/;p/b"),
    ],
)
def test_a_client_cannot_climb_out_of_a_rewrite(pattern: str, rewrite: str, path: str) -> None:
    """Where captured text would become a dot segment in the rewritten path, the route does not match."""
    assert ask(table(Rule("r", pattern, rewrite=rewrite)), path) == NoMatch()


_SEGMENTS = st.sampled_from(
    ["a", "..a", "a..", "v..", "v.", ".-.", "..-..", ";x", "v;x", "v%2F..b", "v%2F", "-", "a-b"]
)
_PATHS = st.lists(_SEGMENTS, max_size=3).map(lambda segments: "/" + "/".join(segments)).filter(is_sendable)
_PATTERNS = st.sampled_from(["/v*/{x}", "/{x}-*", "/{x}/v*", "/v{x}/*", "/{x}/*"])
_REWRITES = st.lists(st.sampled_from(["/", "$1", "$2", ".", "..a", ";p", "a"]), max_size=6).map(
    lambda parts: "/" + "".join(parts)
)


@given(pattern=_PATTERNS, rewrite=_REWRITES, path=_PATHS, base=st.sampled_from(["", "/api"]))
def test_what_is_sent_is_in_normal_form(pattern: str, rewrite: str, path: str, base: str) -> None:
    """Whatever clients put into wildcards, the rewritten path has neither dot segments nor repeated slashes."""
    try:
        routes = table(Rule("r", pattern, rewrite=rewrite), base_path=base)
    except PatternError:
        return
    answer = ask(routes, base + path)
    if isinstance(answer, Match):
        assert is_sendable(answer.path)


@pytest.mark.parametrize(
    ("pattern", "rewrite", "message"),
    [
        ("/a/*", "/b/$2", r'uses "\$2", which path "/a/\*" does not have; there is \$1'),
        ("/a/{id}", "/b/{name}", r'uses "{name}".*there is \$1, {id}'),
        ("/a", "/b/$1", "it has no wildcards"),
        ("/a/*", "/b/$0", r'uses "\$0"'),
        ("/a/*", "/b/*", r'write "\$1"'),
        ("/a/*", "/b/{x", r'write "\$1"'),
        ("/a/*", "b/$1", "does not begin"),
        ("/a/*", "/b/../$1", "dot segments"),
        ("/a/*", "/b//$1", "repeated slashes"),
        ("/a/*", "/b?x=$1", 'contains "\\?"'),
        ("/a/*", "/b%z$1", "hexadecimal"),
    ],
)
def test_a_rewrite_that_cannot_be_sent_is_refused(pattern: str, rewrite: str, message: str) -> None:
    """A rewrite that refers to nothing or makes no valid path is an error that names the route and the remedy."""
    with pytest.raises(PatternError, match=f'route "orders": rewrite .*{message}'):
        table(Rule("orders", pattern, rewrite=rewrite))


@pytest.mark.parametrize("prefix", ["v1", "/a/../b", "/a?b"])
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    """A prefix that no path begins with is an error that names it."""
    with pytest.raises(PatternError, match="strip_prefix"):
        table(Rule("r", "/v1/*", strip_prefix=prefix))
    with pytest.raises(PatternError, match="base_path"):
        table(Rule("r", "/v1/*"), base_path=prefix)
