"""An independent reading of RFC 9111, that of hishel, comes to the same verdicts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from email.utils import formatdate
from itertools import chain

import hishel
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.http_cache.reuse import verdict, wish_of
from gateway.algorithms.http_cache.terms import Terms, initial_age, terms_of
from gateway.algorithms.http_cache.validation import CONDITIONS, conditions_for, updated
from gateway.algorithms.http_cache.vary import variant, vary_names
from gateway.http import Headers

Fields = Mapping[str, str]

SHARED = hishel.CacheOptions(shared=True, supported_methods=["GET", "HEAD"], allow_stale=False)
URL = "https://api.example.com/a"

seconds = st.sampled_from([0, 5, 15, 25, 3605])  # ages are multiples of ten, so that no clock decides
directives = st.lists(
    st.one_of(
        st.sampled_from(["no-store", "private", "public", "must-revalidate", "proxy-revalidate", "no-cache", "x=1"]),
        seconds.map(lambda number: f"max-age={number}"),
        seconds.map(lambda number: f"s-maxage={number}"),
    ),
    max_size=4,
    unique_by=lambda text: text.partition("=")[0],
)
statuses = st.sampled_from([200, 203, 204, 206, 301, 302, 304, 307, 400, 403, 404, 410, 500, 501, 503])


@st.composite
def responses(draw: st.DrawFn) -> tuple[int, Fields]:
    """A status, and header fields that matter to a cache."""
    now = int(time.time())
    age = draw(st.sampled_from([0, 10, 20, 3600]))
    fields = {"date": formatdate(now - age, usegmt=True)}
    if control := draw(directives):
        fields["cache-control"] = ", ".join(control)
    if draw(st.booleans()):
        fields["expires"] = draw(st.sampled_from([formatdate(now - age + draw(seconds), usegmt=True), "0"]))
    if draw(st.booleans()):
        fields["last-modified"] = formatdate(now - 5 * 24 * 3600, usegmt=True)
    if draw(st.booleans()):
        fields["etag"] = '"1"'
    return draw(statuses), fields


def lines(fields: Fields) -> Headers:
    return [(name.encode(), value.encode()) for name, value in fields.items()]


def terms(status: int, fields: Fields) -> Terms:
    return terms_of(status, lines(fields), time.time(), heuristic=True)


def entry(status: int, fields: Fields, request: Fields | None = None) -> hishel.Entry:
    asked = hishel.Request("GET", URL, hishel.Headers(dict(request or {})))
    return hishel.Entry(uuid.uuid4(), asked, hishel.Response(status, hishel.Headers(dict(fields))))


@given(responses(), st.booleans())
def test_the_same_is_stored(response: tuple[int, Fields], authorized: bool) -> None:
    """By status, directives, Expires, and whether the request had a credential."""
    status, fields = response
    headers = hishel.Headers({"authorization": "Bearer x"} if authorized else {})
    miss = hishel.CacheMiss(options=SHARED, request=hishel.Request("GET", URL, headers))
    theirs = isinstance(miss.next(hishel.Response(status, hishel.Headers(dict(fields)))), hishel.StoreAndUse)
    ours = terms(status, fields)
    assert (not ours.refusal and (ours.for_all or not authorized)) == theirs


@given(responses().filter(lambda response: not terms(*response).refusal), st.booleans())
def test_the_same_is_used_without_asking(response: tuple[int, Fields], reloads: bool) -> None:
    """By lifetime, age, `no-cache` of either side."""
    status, fields = response
    request = {"cache-control": "no-cache"} if reloads else {}
    asked = hishel.Request("GET", URL, hishel.Headers(dict(request)))
    theirs = hishel.IdleClient(options=SHARED).next(asked, [entry(status, fields)])
    age = initial_age(lines(fields), 0, time.time())
    ours = verdict(terms(status, fields), age, wish_of(lines(request), dict(lines(request))))
    assert (ours == "fresh") == isinstance(theirs, hishel.FromCache)
    if ours != "fresh":
        assert isinstance(theirs, hishel.NeedRevalidation)
        sent = {name.encode(): value.encode() for name, value in theirs.request.headers.items()}
        assert dict(conditions_for(lines(fields))) == {name: sent[name] for name in CONDITIONS & sent.keys()}


values = st.sampled_from([None, "a", "b", "a, b"])
requests = st.fixed_dictionaries(dict.fromkeys(("accept", "accept-language", "x-a"), values)).map(
    lambda found: {name: value for name, value in found.items() if value is not None}
)
varies = st.lists(st.sampled_from(["Accept", "accept-language", "X-A"]), unique=True).map(", ".join)


@given(varies, requests, requests)
def test_the_same_requests_are_answered(vary: str, first: Fields, second: Fields) -> None:
    """By what Vary names, whatever the case of the names."""
    fields = {"date": formatdate(usegmt=True), "cache-control": "max-age=3605"} | ({"vary": vary} if vary else {})
    asked = hishel.Request("GET", URL, hishel.Headers(dict(second)))
    theirs = hishel.IdleClient(options=SHARED).next(asked, [entry(200, fields, first)])
    names = vary_names(lines(fields))
    assert names is not None
    same = variant(names, lines(first)) == variant(names, lines(second))
    assert same == isinstance(theirs, hishel.FromCache)


changes = st.fixed_dictionaries(
    {},
    optional={
        "cache-control": st.just("max-age=25"),
        "x-a": st.just("new"),
        "content-type": st.just("text/html"),
        "content-length": st.just("0"),
        "content-encoding": st.just("gzip"),
        "etag": st.just('"1"'),
        "connection": st.just("close"),
    },
)


@given(changes)
def test_a_confirmation_changes_the_same(fields: Fields) -> None:
    """The headers of a stored response, after a 304 with these."""
    stored = {"etag": '"1"', "x-a": "old", "x-b": "old", "content-type": "text/plain", "content-length": "1"}
    asked = hishel.Request("GET", URL)
    waiting = hishel.NeedRevalidation(SHARED, asked, asked, [entry(200, stored)])
    state: hishel.State | None = waiting.next(hishel.Response(304, hishel.Headers({"etag": '"1"', **fields})))
    while isinstance(state, hishel.InvalidateEntries):
        state = state.next()
    assert isinstance(state, hishel.NeedToBeUpdated)
    theirs = dict(chain.from_iterable(each.response.headers.items() for each in state.updating_entries))
    assert dict(updated(lines(stored), lines({"etag": '"1"', **fields}))) == dict(lines(theirs))
