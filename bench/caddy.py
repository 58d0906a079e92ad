"""Caddy: its configurations. It has no API keys (a `map` of headers stands for them) and no rate limit of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Config = dict[str, Any]

ENVIRONMENT = (("OTEL_TRACES_SAMPLER", "always_off"), ("OTEL_SDK_DISABLED", "false"))


def configuration(
    port: int, backend: int, prefix: str, rewritten: str, handlers: list[Config] | None = None, log: Path | None = None
) -> Config:
    """A proxy with a prefix rewrite. `handlers` come before that."""
    rewrite = {"find": f"{prefix}/", "replace": f"{rewritten}/", "limit": 1}
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"127.0.0.1:{backend}"}],
        "transport": {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": 128, "idle_timeout": "300s"}},
    }
    handle = [*(handlers or []), {"handler": "rewrite", "uri_substring": [rewrite]}, proxy]
    server: Config = {
        "listen": [f"127.0.0.1:{port}"],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        "routes": [{"handle": handle}],
    }
    logs: Config = {"default": {"level": "ERROR", "exclude": ["http.log.access"]}}
    if log is not None:
        server["logs"] = {"default_logger_name": "bench"}
        writer = {"output": "file", "filename": str(log), "roll": False}
        logs["access"] = {"writer": writer, "encoder": {"format": "json"}, "include": ["http.log.access.bench"]}
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": logs},
        "apps": {"http": {"servers": {"bench": server}}},
    }


def chain(key_header: str, consumer_header: str, keys: Mapping[str, str]) -> list[Config]:
    """A key, a request id and a trace."""
    mappings = [{"input": key, "outputs": [consumer]} for consumer, key in keys.items()]
    refused = {
        "match": [{"vars": {"{consumer}": [""]}}],
        "handle": [{"handler": "static_response", "status_code": 401}],
        "terminal": True,
    }
    sent = {consumer_header: ["{consumer}"], "X-Request-Id": ["{http.request.uuid}"]}
    return [
        {
            "handler": "map",
            "source": f"{{http.request.header.{key_header}}}",
            "destinations": ["{consumer}"],
            "mappings": mappings,
            "defaults": [""],
        },
        {"handler": "subroute", "routes": [refused]},
        {"handler": "vars", "consumer": "{consumer}"},  # before its header is deleted, of which the map is made
        {"handler": "tracing", "span": "bench"},
        {"handler": "log_append", "key": "consumer", "value": "{http.vars.consumer}"},
        {"handler": "log_append", "key": "request_id", "value": "{http.request.uuid}"},
        {"handler": "log_append", "key": "trace_id", "value": "{http.vars.trace_id}"},
        {"handler": "headers", "request": {"set": sent, "delete": [key_header]}},
    ]
