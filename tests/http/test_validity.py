"""What may be sent of what a custom policy has had in its hands: the quick look passes no more than the close one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.api_key import KeyHolder
from gateway.http import Response, WholeBody
from gateway.http.header_filter import HeaderFilter
from gateway.http.testing import make_exchange
from gateway.http.usual import is_usual_exchange, is_usual_request, is_usual_response
from gateway.http.validity import check_request, check_response
from gateway.upstream.request import request_headers

LINES = st.lists(
    st.tuples(
        st.sampled_from(
            [b"a", b"A", b"", b"a b", b"x-\xff", b"content-length", b"host", b"te", b"t_e", b"content.length"]
        ),
        st.sampled_from(
            [b"", b"4", b"5", b"+4", b"x\ty", b"x\n", b"x\0", b"\x7f", b"\xff", b"0" * 17 + b"4", b"0" * 18 + b"4"]
        ),
    ),
    max_size=3,
)


class Text(str):
    """A text that says of itself what it likes."""

    __slots__ = ()


def test_what_is_usual_is_seen_at_once() -> None:
    """An exchange and a response as the gateway makes them need no closer look."""
    exchange = make_exchange(headers=[("a", "b")])
    exchange.target_path = "/there"
    exchange.extra_headers = ((b"x-consumer", b"acme"),)
    assert is_usual_exchange(exchange)
    assert is_usual_request(exchange)
    exchange.identity = KeyHolder("acme", "keys")
    assert is_usual_request(exchange)
    assert is_usual_response(Response(200, [(b"content-length", b"4")], b"fine"), exchange)
    assert is_usual_response(Response(200, [], WholeBody(b"fine", [])), exchange)


@given(
    headers=LINES,
    status=st.sampled_from([101, 200, 204, 999, 1000]),
    body=st.sampled_from([b"", b"fine", None, "fine"]),
)
def test_a_response_that_is_usual_can_be_sent(headers: list[tuple[bytes, bytes]], status: int, body: Any) -> None:
    """A closer look finds nothing wrong with any response that needs none."""
    answer = Response(status, headers, body)
    exchange = make_exchange()
    if is_usual_response(answer, exchange):
        exchange.method = Text(exchange.method)  # which has it looked at closely
        assert check_response(answer, exchange).headers == headers


@given(
    added=LINES,
    path=st.sampled_from(["/", "/a b", "*", "", "/\n", "a"]),
    query=st.sampled_from([b"", b"a=b", b"a b"]),
    host=st.sampled_from(["h", "", "h\r"]),
)
def test_a_request_that_is_usual_can_be_sent(
    added: list[tuple[bytes, bytes]], path: str, query: bytes, host: str
) -> None:
    """A closer look finds nothing wrong with any request that needs none."""
    exchange = make_exchange()
    exchange.extra_headers, exchange.target_path, exchange.query, exchange.host = tuple(added), path, query, host
    if is_usual_request(exchange):
        exchange.method = Text(exchange.method)
        check_request(exchange)


@pytest.mark.parametrize(
    "name", ["request_id", "method", "route", "query", "headers", "fields", "websocket", "deadline"]
)
@pytest.mark.parametrize("value", [2.5j, object(), ...])
def test_another_type_is_not_usual(name: str, value: object) -> None:
    """An attribute of a type that the gateway does not put there is looked at closely, and named."""
    exchange = make_exchange()
    setattr(exchange, name, value)
    assert not is_usual_exchange(exchange)


def test_a_value_that_looks_like_a_line_of_its_own_is_refused() -> None:
    """A line break within a header is found also where what is behind it looks like another header of the gateway's."""
    exchange = make_exchange()
    exchange.target_path = "/"
    lines = [(b"a", b"b\nx-consumer\0somebody")]
    with pytest.raises(ValueError, match="cannot be sent"):
        check_response(Response(200, lines), exchange)
    exchange.extra_headers = tuple(lines)
    with pytest.raises(ValueError, match="cannot be sent"):
        check_request(exchange)


def test_text_in_the_place_of_bytes_is_named() -> None:
    """A header of str is the likeliest mistake of a policy: the message has the header, and what it must be."""
    exchange, lines = make_exchange(), [("x-a", "b")]
    with pytest.raises(TypeError, match=r"\('x-a', 'b'\) is of str: names and values are bytes"):
        check_response(Response(200, lines, b""), exchange)  # type: ignore[arg-type]
    exchange.extra_headers = tuple(lines)  # type: ignore[arg-type]
    exchange.target_path = "/"
    with pytest.raises(TypeError, match=r"\('x-a', 'b'\) is of str: names and values are bytes"):
        check_request(exchange)


def test_capitals_in_names_make_no_difference() -> None:
    """A policy that writes X-Name adds, and hides, the same header as one that writes x-name."""
    exchange = make_exchange(headers=[("x-hidden", "a"), ("x-seen", "b")])
    exchange.target_path = "/"
    exchange.extra_headers, exchange.hidden_headers = ((b"X-Name", b"Value"),), frozenset({b"X-Hidden"})
    assert not is_usual_request(exchange)
    check_request(exchange)
    assert (exchange.extra_headers, exchange.hidden_headers) == (((b"x-name", b"Value"),), frozenset({b"x-hidden"}))
    assert is_usual_request(exchange)
    names = [name for name, _ in request_headers(exchange)]
    assert (b"x-name" in names, b"x-hidden" in names, b"x-seen" in names) == (True, False, True)


def test_a_name_with_an_underscore_is_hidden() -> None:
    """Where names may have an underscore, one that a policy hides does not reach the backend."""
    exchange = make_exchange(headers=[("x_hidden", "a"), ("x_seen", "b")])
    exchange.target_path, exchange.header_filter = "/", HeaderFilter(underscores=True)
    exchange.hidden_headers = frozenset({b"x_hidden"})
    check_request(exchange)
    names = [name for name, _ in request_headers(exchange)]
    assert (b"x_hidden" in names, b"x_seen" in names) == (False, True)


def test_a_hidden_name_of_text_is_refused() -> None:
    """It would hide nothing: the policy is told so."""
    exchange = make_exchange()
    exchange.target_path, exchange.hidden_headers = "/", frozenset({"x-a"})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the name 'x-a' in hidden_headers must be bytes"):
        check_request(exchange)
