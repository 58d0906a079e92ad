"""Traces, metrics and logs for an OpenTelemetry collector, beside requests."""
