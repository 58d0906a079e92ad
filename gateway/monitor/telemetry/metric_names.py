"""Names of metrics in OpenTelemetry: by its semantic conventions, and otherwise after our own names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.families import Family

NAMES: Final[Mapping[str, str]] = {
    "http_server_request_duration_seconds": "http.server.request.duration",
    "http_server_request_body_size_bytes": "http.server.request.body.size",
    "http_server_response_body_size_bytes": "http.server.response.body.size",
    "http_server_active_requests": "http.server.active_requests",
    "http_client_request_duration_seconds": "http.client.request.duration",
    "http_client_open_connections": "http.client.open_connections",
    "http_client_active_requests": "http.client.active_requests",
    "llm_time_to_first_token_seconds": "gen_ai.server.time_to_first_token",
    "process_cpu_seconds_total": "process.cpu.time",
    "process_resident_memory_bytes": "process.memory.usage",
    "process_virtual_memory_bytes": "process.memory.virtual",
    "process_threads": "process.thread.count",
    "process_open_fds": "process.unix.file_descriptor.count",
}
"""Those of the conventions. docs/tracing.md has the same."""

ATTRIBUTES: Final[Mapping[str, str]] = {
    "route_id": "gateway.route_id",
    "upstream": "gateway.upstream",
    "tenant": "gateway.tenant",
    "consumer": "gateway.consumer",
    "model_backend": "gateway.model_backend",
    "method": "http.request.method",
}
"""Labels that spans have, too, by the names that they have there."""

UP_AND_DOWN: Final = frozenset(
    {"http_server_active_requests", "http_client_open_connections", "http_client_active_requests"}
)
"""Gauges that are sums in the conventions."""

_UNITS: Final = {"seconds": "s", "bytes": "By", "": "1"}
_PREFIX: Final = "gateway_"


def name_of(family: Family) -> str:
    """`gateway.cache_requests` for `gateway_cache_requests_total`; what custom policies count keeps its name."""
    known = NAMES.get(family.name)
    if known is not None:
        return known
    name = family.name.removesuffix("_total")
    name = name.removesuffix(f"_{family.unit}") if family.unit else name
    return f"gateway.{name.removeprefix(_PREFIX)}" if name.startswith(_PREFIX) else name


def unit_of(family: Family) -> str:
    """In UCUM."""
    return _UNITS[family.unit]


def attribute_of(family: Family, label: str) -> str:
    """The name of an attribute for that of a label."""
    if label == "state" and family.name == "http_client_open_connections":
        return "http.connection.state"
    return ATTRIBUTES.get(label, label)
