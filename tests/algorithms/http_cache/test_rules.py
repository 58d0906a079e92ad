"""Single rules of RFC 9111 and RFC 5861, after the cases of the Web Platform's tests of HTTP caches."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.http_cache.directives import MOST_SECONDS, age_said, cache_control, http_date
from gateway.algorithms.http_cache.reuse import Leeway, Wish, may_replace_error, verdict, wish_of
from gateway.algorithms.http_cache.terms import Terms, initial_age, terms_of
from gateway.algorithms.http_cache.validation import is_not_modified
from gateway.algorithms.http_cache.vary import variant
from gateway.http import Headers

NOW = 1_700_000_000.0
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"  # the same


def lines(**fields: str) -> Headers:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]


def terms(status: int = 200, **fields: str) -> Terms:
    return terms_of(status, lines(**fields), NOW)


@pytest.mark.parametrize(
    ("control", "lifetime"),
    [
        ("max-age=3600", 3600),
        ("max-age=003600", 3600),
        ('max-age="3600"', 3600),
        ("MaX-AgE=3600", 3600),
        ("max-age=99999999999999999999", MOST_SECONDS),
        ("max-age=3600, s-maxage=1", 1),
        ("s-maxage=3600, max-age=1", 3600),
        ("max-age=1800, max-age=1", 1),
        ("max-age=1, max-age=1800", 1),
        ('extension="max-age=3600", max-age=1', 1),
        ('max-age=1, extension="max-age=3600"', 1),
        ('extension="a, max-age=3600"', 0),
        ('extension="max-age=3600', 0),
        ("max-age =3600", 0),
        ("max-age= 3600", 0),
        ("max-age='3600'", 0),
        ("max-age=3600.0", 0),
        ("max-age=a3600", 0),
        ("max-age=3600a", 0),
        ("max-age=-3600", 0),
        ("max-age", 0),
        ("s-maxage=x, max-age=3600", 0),
    ],
)
def test_a_lifetime_is_read_carefully(control: str, lifetime: float) -> None:
    """Whatever is not the number that it should be makes a response stale."""
    assert terms(cache_control=control).lifetime == lifetime


@pytest.mark.parametrize(
    ("expires", "lifetime"),
    [
        ("Tue, 14 Nov 2023 23:13:20 GMT", 3600),
        ("Tuesday, 14-Nov-23 23:13:20 GMT", 3600),
        ("Tue Nov 14 23:13:20 2023", 3600),
        ("tue, 14 nov 2023 23:13:20 gmt", 3600),
        ("Tue, 14 Nov 2023 21:13:20 GMT", 0),
        ("0", 0),
        ("-1", 0),
        ("", 0),
        ("Tue, 14 Nov 2023 23:13:20 UTC", 0),
        ("Tue, 14 Nov 2023 23:13:20 +0000", 0),
        ("Tue, 31 Feb 2099 23:13:20 GMT", 0),
        ("Tue, 14 Nov 0000 23:13:20 GMT", 0),
    ],
)
def test_expires_counts_where_there_is_no_max_age(expires: str, lifetime: float) -> None:
    """From the Date of the response on; what is no date is in the past."""
    assert terms(expires=expires, date=DATE).lifetime == lifetime
    assert terms(expires=expires, date=DATE, cache_control="max-age=7").lifetime == 7


def test_a_huge_cache_control_allows_nothing() -> None:
    """Its end may say no-store, and reading it would take long."""
    assert terms(cache_control="public, max-age=60, " + "x=1, " * 2000).refusal == "no-store"


@given(st.text(alphabet='a="\\, \t-0', max_size=40))
def test_any_cache_control_can_be_read(text: str) -> None:
    """Whatever a backend or a client sends."""
    cache_control([(b"cache-control", text.encode())])


@pytest.mark.parametrize(
    ("age", "seconds"),
    [
        ("7200", 7200),
        ("abc", 0),
        ("-7200", 0),
        ("7200.0", 0),
        ("7200,0", 7200),
        ("0,7200", 0),
        ("9" * 30, MOST_SECONDS),
    ],
)
def test_the_age_of_other_caches_counts(age: str, seconds: float) -> None:
    """As far as it is a number."""
    assert age_said(lines(age=age)) == seconds


def test_age_is_the_larger_of_what_is_said_and_what_is_seen() -> None:
    """RFC 9111, 4.2.3: the delay of the answer is added to what caches said; a Date of the future says nothing."""
    earlier = "Tue, 14 Nov 2023 22:12:20 GMT"
    assert initial_age(lines(date=earlier), 1, NOW) == 60
    assert initial_age(lines(date=earlier, age="100"), 1, NOW) == 101
    assert initial_age(lines(date="Tue, 14 Nov 2099 22:13:20 GMT"), 0, NOW) == 0
    assert initial_age([], 2, NOW) == 2


def test_a_lifetime_may_be_assumed() -> None:
    """A tenth of the time since the last change, at most a day, only where that is wanted and nothing is said."""
    changed = lines(date=DATE, last_modified="Tue, 14 Nov 2023 12:13:20 GMT")
    old = lines(date=DATE, last_modified="Tue, 14 Nov 1995 12:13:20 GMT")
    assert terms_of(200, changed, NOW, heuristic=True).lifetime == 3600
    assert terms_of(200, old, NOW, heuristic=True).lifetime == 24 * 3600
    assert terms_of(200, changed, NOW).lifetime == 0
    assert terms_of(302, changed, NOW, heuristic=True).lifetime == 0
    assert terms_of(200, changed + lines(cache_control="max-age=0"), NOW, heuristic=True).lifetime == 0


@pytest.mark.parametrize(
    ("status", "fields", "refused"),
    [
        (200, {}, False),
        (200, {"cache_control": "private"}, True),
        (200, {"cache_control": 'private="x-a", max-age=60'}, True),
        (200, {"cache_control": "No-StOrE, max-age=60"}, True),
        (200, {"cache_control": "must-understand, no-store, max-age=60"}, False),
        (299, {"cache_control": "must-understand, max-age=60"}, True),
        (299, {"cache_control": "max-age=60"}, False),
        (299, {}, True),
        (500, {}, True),
        (500, {"expires": "0"}, False),
        (101, {"cache_control": "max-age=60"}, True),
        (206, {"cache_control": "max-age=60"}, True),
        (304, {"cache_control": "max-age=60"}, True),
    ],
)
def test_what_may_be_stored(status: int, fields: dict[str, str], refused: bool) -> None:
    """By status and what the response says; a field that is private makes all of it private."""
    assert bool(terms(status, **fields).refusal) == refused


@pytest.mark.parametrize(
    ("control", "age", "wish", "expected"),
    [
        ("max-age=10", 9, Wish(), "fresh"),
        ("max-age=10", 10, Wish(), "validate"),
        ("max-age=10, no-cache", 1, Wish(), "validate"),
        ("max-age=10", 5, Wish(min_fresh=6), "validate"),
        ("max-age=10", 5, Wish(min_fresh=5), "fresh"),
        ("max-age=10", 5, Wish(max_age=4), "validate"),
        ("max-age=10", 5, Wish(no_cache=True), "validate"),
        ("max-age=10", 15, Wish(max_stale=5), "stale"),
        ("max-age=10", 16, Wish(max_stale=5), "validate"),
        ("max-age=10, must-revalidate", 15, Wish(max_stale=5), "validate"),
        ("s-maxage=10", 15, Wish(max_stale=5), "validate"),
        ("max-age=10, stale-while-revalidate=10", 15, Wish(), "refresh"),
        ("max-age=10, stale-while-revalidate=10", 20, Wish(), "validate"),
        ("s-maxage=10, stale-while-revalidate=10", 15, Wish(), "refresh"),
        ("max-age=10, stale-while-revalidate=10, must-revalidate", 15, Wish(), "validate"),
        ("max-age=10, stale-while-revalidate=10", 15, Wish(no_cache=True), "validate"),
    ],
)
def test_what_may_be_used(control: str, age: float, wish: Wish, expected: str) -> None:
    """Fresh responses, and stale ones where response and client allow it."""
    assert verdict(terms(cache_control=control), age, wish) == expected


def test_the_configuration_may_allow_what_a_response_leaves_open() -> None:
    """Only where it says nothing itself, and forbids nothing."""
    leeway = Leeway(while_revalidate=10, if_error=20)
    assert verdict(terms(cache_control="max-age=10"), 15, leeway=leeway) == "refresh"
    assert verdict(terms(cache_control="max-age=10, stale-while-revalidate=1"), 15, leeway=leeway) == "validate"
    assert verdict(terms(cache_control="s-maxage=10"), 15, leeway=leeway) == "validate"
    for never_fresh in ("public", "max-age=0"):
        assert verdict(terms(cache_control=never_fresh), 1, leeway=leeway) == "validate"
    assert may_replace_error(terms(cache_control="max-age=10"), 25, leeway=leeway)
    assert not may_replace_error(terms(cache_control="max-age=10"), 31, leeway=leeway)
    assert not may_replace_error(terms(cache_control="max-age=10, stale-if-error=1"), 25, leeway=leeway)
    assert may_replace_error(terms(cache_control="max-age=10"), 25, Wish(if_error=20))
    assert not may_replace_error(terms(cache_control="max-age=10, must-revalidate"), 25, Wish(if_error=20), leeway)


def test_max_stale_without_a_number_takes_anything() -> None:
    """RFC 9111, 5.2.1.2; one that is no number takes nothing."""
    for text, expected in (("max-stale", MOST_SECONDS), ("max-stale=7", 7), ("max-stale=x", 0), ("min-fresh=1", None)):
        headers = lines(cache_control=text)
        assert wish_of(headers, dict(headers)).max_stale == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"if_none_match": '"1"'}, True),
        ({"if_none_match": 'W/"1"'}, True),
        ({"if_none_match": '"0", "1"'}, True),
        ({"if_none_match": "*"}, True),
        ({"if_none_match": '"2"'}, False),
        ({"if_none_match": '"2"', "if_modified_since": DATE}, False),
        ({"if_modified_since": DATE}, True),
        ({"if_modified_since": "Tue, 14 Nov 2023 22:13:19 GMT"}, False),
        ({"if_modified_since": "yesterday"}, False),
    ],
)
def test_conditions_of_clients(conditions: dict[str, str], expected: bool) -> None:
    """RFC 9110, 13.2.2: tags go before dates, and are compared weakly."""
    assert is_not_modified(lines(**conditions), lines(etag='"1"', last_modified=DATE)) == expected


def test_variants_differ_by_what_is_there() -> None:
    """A field that is missing is not one that is empty, and two cannot be confused with another two."""
    names = (b"a", b"b")
    made = [variant(names, lines(**fields)) for fields in ({}, {"a": ""}, {"b": ""}, {"a": "1"}, {"a": "b", "b": "1"})]
    assert len(set(made)) == len(made)
    assert variant(names, lines(a="1, 2")) == variant(names, lines(a="1,2"))
    assert variant(names, [(b"a", b"1"), (b"a", b"2")]) == variant(names, lines(a="1,2"))


@given(st.integers(0, 4_000_000_000))
def test_dates_are_read_as_they_are_written(instant: int) -> None:
    """In the format that is in use."""
    text = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(instant))
    assert http_date(text.encode()) == instant
