"""Which trace a request belongs to, as its headers say it: Trace Context and Baggage of the W3C, and B3 of Zipkin, in
one header or in several. Pure."""

from __future__ import annotations

import re
from typing import Final

from gateway.http.bodies import Headers
from gateway.http.fields import values

Lines = tuple[tuple[bytes, bytes], ...]

SAMPLED: Final = 0b01
RANDOM: Final = 0b10
"""The trace id was made at random (Trace Context Level 2), as ours are."""
KNOWN_FLAGS: Final = SAMPLED | RANDOM  # the others must be sent as 0

CONTEXT_FIELDS: Final = frozenset({b"traceparent", b"tracestate", b"baggage"})
B3_FIELDS: Final = frozenset(
    {b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"}
)

TRACE_FIELDS: Final = B3_FIELDS | {b"traceparent", b"tracestate"}

MOST_MEMBERS: Final = 32  # of a tracestate
MOST_BAGGAGE: Final = 8192  # bytes

# Version 00 is exactly so long; later ones may go on behind a hyphen, and 55 characters of them are understood.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_MEMBER: Final = re.compile(
    rb"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_B3: Final = re.compile(rb"((?:[0-9a-f]{16}){1,2})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?")
_B3_TRACE: Final = re.compile(rb"(?:[0-9a-f]{16}){1,2}")
_B3_SPAN: Final = re.compile(rb"[0-9a-f]{16}")
_B3_DECISIONS: Final = {b"1": True, b"d": True, b"true": True, b"0": False, b"false": False}
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


class Parent:
    """The trace context of a request's sender."""

    __slots__ = ("b3", "flags", "sampled", "span", "trace", "unchanged")

    def __init__(
        self, trace: str, span: str, flags: int, sampled: bool | None, b3: Lines = (), *, unchanged: bool = False
    ) -> None:
        self.trace = trace  # 32 hexadecimal digits; empty: only the decision is said, of a trace to be begun
        self.span = span  # 16 hexadecimal digits
        self.flags = flags
        self.sampled = sampled  # None: that is left to us
        self.b3 = b3  # the lines that said it, if these did
        self.unchanged = unchanged  # its traceparent is as we would write it


def parent_of(traceparent: bytes) -> Parent | None:
    """The parsed `traceparent`; None if it is malformed."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    said = int(match[3], 16)
    flags = said & KNOWN_FLAGS
    unchanged = flags == said and traceparent.startswith(b"00")
    return Parent(match[1].decode(), match[2].decode(), flags, bool(flags & SAMPLED), unchanged=unchanged)


def parent_in(headers: Headers, fields: dict[bytes, bytes], *, b3: bool) -> Parent | None:
    """The parent in the headers of a request; None if there is none, or no valid one. A header that is
    duplicated is ignored: it would be ambiguous. `b3`: that counts where there is no traceparent.
    """
    if b"traceparent" in fields:
        parents = values(headers, b"traceparent")
        parent = parent_of(parents[0]) if len(parents) == 1 else None
        if parent is not None or not b3:
            return parent
    return _parent_in_b3(headers, fields) if b3 else None


def _parent_in_b3(headers: Headers, fields: dict[bytes, bytes]) -> Parent | None:
    lines = tuple([line for line in headers if line[0] in B3_FIELDS])
    said = {name: value.strip().lower() for name, value in lines}
    if not said or len(said) < len(lines):
        return None
    if b"b3" in said:
        return _parent_in_one_header(said[b"b3"], lines)
    decision = _B3_DECISIONS.get(said.get(b"x-b3-sampled", b""))
    if said.get(b"x-b3-flags") == b"1":  # a trace to be recorded in any case
        decision = True
    trace, span = said.get(b"x-b3-traceid"), said.get(b"x-b3-spanid")
    if trace is None and span is None:
        return _decided(decision)
    if trace is None or span is None or not (_B3_TRACE.fullmatch(trace) and _B3_SPAN.fullmatch(span)):
        return None
    return _of_ids(trace, span, decision, lines)


def _parent_in_one_header(value: bytes, lines: Lines) -> Parent | None:
    if value in _B3_DECISIONS:
        return _decided(_B3_DECISIONS[value])
    match = _B3.fullmatch(value)
    return _of_ids(match[1], match[2], _B3_DECISIONS.get(match[3] or b""), lines) if match is not None else None


def _decided(sampled: bool | None) -> Parent | None:
    return None if sampled is None else Parent("", "", 0, sampled)


def _of_ids(trace: bytes, span: bytes, sampled: bool | None, lines: Lines) -> Parent | None:
    whole = trace.decode().rjust(32, "0")
    if whole == _NO_TRACE or span.decode() == _NO_SPAN:
        return None
    return Parent(whole, span.decode(), SAMPLED if sampled else 0, sampled, lines)


def context_lines(trace: str, span: str, flags: int, b3: str = "", parent: str = "") -> Lines:
    """The lines that make this span the parent of what the receiver does. `flags`: none but known ones. `b3`: also in
    B3, `single` or `multi`, which names the parent of the span, too."""
    traceparent = (b"traceparent", f"00-{trace}-{span}-0{flags}".encode())
    if not b3:
        return (traceparent,)
    sampled = flags & SAMPLED
    if b3 == "single":
        return (traceparent, (b"b3", f"{trace}-{span}-{sampled}{parent and f'-{parent}'}".encode()))
    lines = (
        traceparent,
        (b"x-b3-traceid", trace.encode()),
        (b"x-b3-spanid", span.encode()),
        (b"x-b3-sampled", b"%d" % sampled),
    )
    return (*lines, (b"x-b3-parentspanid", parent.encode())) if parent else lines


def state_lines(headers: Headers) -> Lines:
    """The `tracestate` that goes on: as it came, or without what is too much; nothing of one that is malformed."""
    given = values(headers, b"tracestate")
    members = [member for value in given for part in value.split(b",") if (member := part.strip(b" \t"))]
    if not all(map(_MEMBER.fullmatch, members)):
        return ()
    keys = {member.partition(b"=")[0]: member for member in reversed(members)}  # of two the first, as the newer
    if len(keys) == len(members) <= MOST_MEMBERS:
        return tuple([(b"tracestate", value) for value in given if value])
    kept = list(dict.fromkeys(keys[member.partition(b"=")[0]] for member in members))[:MOST_MEMBERS]
    return ((b"tracestate", b",".join(kept)),)


def baggage_lines(headers: Headers) -> Lines:
    """The `baggage` that goes on: as it came, or as many of its members as there is room for."""
    given = values(headers, b"baggage")
    if sum(map(len, given)) + len(given) <= MOST_BAGGAGE + 1:
        return tuple([(b"baggage", value) for value in given])
    kept, left = [], MOST_BAGGAGE
    for member in b",".join(given).split(b","):
        if len(member) <= left:
            kept.append(member)
            left -= len(member) + 1
    return ((b"baggage", b",".join(kept)),) if kept else ()


def trace_lines(lines: Lines) -> Headers:
    """Of the lines that a backend gets, those that say which trace a request belongs to; without its baggage."""
    return [line for line in lines if line[0] in TRACE_FIELDS]
