"""What is sent, in the client's spelling, against what is sent in the form in which paths are compared."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.paths import PathError, compared, is_sendable, merge_slashes, normalise
from gateway.routes.rule import Match, Rule
from tests.routes.support import table

_PIECES = [
    "/",
    "//",
    "a",
    "b",
    "-",
    "%61",
    "%3a",
    ":",
    "%3B",
    "%2d",
    "%c3%a9",
    ".",
    "%2E",
    "x",
    "api",
    "%2f",
    "[",
    "%25",
]
_RULES = [
    Rule("rest", "/a/*", rewrite="/s/$1"),
    Rule("middle", "/b/*", rewrite="/s/$1/end"),
    Rule("glued", "/x/*", rewrite="/s-$1"),
    Rule("parts", "/{one}-{two}/*", rewrite="/{two}/q%3B/{one}/$3"),
    Rule("verb", "/{name}:{verb}", rewrite="/{verb}/{name}.json"),
    Rule("strip", "/a:/*", strip_prefix="/a:"),
    Rule("redirect", "/x:/*", rewrite="/$1", redirect="here"),
    Rule("plain", "/*"),
]
_TABLE = table(*_RULES, base_path="/api", accept_rewritten=True)


@settings(max_examples=500)
@given(st.lists(st.sampled_from(_PIECES), max_size=10).map("".join))
def test_the_spelling_changes_nothing_that_is_compared(text: str) -> None:
    """Whatever a client writes, what is sent is the same to a reader who decodes it, and has no dot segments."""
    try:
        path, _, pieces = normalise(b"/" + text.encode())
    except PathError:
        return
    as_compared = _TABLE.match("GET", "h", path, b"", [], {})
    as_it_came = _TABLE.match("GET", "h", path, b"", [], {}, pieces)
    assert isinstance(as_compared, Match)
    assert isinstance(as_it_came, Match)
    assert (as_it_came.rule, as_it_came.own_path) == (as_compared.rule, as_compared.own_path)
    assert compared(as_it_came.path) == compared(as_compared.path)
    assert is_sendable(as_it_came.path)
    if as_it_came.rule.id == "plain" and as_it_came.form == "declared":
        assert as_it_came.path == normalise(b"/" + text.encode()).sent
    assert merge_slashes(as_compared.path) == as_compared.path
