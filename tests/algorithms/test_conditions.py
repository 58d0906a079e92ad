"""Conditions: what they mean, what is refused, and that they neither fail nor hang."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.conditions import Calendar, ConditionError, Facts, compile_condition
from gateway.http import Exchange, Identity
from gateway.http.testing import make_exchange
from tests.support import computes_within

FRIDAY = datetime(2026, 11, 20, 17, 30, tzinfo=UTC).timestamp()
CLAIMS: Mapping[str, Any] = {
    "level": 3,
    "roles": ["admin", "dev"],
    "role": "admin",
    "beta": True,
    "nothing": None,
    "place": {"country": "DE"},
    "https://example.com/team": "core",
}


def exchange(
    claims: Mapping[str, Any] = CLAIMS, *, known: bool = True, client: str = "10.1.2.3", query: str = "a=1&b=2&b=3"
) -> Exchange:
    """GET /v1/orders from 10.1.2.3, by acme."""
    request = make_exchange("GET", f"/v1/orders?{query}", headers=[("X-Team", "core"), ("X-Two", "1")], client=client)
    if known:
        groups, scopes = frozenset({"gold", "eu"}), frozenset({"orders:read"})
        request.identity = Identity("acme", "keys", "acme-corp", groups, scopes, claims)
    return request


def holds(text: str, request: Exchange | None = None, zone: str = "UTC", now: float = FRIDAY) -> bool:
    """Whether a condition holds."""
    return compile_condition(text).holds(Facts(request or exchange(), now, Calendar(ZoneInfo(zone))))


@pytest.mark.parametrize(
    "text",
    [
        'consumer == "acme" and tenant != "other"',
        '"gold" in groups and "silver" not in groups',
        '"orders:read" in scopes',
        'method in ["GET", "HEAD"]',
        'path.startswith("/v1/") and path.endswith("orders") and path.matches("/v[0-9]+/[a-z]+")',
        "claims.level >= 3 and claims.level < 3.5 and claims.level == 3",
        '"admin" in claims.roles and "admin" in claims.role',
        'claims.place.country in ["DE", "AT"]',
        'claims["https://example.com/team"] == "core"',
        '"level" in claims and "missing" not in claims',
        "claims.beta and claims.beta == true",
        'headers["x-team"] == "core" and headers["X-Team"] == "core" and "X-Team" in headers',
        'query.a == "1" and "b" in query',
        'client in "10.0.0.0/8" and client in ["192.168.0.0/16", "10.1.2.3"] and client not in "11.0.0.0/8"',
        'client == "10.1.2.3" and client != "10.1.2.4"',
        'time.hour == 17 and time.minute == 30 and time.weekday == "friday" and time.date == "2026-11-20"',
        'time.date >= "2026-11-20" and time.date < "2026-12-01" and time.weekday not in ["saturday", "sunday"]',
        "not (claims.level == 4 or claims.missing == 1)",
        "3 <= claims.level",
        "'gold' in groups",
    ],
)
def test_what_holds(text: str) -> None:
    """A condition can ask for claims, identity, path, method, headers, query, address and time."""
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "claims.missing == 1",
        "claims.missing != 1",
        "claims.missing > 1",
        "claims.missing not in [1]",
        "claims.missing",
        "claims.nothing == 1 or claims.nothing != 1",
        '"x" in claims.missing or "x" not in claims.missing',
        "claims.level.deeper == 1",
        'claims.level == "3"',
        "claims.level == true",
        "claims.beta == 1",
        "claims.role > 1",
        "claims.roles == claims.roles",
        "claims.level",
        'claims.level.startswith("3")',
        'headers["x-none"] != "1"',
        'query.b == "2" or query.b == "3" or query.b != "2"',
        'query.none == ""',
    ],
)
def test_a_comparison_with_what_is_not_there_is_false(text: str) -> None:
    """Neither a missing value, nor one of another type, nor a parameter that is there twice, opens a door."""
    assert not holds(text)


def test_an_anonymous_caller_has_no_attributes() -> None:
    """A caller who is not known has no name, no groups and no claims."""
    anonymous = exchange(known=False)
    for text in ('consumer != "x"', 'tenant == "x"', '"gold" in groups', '"a" in scopes', "claims.level >= 0"):
        assert not holds(text, anonymous)


def test_clocks_use_the_configured_time_zone() -> None:
    """Hours and days are those of the configured time zone, in summer and winter time."""
    assert holds("time.hour == 18", zone="Europe/Berlin")
    assert holds('time.date == "2026-11-21" and time.weekday == "saturday"', zone="Asia/Tokyo")
    july = datetime(2026, 7, 1, 17, 30, tzinfo=UTC).timestamp()
    assert holds("time.hour == 19", zone="Europe/Berlin", now=july)


def test_an_address_within_an_address_is_found() -> None:
    """An IPv4 client that comes as IPv6 is in the networks of its IPv4 address."""
    assert holds('client in "10.0.0.0/8"', exchange(client="::ffff:10.1.2.3"))
    assert not holds('client not in "10.0.0.0/8"', exchange(client="unknown"))


@pytest.mark.parametrize("host", ["api.test", "API.Test", "api.test:9000", "api.test.", "api.test.:80", "%61pi.test"])
def test_a_host_is_compared_as_routes_compare_it(host: str) -> None:
    """Another way to write it passes no condition that is about the host."""
    request = make_exchange(headers=[("Host", host)])
    assert holds('headers.host == "api.test" and headers.host.endswith(".test")', request)
    assert not holds('headers.host != "api.test"', request)


def test_several_lines_of_a_list_are_one_value() -> None:
    """A second line of a header cannot hide behind the first."""
    request = exchange()
    request.headers += [(b"accept", b"a/b"), (b"accept", b"c/d")]
    request.fields[b"accept"] = b"c/d"
    assert holds('headers["accept"] == "a/b, c/d"', request)


def test_a_condition_knows_what_it_reads() -> None:
    """What a condition reads is known before any request, wherever in it that stands."""
    text = 'not (headers["X-A"] == "1" or headers["x-b"].startswith("b")) and ("x-c" in headers or query.d in ["e"])'
    condition = compile_condition(text)
    assert sorted(condition.headers) == ["x-a", "x-b"]
    assert sorted(condition.parameters) == ["d"]


WRONG = [
    ("claim.level > 3", 0, 'unknown name "claim", did you mean "claims"?'),
    ("claims.a and tme.hour < 3", 13, 'unknown name "tme", did you mean "time"?'),
    ("time.huor < 3", 0, 'unknown name "time.huor", did you mean "time.hour"?'),
    ("consumer == 3", 12, 'consumer is a text, and 3 is a number: they are never the same; write "3"'),
    ('time.hour < "8"', 12, "write the number without quotes"),
    ('groups == "gold"', 0, 'write "..." in groups'),
    ("groups", 0, 'write "..." in groups'),
    ("path", 0, "this is a path, not a condition; compare it with something"),
    ("time.hour", 0, "not a condition"),
    ('a = "b"', 2, "write =="),
    ("claims.a && claims.b", 9, "write and"),
    ("claims.a || claims.b", 9, "write or"),
    ("! claims.a", 0, "write not"),
    ("claims.a AND claims.b", 9, "write and"),
    ('client in "10.0.0.1/8"', 10, 'write "10.0.0.0/8"'),
    ('client in ["10.0.0.0/8", "x"]', 25, "neither an IP address nor a network"),
    ('client in "fe80::1%eth0"', 10, "no zone"),
    ('client == "10.0.0.0/8"', 10, 'write client in "10.0.0.0/8"'),
    ('time.weekday == "fri"', 16, 'did you mean "friday"?'),
    ('time.date > "1.1.2026"', 12, "a date is written as 2026-12-31"),
    ('method == "get"', 10, 'write "GET"'),
    ('path.startswith("v1")', 16, 'write "/v1"'),
    ('path < "/x"', 5, "texts have no order"),
    ('path.matches("/(a")', 15, "in this pattern"),
    ('path.has("x")', 5, "known are startswith, endswith, matches"),
    ('startswith(path, "x")', 0, 'write path.startswith("...")'),
    ('"x" in path', 7, "startswith, endswith and matches"),
    ("5 in groups", 0, "groups has texts"),
    ("1 < claims.a < 3", 13, "join two of them with and"),
    ("1 == 1", 0, "compare with a name"),
    ("claims.x == tru", 12, 'unknown name "tru"'),
    ('headers.x-team == "a"', 9, 'headers["x-name"]'),
    ('headers["x y"] == "a"', 0, "cannot be the name of a header"),
    ('"abc', 0, "close it with"),
    ("(claims.a", 9, 'expected ")"'),
    ("claims.a claims.b", 9, "expected and, or, or the end"),
    ("not", 3, "expected a value or a name"),
    ("", 0, "the condition is empty"),
    ("claims.a == [1]", 12, 'a list stands only behind "in"'),
    ("claims.a in []", 13, "expected a text or a number in the list"),
    ('consumer.name == "x"', 0, "has nothing in it"),
    ("claims.a == 1.2.3", 12, "not a number"),
    ('headers.host == "API.test"', 16, 'lower case, without its port: write "api.test"'),
    ('headers.host in ["a.test:80"]', 17, 'write "a.test"'),
    ('headers.host.endswith(".Test")', 22, 'write ".test"'),
    ("__import__('os').system('x')", 0, "functions stand behind a value"),
    ("claims.__class__ == path.__class__", 20, "has nothing in it"),
    ("lambda: 1", 6, "has no meaning here"),
    ("claims.a == 1 #", 14, "has no meaning here"),
]


@pytest.mark.parametrize(("text", "offset", "message"), WRONG)
def test_what_is_wrong_is_reported_with_its_place(text: str, offset: int, message: str) -> None:
    """An error names the character, and what to write instead."""
    with pytest.raises(ConditionError) as caught:
        compile_condition(text)
    assert message in str(caught.value)
    assert caught.value.offset == offset


@pytest.mark.parametrize("text", ["(" * 5000, "not " * 400 + "claims.a", "claims.a and " * 1000 + "claims.a"])
def test_length_and_depth_are_bounded(text: str) -> None:
    """No condition is so deep or long that reading it ends in anything but a sentence."""
    with pytest.raises(ConditionError, match=r"nested more than|longer than"):
        compile_condition(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["claims.a", "claims.b", "claims.a.b", "claims", "consumer", "tenant", "groups", "scopes", "path", "method"]
MORE_NAMES = ["client", 'headers["a"]', "headers", "query.a", "query", "time.hour", "time.date", "time.weekday"]
LITERALS = ["1", "2.5", '"a"', '"/a"', '"GET"', "true", '"10.0.0.0/8"', '["a","b"]', "[1,2]"]
OPERANDS = st.sampled_from([*NAMES, *MORE_NAMES, *LITERALS])
OPERATORS = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
CONDITIONS = st.recursive(
    st.tuples(OPERANDS, OPERATORS, OPERANDS).map(" ".join)
    | st.tuples(OPERANDS, st.sampled_from(["startswith", "endswith", "matches"])).map(
        lambda two: f'{two[0]}.{two[1]}("a*")'
    )
    | OPERANDS,
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda three: f"({' '.join(three)})"),
    ),
    max_leaves=4,
)


@given(CONDITIONS, st.dictionaries(st.sampled_from(["a", "b"]), JSON, max_size=2), st.booleans())
def test_what_can_be_read_can_be_asked(text: str, claims: dict[str, Any], known: bool) -> None:
    """Whatever is in a token, a condition that was accepted answers true or false, and raises nothing."""
    try:
        condition = compile_condition(text)
    except ConditionError:
        return
    request = exchange(claims, known=known, client="unknown" if known else "::1", query="a=%ff&a")
    assert condition.holds(Facts(request, FRIDAY, Calendar(UTC))) in (True, False)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Reading raises nothing but the error that says what is wrong, at a place within the text."""
    offset = 0
    try:
        compile_condition(text)
    except ConditionError as error:
        offset = error.offset
    assert 0 <= offset <= len(text)


def test_a_deep_claim_is_no_danger() -> None:
    """A claim nested to the limit of the JSON parser does not end the evaluation."""
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    assert not holds("claims.a == claims.b", exchange({"a": deep, "b": deep}))
    assert computes_within(0.1, lambda: holds("claims.a == claims.b", exchange({"a": deep, "b": deep})))
