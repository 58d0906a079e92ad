"""The access log as a collector gets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from tests.monitor.telemetry.collector import attributes, running_collector
from tests.monitor.telemetry.test_spans import SERVER, backend, get, route
from tests.support import eventually, free_port, running_gateway

FAST = {"OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_BLRP_SCHEDULE_DELAY": "20"}


@pytest.mark.parametrize("log", ["{output: 'off'}", "{format: console}", "{}"])
async def test_each_line_is_a_record_of_the_trace(tmp_path: Path, log: str) -> None:
    """With what the line has, wherever else it is written."""
    async with backend() as behind:
        with running_collector() as collector:
            routes = route(behind.port) + f"- {{id: dead, path: /dead, target: '127.0.0.1:{free_port()}'}}\n"
            middleware = (
                f"telemetry: {{otlp: '{collector.url}', logs: true}}\naccess_log: {log}\n"
                "trace: {sample: 1, trust: always}\n"
            )
            with running_gateway(tmp_path, routes, middleware, environment=FAST) as running:
                await get(running.port, "/orders/7?secret=1")
                await get(running.port, "/dead", "traceparent: 00-" + "a" * 32 + "-" + "b" * 16 + "-00")
                await eventually(lambda: len(collector.logs) == 2 and len(collector.spans) == 2)
    good, bad = collector.logs
    (server,) = (span for span in collector.spans if span.kind == SERVER)
    assert (good.trace_id, good.span_id, good.flags) == (server.trace_id, server.span_id, 3)
    assert (bad.trace_id.hex(), bad.span_id.hex().strip("0")) == ("a" * 32, "")
    assert (good.body.string_value, bad.body.string_value) == ("GET /orders/7 200", "GET /dead 502")
    assert good.severity_number == SeverityNumber.SEVERITY_NUMBER_INFO
    assert bad.severity_number == SeverityNumber.SEVERITY_NUMBER_ERROR
    found = attributes(good.attributes)
    assert (found["route"], found["status"], found["span_id"]) == ("orders", 200, server.span_id.hex())
    assert "error" not in found
    assert str(attributes(bad.attributes)["error"]).startswith("upstream-refused")
    assert good.event_name == "gateway.access"
    assert good.time_unix_nano == server.start_time_unix_nano


async def test_a_share_of_the_lines_is_sent(tmp_path: Path) -> None:
    """As many as are written, with the fields that are chosen; without traces, too."""
    async with backend() as behind:
        with running_collector() as collector:
            middleware = (
                f"telemetry: {{otlp: '{collector.url}', logs: true, traces: false}}\n"
                "access_log: {sample: {2xx: 0}, fields: [status]}\n"
            )
            with running_gateway(tmp_path, route(behind.port), middleware, environment=FAST) as running:
                await get(running.port, "/orders/1")
                await get(running.port, "/nowhere")
                await eventually(lambda: len(collector.logs) == 1)
                await eventually(lambda: running.access_log == '{"status":404}\n')
    assert attributes(collector.logs[0].attributes) == {"status": 404}
    assert not collector.spans
