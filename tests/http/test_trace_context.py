"""What goes on of tracestate and baggage, and that nothing that comes in a header breaks what reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import Headers
from gateway.http.trace_context import MOST_BAGGAGE, baggage_lines, context_lines, parent_in, state_lines


def state(*given: str) -> list[str]:
    """What goes on of these lines."""
    return [value.decode() for _, value in state_lines([(b"tracestate", value.encode()) for value in given])]


def baggage(*given: bytes) -> list[bytes]:
    """The same."""
    return [value for _, value in baggage_lines([(b"baggage", value) for value in given])]


def members(count: int) -> str:
    return ",".join(f"k{number}={number}" for number in range(count))


@pytest.mark.parametrize(
    "value",
    ["a=1", "a=1,b=2", "a=1 , b=2", "a=1,,b=2", "tenant@system=x", "0=a b", f"{'k' * 256}={'v' * 256}", members(32)],
)
def test_a_state_that_is_right_goes_on_as_it_came(value: str) -> None:
    """Byte by byte, because those who wrote it may compare."""
    assert state(value) == [value]


@pytest.mark.parametrize(
    "value", ["a", "=1", "a=", "A=1", "a=1,b", "a=1=2", f"{'k' * 257}=v", f"k={'v' * 257}", "a=\t", "a=\xe4", "_a=1"]
)
def test_a_malformed_state_is_dropped_whole(value: str) -> None:
    """Its members would be ambiguous."""
    assert state(value) == []


def test_a_state_keeps_32_members() -> None:
    """Those that were changed last, over all lines."""
    assert state(members(40)) == [members(32)]
    assert state(members(20), "z=1," + ",".join(f"o{number}=1" for number in range(20)))[0].count(",") == 31


def test_of_two_members_of_one_vendor_the_newer_goes_on() -> None:
    """Which stands in front."""
    assert state("a=1,b=2,a=3") == ["a=1,b=2"]
    assert state("a=1", "a=3") == ["a=1"]


def test_baggage_is_bounded_by_whole_members() -> None:
    """In all 8192 bytes, as everybody has to take."""
    assert baggage(b"a=1", b"b=2;p") == [b"a=1", b"b=2;p"]
    assert baggage(b"a=" + b"x" * (MOST_BAGGAGE - 2)) == [b"a=" + b"x" * (MOST_BAGGAGE - 2)]
    assert baggage(b"a=" + b"x" * MOST_BAGGAGE, b"b=2") == [b"b=2"]
    assert baggage(b"a=" + b"x" * MOST_BAGGAGE) == []
    (kept,) = baggage(b",".join(b"k%d=%s" % (number, b"v" * 100) for number in range(200)))
    assert MOST_BAGGAGE - 110 < len(kept) <= MOST_BAGGAGE


_NAMES = st.sampled_from(
    [b"traceparent", b"tracestate", b"baggage", b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-flags"]
)
_HEX = st.text("0123456789abcdef-d", max_size=60).map(str.encode)
_HEADERS = st.lists(st.tuples(_NAMES, st.one_of(st.binary(max_size=80), _HEX)), max_size=6)


@given(_HEADERS, st.booleans())
def test_whatever_comes_a_parent_has_ids_or_is_none(headers: Headers, b3: bool) -> None:
    """And what is made of it can be read again."""
    state_lines(headers)
    baggage_lines(headers)
    parent = parent_in(headers, dict(headers), b3=b3)
    if parent is not None and parent.trace:
        made = list(context_lines(parent.trace, parent.span, parent.flags, "multi"))
        again = parent_in(made, dict(made), b3=False)
        assert again is not None
        assert (again.trace, again.span, again.flags) == (parent.trace, parent.span, parent.flags)
        in_b3 = parent_in(made[1:], dict(made[1:]), b3=True)
        assert in_b3 is not None
        assert (in_b3.trace, in_b3.span) == (parent.trace, parent.span)
