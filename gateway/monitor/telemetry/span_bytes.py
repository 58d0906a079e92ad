"""Spans of the SDK in OTLP's protocol buffers (opentelemetry/proto/trace/v1/trace.proto), written by hand: the SDK
makes a message of each attribute and each of its values first. That takes five times the time, in which no request is
served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind

from gateway.monitor.telemetry.turns import in_turns

TOGETHER: Final = 64  # spans that are written in one turn of the interpreter
MOST_KEPT: Final = 128  # characters of a text that is kept as it is written, such as the name of a browser
_KINDS: Final = {SpanKind.SERVER: b"\x30\x02", SpanKind.CLIENT: b"\x30\x03"}
_TIMES: Final = Struct("<BQBQ")  # fields 7 and 8
_FLAGS: Final = Struct("<BI")  # field 16, behind the second byte of its tag
_DOUBLE: Final = Struct("<d")
_SHORT: Final = tuple(bytes((number,)) for number in range(0x80))  # of which the bytes are the number
_HAS_REMOTE: Final = 0x100  # of the flags: it is known whether the parent is
_IS_REMOTE: Final = 0x200


class SpanBytes:
    """Writes the requests that a collector gets: all spans have one resource, and one scope."""

    def __init__(self, some: ReadableSpan) -> None:
        """`some`: one of them."""
        whole = encode_spans([some]).resource_spans[0]
        scope = whole.scope_spans[0]
        del scope.spans[:], whole.scope_spans[:]
        self._resource = whole.SerializeToString()
        self._scope = scope.SerializeToString()

    def request(self, spans: Sequence[ReadableSpan]) -> bytes:
        """An `ExportTraceServiceRequest`."""
        scope_spans = self._scope + b"".join([_field(b"\x12", _span(span)) for span in in_turns(spans, TOGETHER)])
        return _field(b"\x0a", self._resource + _field(b"\x12", scope_spans))


def _span(span: ReadableSpan) -> bytes:
    context, parent, status = span.get_span_context(), span.parent, span.status
    assert isinstance(context, SpanContext)
    fields = [b"\x0a\x10", context.trace_id.to_bytes(16, "big"), b"\x12\x08", context.span_id.to_bytes(8, "big")]
    if context.trace_state:
        state = ",".join([f"{key}={value}" for key, value in context.trace_state.items()])
        fields.append(_field(b"\x1a", state.encode()))
    flags = _HAS_REMOTE
    if parent is not None:
        fields += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
        flags |= _IS_REMOTE if parent.is_remote else 0
    fields += (_field(b"\x2a", span.name.encode()), _KINDS[span.kind])
    fields.append(_TIMES.pack(0x39, span.start_time or 0, 0x41, span.end_time or 0))
    attributes: Mapping[str, Any] = span.attributes or {}
    # Most have few values.
    fields += [
        _kept(name, value) if value.__class__ is not str or len(value) <= MOST_KEPT else _made(name, value)
        for name, value in attributes.items()
    ]
    if span.dropped_attributes:
        fields += (b"\x50", _varint(span.dropped_attributes))
    said = b"" if status.description is None else _field(b"\x12", status.description.encode())
    code = status.status_code.value
    fields += (_field(b"\x7a", said + (b"\x18" + _varint(code) if code else b"")), b"\x85", _FLAGS.pack(1, flags))
    return b"".join(fields)


@lru_cache(1024, typed=True)
def _kept(name: str, value: str | int | float) -> bytes:
    return _made(name, value)


def _made(name: str, value: str | int | float) -> bytes:
    """A KeyValue, as field 9 of a span."""
    if isinstance(value, str):
        content = _field(b"\x0a", value.encode())
    elif isinstance(value, bool):
        content = b"\x10\x01" if value else b"\x10\x00"
    elif isinstance(value, int):
        content = b"\x18" + _varint(value)
    else:
        content = b"\x21" + _DOUBLE.pack(value)
    return _field(b"\x4a", _field(b"\x0a", name.encode()) + _field(b"\x12", content))


def _field(tag: bytes, content: bytes) -> bytes:
    """A field with a length."""
    length = len(content)
    return tag + (_SHORT[length] if length < len(_SHORT) else _varint(length)) + content


def _varint(number: int) -> bytes:
    number &= 0xFFFFFFFFFFFFFFFF  # negative ones as their complement
    pieces = bytearray()
    while number > 0x7F:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    pieces.append(number)
    return bytes(pieces)
