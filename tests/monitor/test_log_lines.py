"""The line that most requests get is put together as text: it says what the record of the same request does."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.models.access_log import FIELDS
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Identity, Outcome
from gateway.http.messages import Attempt
from gateway.http.testing import make_exchange
from gateway.monitor.access_log import AccessLog, AccessLogSettings

PLAIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7F, exclude_characters='"\\\\@'), max_size=8)
SPECIAL = ["\t", '"', "\\", "\0", "é", "😀", "\ud800", "http://u:p@h/?a=b#c", "a@b", "/a@b", "%", "{}", "null"]
AGENT, REFERER, CONSUMER = 5, 6, 7
PLACES = 8  # of texts: five of the request, these three
SECONDS = st.floats(0, 100_000) | st.sampled_from([0.0, 1e-7, 4.9e-7, 5e-7, 9.999994e-1, 9.999995e-1, 1.0, 59.9999999])
SIZES = st.integers(0, 2**60)
ODD = ["deny", "fallback", "error", "retry", "why_not", "failure", "unanswered", "miss", "two", "claimed"]


def lines_of(exchange: Exchange, outcome: Outcome, *concealed: bytes) -> tuple[bytes, bytes]:
    """The usual line, and the one in which every field is asked for by its name: that is made of a record."""
    written = []
    for fields in ((), tuple(FIELDS)):
        lines: list[bytes] = []
        log = AccessLog(AccessLogSettings("off", fields=fields, concealed=frozenset(concealed)))
        log.sink = lambda line, exchange, outcome, lines=lines: lines.append(line)
        log.report(exchange, outcome)
        log.close()
        written += lines
    usual, named = written
    return usual, named


def answered(waited: float, seconds: float) -> Attempt:
    attempt = Attempt("10.0.0.1:80", 0.0)
    attempt.waited, attempt.seconds, attempt.status = waited, seconds, 200
    return attempt


def make_odd(exchange: Exchange, attempt: Attempt, odd: str) -> None:
    """One thing is unlike that of most requests."""
    if odd in {"deny", "fallback"}:
        exchange.decisions += (Decision(odd, "deny" if odd == "deny" else "allow", "said so"),)
    elif odd == "error":
        exchange.error = GatewayError(ErrorKind.UPSTREAM_RESET, "reset")
    elif odd == "failure":
        attempt.failure = ErrorKind.UPSTREAM_RESET
    elif odd == "unanswered":
        attempt.seconds = None
    elif odd == "miss":
        exchange.cache = "miss"
    elif odd == "claimed":
        exchange.claimed_consumer = "app"
    elif odd == "two":
        exchange.attempts = (*exchange.attempts, answered(0.5, 1.5))
    else:
        setattr(attempt, odd, "said so")


def exchange_of(texts: list[str], seconds: tuple[float, float], odd: str | None = None) -> Exchange:
    exchange = make_exchange("GET", "/x")
    exchange.host, exchange.path, exchange.original_path, exchange.route, exchange.upstream = texts[:5]
    exchange.identity = Identity(texts[CONSUMER], "keys") if texts[CONSUMER] else None
    exchange.trace_id = "a" * 32 if texts[0] else None
    for name, place in ((b"user-agent", AGENT), (b"referer", REFERER)):
        if texts[place]:
            exchange.fields[name] = texts[place].encode("latin-1", "replace")
    attempt = answered(*seconds)
    exchange.attempts = (attempt,)
    if odd is not None:
        make_odd(exchange, attempt, odd)
    return exchange


def assert_same(exchange: Exchange, outcome: Outcome, *concealed: bytes) -> None:
    usual, named = lines_of(exchange, outcome, *concealed)
    expected: dict[str, Any] = json.loads(named)
    assert json.loads(usual) == expected
    assert usual.endswith(b"}\n")
    assert usual.count(b"\n") == 1


@given(
    st.lists(PLAIN, min_size=PLACES, max_size=PLACES),
    st.tuples(SECONDS, SECONDS),
    SECONDS,
    st.tuples(SIZES, SIZES),
    st.sampled_from([(), (b"user-agent",), (b"referer",)]),
)
def test_both_ways_say_the_same(
    texts: list[str],
    seconds: tuple[float, float],
    whole: float,
    sizes: tuple[int, int],
    concealed: tuple[bytes, ...],
) -> None:
    """Whatever the request, how long it took, and what is not for the log."""
    outcome = Outcome(time.time(), 0.0, 200)
    outcome.seconds, (outcome.received, outcome.sent) = whole, sizes
    assert_same(exchange_of(texts, seconds), outcome, *concealed)


@pytest.mark.parametrize("special", SPECIAL)
def test_special_text_is_written_the_same(special: str) -> None:
    """Wherever it stands: what JSON escapes, and what is left out of the log."""
    for place in range(PLACES):
        texts = ["a"] * PLACES
        texts[place] = special
        assert_same(exchange_of(texts, (0.0, 0.1)), Outcome(time.time(), 0.0, 200))


@pytest.mark.parametrize("odd", ODD)
def test_odd_requests_are_written_the_same(odd: str) -> None:
    """A request that did not go as most do has all fields, too."""
    assert_same(exchange_of(["a"] * PLACES, (0.0, 0.1), odd), Outcome(time.time(), 0.0, 200))


def test_a_line_of_a_usual_request() -> None:
    """Its numbers are decimals, to microseconds."""
    exchange, outcome = make_exchange("GET", "/x"), Outcome(1_700_000_000.25, 0.0, 200)
    exchange.route, exchange.upstream, exchange.attempts = "orders", "shop", (answered(0.00002, 0.0012),)
    outcome.seconds = 0.00005
    line, _ = lines_of(exchange, outcome)
    assert line.startswith(b'{"time":"2023-11-14T22:13:20.250000Z","request_id":"')
    assert b'"route":"orders","upstream":"shop","endpoint":"10.0.0.1:80","status":200,' in line
    assert b'"duration":0.000050,"upstream_duration":0.001200,' in line
    assert b'"attempts":[{"endpoint":"10.0.0.1:80","status":200,"ms":1.220,"why_next":null}],' in line
