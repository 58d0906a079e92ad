"""`io.prometheus.client.MetricFamily`, declared for Google's protobuf library: it reads what the gateway writes."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

_TYPES = {name: number for number, name in enumerate(("COUNTER", "GAUGE", "SUMMARY", "UNTYPED", "HISTOGRAM"))}
_MESSAGES = """
LabelPair: string name 1, string value 2
Gauge: double value 1
Counter: double value 1, Exemplar exemplar 2
Quantile: double quantile 1, double value 2
Summary: uint64 sample_count 1, double sample_sum 2, Quantile* quantile 3
Untyped: double value 1
Histogram: uint64 sample_count 1, double sample_sum 2, Bucket* bucket 3, sint32 schema 5, double zero_threshold 6,
 uint64 zero_count 7, BucketSpan* positive_span 12, sint64* positive_delta 13, Exemplar* exemplars 16
Bucket: uint64 cumulative_count 1, double upper_bound 2, Exemplar exemplar 3
BucketSpan: sint32 offset 1, uint32 length 2
Exemplar: LabelPair* label 1, double value 2, google.protobuf.Timestamp timestamp 3
Metric: LabelPair* label 1, Gauge gauge 2, Counter counter 3, Summary summary 4, Untyped untyped 5,
 Histogram histogram 7
MetricFamily: string name 1, string help 2, int32 type 3, Metric* metric 4, string unit 5
"""


def _declared() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="metrics.proto", package="m", syntax="proto3")
    file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
    kinds = descriptor_pb2.FieldDescriptorProto
    for line in _MESSAGES.replace("\n ", " ").strip().splitlines():
        name, _, fields = line.partition(": ")
        message = file.message_type.add(name=name)
        for field in fields.split(", "):
            kind, label, number = field.split()
            made = message.field.add(name=label, number=int(number))
            made.label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            kind = kind.rstrip("*")
            if kind.islower():
                made.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
            else:
                made.type, made.type_name = kinds.TYPE_MESSAGE, f".{kind}" if "." in kind else f".m.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("m.MetricFamily"))


MetricFamily = _declared()


def read(page: bytes) -> dict[str, Any]:
    """Each family of a page of delimited messages, by its name."""
    found, at = {}, 0
    while at < len(page):
        length = shift = 0
        while True:
            byte = page[at]
            length |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        family = MetricFamily.FromString(page[at : at + length])
        assert len(page) >= at + length
        found[family.name] = family
        at += length
    return found


def labels(metric: Any) -> dict[str, str]:
    """Of one metric."""
    return {pair.name: pair.value for pair in metric.label}


def native(histogram: Any) -> dict[int, int]:
    """The counts of a native histogram, by index, as Prometheus takes spans and deltas."""
    counts: dict[int, int] = {}
    index = count = taken = 0
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += histogram.positive_delta[taken]
            counts[index] = count
            taken, index = taken + 1, index + 1
    assert taken == len(histogram.positive_delta)
    return {index: count for index, count in counts.items() if count}
