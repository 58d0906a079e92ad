from zoneinfo import ZoneInfo

import pytest

from gateway.algorithms.conditions import Calendar, Facts, compile_condition
from gateway.http.testing import make_exchange


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ('path == "/users%3Adelete"', "/users:delete"),
        ('"/café" == path', "/caf%C3%A9"),
        ('path in ["/x", "/adm%40in"]', "/adm@in"),
        ('path.startswith("/a b/")', "/a%20b/c"),
        ('path.endswith("%2fx")', "/a%2Fx"),
        ('not (path != "/%7eme")', "/~me"),
        ('(path == "/%41") == true', "/A"),
        ('path.matches("/a%20.*")', "/a%20b"),
    ],
)
def test_a_literal_may_be_written_as_people_write_it(condition: str, path: str) -> None:
    """Texts beside `path` are brought into the form in which paths are compared; regular expressions are not."""
    facts = Facts(make_exchange(path=path), 0.0, Calendar(ZoneInfo("UTC")))
    assert compile_condition(condition).holds(facts)
    assert not compile_condition(f"not ({condition})").holds(facts)
