"""Words of other gateways, and ours: what an unknown key that is one of them is answered with. docs/coming-from.md has
the same for reading."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from gateway.config.problems import Path

_ROUTE, _SERVICE, _CONSUMER, _SCHEME, _LIMIT, _ANY = "route", "service", "consumer", "scheme", "rate_limit", ""
_PROVIDER, _ROUTING, _BUDGET = "provider", "model_routing", "budget"

_LEVELS: Mapping[str, str] = {
    "routes": _ROUTE,
    "defaults": _ROUTE,
    "groups": _ROUTE,
    "services": _SERVICE,
    "consumers": _CONSUMER,
    "schemes": _SCHEME,
    "rate_limits": _LIMIT,
    "quotas": _LIMIT,
    "providers": _PROVIDER,
    "budgets": _BUDGET,
    "model_routing": _ROUTING,
    "modelRouting": _ROUTING,
}

_WORDS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("Kong", _SERVICE): {
        "url": "endpoints: [host:port], or target: host:port on the route",
        "host port": "endpoints: [host:port]",
        "path": "rewrite on the route: /base/$1",
        "algorithm hash_on hash_fallback lb_policy": "balance",
        "slots": "balance: {consistent_hash: ...}, whose table needs no size",
    },
    ("Kong", _ANY): {
        "targets": "endpoints: [host:port] of a service",
        "healthchecks": "health (active) and outliers (passive) of a service",
        "connect_timeout": "timeout: {connect: 5s} on the route",
        "read_timeout write_timeout": "timeout: {response_header: 60s, idle: 60s} on the route",
        "strip_path": "strip_prefix: /prefix on the route",
        "snis": "host on the route: TLS ends in front of the gateway",
        "regex_priority": "nothing: the most specific path wins, see gateway explain",
        "https_redirect_status_code": "redirect on a route, or in front, where TLS ends",
        "request_buffering response_buffering": "nothing: bodies are streamed",
        "path_handling": "rewrite and strip_prefix on the route",
        "plugins": "a section of middleware.yaml for each: rate_limits, cors, headers, ...; who may call: auth.yaml",
        "upstreams": "services in routes.yaml, with endpoints",
        "_format_version _transform": "nothing here: gateway import kong.yml --output DIR translates such a file",
        "tags": "a comment: # ...",
        "keyauth_credentials": "keys: [...] of a consumer in auth.yaml",
        "basicauth_credentials": "basic: {username: ..., password: ...} of a consumer in auth.yaml",
        "jwt_secrets": "schemes: {NAME: {jwt: {issuers: [...]}}} in auth.yaml",
        "hmacauth_credentials": "signatures: [...] of a consumer in auth.yaml (RFC 9421)",
        "acls acl consumer_groups": "groups of a consumer in auth.yaml, and authorize: [{groups: [...]}] on the route",
        "key_auth": "api_key: {} below schemes in auth.yaml",
        "hmac_auth": "http_signature: {} below schemes in auth.yaml (RFC 9421)",
        "oauth2 openid_connect": "jwt or introspection below schemes in auth.yaml",
        "rate_limiting rate_limiting_advanced": "rate_limits in middleware.yaml",
        "ip_restriction": "ip_allow in middleware.yaml",
        "request_transformer response_transformer": "headers in middleware.yaml; for the path rewrite on the route",
        "request_size_limiting": "max_body on the route",
        "request_termination": "respond: {status: ..., body: ...} on the route",
        "correlation_id": "request_id in middleware.yaml",
        "echo_downstream": "echo: true of request_id in middleware.yaml",
        "proxy_cache": "cache in middleware.yaml and on the route",
        "bot_detection": "blocklist in middleware.yaml, by user_agent",
        "file_log http_log": "access_log in middleware.yaml",
        "prometheus": "/metrics of the admin port, which is there anyway",
        "zipkin opentelemetry": "telemetry: {otlp: ...} in middleware.yaml, with trace: {sample: ..., b3: ...}",
    },
    ("Kong and Spring", _ANY): {
        "retries": "retry: {attempts: N} on the route, where N counts the first attempt, too",
    },
    ("Kong", _ROUTE): {
        "hosts": "host: one, or a list",
        "protocols": "nothing: TLS ends in front of the gateway",
        "service": "target: the name of a service, or host:port",
        "upstream upstreams backend backends": "target: the name of a service, or host:port",
    },
    ("Kong", _CONSUMER): {
        "username": "name; for HTTP Basic basic: {username: ..., password: ...}",
        "custom_id": "name, or subjects for the subjects of tokens",
    },
    ("Kong and Traefik", _ANY): {
        "basic_auth": "basic: {} below schemes in auth.yaml, with htpasswd: FILE for its users",
    },
    ("Kong", _SCHEME): {
        "key_names": "header, query or cookie: the name",
        "hide_credentials": "nothing: credentials end here, unless forward: true",
    },
    ("Kong", _LIMIT): {
        "second minute hour": "limits: [10/s, 100/m, 1000/h]",
        "day month year": "quotas: {NAME: {limit: 1000, window: day}}, or month",
        "limit_by": "key: [consumer], [address], [route], [header:Name]",
        "policy": "store: memory or redis",
        "fault_tolerant": "on_failure: open, closed or local",
    },
    ("Traefik", _ANY): {
        "http tcp udp": "routes and services in routes.yaml; gateway import FILE --output DIR translates such a file",
        "routers": "routes in routes.yaml: a list",
        "middlewares": "a section of middleware.yaml for each, with routes: [ids] that it is for",
        "entrypoints": "nothing: one port, gateway serve --host ... --port ...",
        "load_balancer": "endpoints: [host:port] and balance of a service",
        "servers": "endpoints: [host:port] of a service",
        "pass_host_header": "preserve_host: true on the route",
        "health_check": "health of a service",
        "weighted": "split on the route",
        "mirroring": "mirror on the route",
        "failover": "fallback: {target: ...} on the route",
        "servers_transport": "tls of a service",
        "strip_prefix_regex": "strip_prefix or rewrite on the route",
        "add_prefix": "rewrite: /prefix/$1 on the route",
        "replace_path replace_path_regex": "rewrite on the route",
        "redirect_regex redirect_scheme": "redirect on the route; to https in front, where TLS ends",
        "in_flight_req": "concurrency of a service",
        "digest_auth": "basic: {} below schemes in auth.yaml: there is no digest",
        "users users_file": "htpasswd: FILE of a basic scheme in auth.yaml",
        "ip_allow_list ip_white_list source_range": "ip_allow in middleware.yaml",
        "compress": "compression in middleware.yaml",
        "buffering max_request_body_bytes": "max_body on the route",
        "chain": "nothing: each rule of middleware.yaml names its routes",
        "access_control_allow_methods access_control_allow_origin_list": "cors in middleware.yaml",
        "custom_request_headers custom_response_headers": "headers: {NAME: {request: ..., response: ...}} in "
        "middleware.yaml",
    },
    ("Traefik", _ROUTE): {
        "rule": "path, host, methods, headers and query",
        "rules": "path, host, methods, headers and query",
        "tls certresolver": "nothing: TLS ends in front of the gateway (deploy/nginx)",
    },
    ("Traefik", _LIMIT): {
        "average period": "limits: [10/s]",
    },
    ("nginx", _ANY): {
        "location locations": "a route: path: /x/* in routes.yaml",
        "server_name": "host on the route",
        "proxy_pass": "target: host:port on the route; its path goes into rewrite",
        "proxy_set_header": "headers in middleware.yaml, or set on the route; X-Forwarded-* are sent anyway",
        "add_header proxy_hide_header": "headers: {NAME: {response: ...}} in middleware.yaml",
        "proxy_connect_timeout": "timeout: {connect: 5s} on the route",
        "proxy_read_timeout proxy_send_timeout": "timeout: {response_header: 60s, idle: 60s} on the route",
        "proxy_next_upstream proxy_next_upstream_tries": "retry on the route",
        "client_max_body_size": "max_body on the route, limits: {body: ...} in middleware.yaml",
        "client_body_timeout client_header_timeout keepalive_timeout": "limits in middleware.yaml",
        "limit_req limit_req_zone": "rate_limits in middleware.yaml",
        "limit_conn limit_conn_zone": "concurrency of a service, limits in middleware.yaml",
        "auth_basic auth_basic_user_file": "basic: {htpasswd: FILE} below schemes in auth.yaml",
        "auth_request": "forward_auth: {url: ...} below schemes in auth.yaml",
        "allow deny": "ip_allow in middleware.yaml, or authorize by client on the route",
        "gzip gzip_types": "compression in middleware.yaml",
        "proxy_redirect": "rewrite_back on the route, on with strip_prefix",
        "set_real_ip_from real_ip_header": "trusted_proxies in auth.yaml",
        "max_fails fail_timeout": "outliers of a service",
        "error_page": "fallback on the route",
        "split_clients": "split on the route",
    },
    ("nginx", _ROUTE): {
        "fastcgi_pass uwsgi_pass root try_files alias index": "nothing: let a web server be the target",
        "return": "redirect or respond",
    },
    ("nginx", _SERVICE): {
        "least_conn ip_hash": "balance",
        "backup": "priority: 1 of an endpoint",
    },
    ("Envoy", _ANY): {
        "static_resources listeners filter_chains route_config virtual_hosts": "routes and services in routes.yaml",
        "cluster clusters": "services in routes.yaml; target on the route",
        "load_assignment lb_endpoints": "endpoints: [host:port] of a service",
        "prefix_rewrite regex_rewrite": "rewrite or strip_prefix on the route",
        "host_rewrite_literal auto_host_rewrite": "nothing: backends get the target's Host, unless preserve_host: true",
        "direct_response": "respond on the route",
        "weighted_clusters": "split on the route",
        "request_mirror_policies": "mirror on the route",
        "retry_policy num_retries": "retry: {attempts: N} on the route, where N counts the first attempt, too",
        "outlier_detection": "outliers of a service",
        "health_checks": "health of a service",
        "http_filters": "a section of middleware.yaml for each",
        "ext_authz": "forward_auth: {url: ...} below schemes in auth.yaml",
        "jwt_authn": "jwt: {issuers: [...]} below schemes in auth.yaml",
        "transport_socket": "tls of a service, with protocol: https",
        "tls_certificates certificate_chain private_key": "certificate_file and key_file in tls of a service",
        "validation_context trusted_ca": "ca in tls of a service",
        "request_headers_to_add response_headers_to_add": "headers in middleware.yaml",
        "random_sampling overall_sampling": "trace: {sample: ...} in middleware.yaml, and trace on the route",
        "always_set_request_id_in_response": "request_id: {echo: true} in middleware.yaml",
        "preserve_external_request_id": "request_id: {trust: always} in middleware.yaml",
    },
    ("Envoy", _ROUTE): {
        "match": "path, host, methods, headers and query",
    },
    ("Envoy, Traefik and Spring", _ANY): {
        "circuit_breaker circuit_breakers": "breaker on the route, its profiles breakers in middleware.yaml",
    },
    ("Envoy and Traefik", _ANY): {
        "tracing": "telemetry: {otlp: ...} in middleware.yaml, with trace: {sample: ...}",
    },
    ("Envoy", _SERVICE): {
        "max_requests max_pending_requests": "concurrency, and connections: {max: ..., pending: ...}",
    },
    ("Spring", _ANY): {
        "spring cloud": "routes in routes.yaml; docs/coming-from.md has word by word",
        "default_filters": 'defaults in routes.yaml, and sections of middleware.yaml for routes: ["*"]',
        "request_rate_limiter": "rate_limits in middleware.yaml",
        "fallback_uri": "fallback: {target: ...} on the route",
        "rewrite_path set_path prefix_path": "rewrite on the route",
        "globalcors": "cors in middleware.yaml",
        "token_relay": "forward: true of a scheme in auth.yaml",
    },
    ("Spring", _ROUTE): {
        "uri": "target: host:port, or the name of a service for lb://NAME",
        "predicates predicate": "path, host, methods, headers and query",
        "filters filter": "rewrite, strip_prefix, set, retry, breaker; and sections of middleware.yaml",
        "order": "nothing: the most specific path wins, see gateway explain",
        "metadata": "timeout, and a comment for what is for people",
    },
    ("nginx", _LIMIT): {
        "rate": "limits: [10/s]",
        "nodelay delay": "burst: what may come at once passes without a delay, the rest is refused",
        "zone": "key: [address]",
    },
    ("Resilience4j", _ANY): {
        "failure_rate_threshold": "breaker: {error_ratio: 0.5}",
        "slow_call_rate_threshold": "breaker: {slow_ratio: 0.5}",
        "slow_call_duration_threshold": "breaker: {slow: 2s}",
        "sliding_window_size": "breaker: {window: 10s}",
        "minimum_number_of_calls": "breaker: {minimum: 20}",
        "wait_duration_in_open_state": "breaker: {open: 10s}",
        "permitted_number_of_calls_in_half_open_state": "breaker: {trials: 3}",
    },
    ("LiteLLM", _ANY): {
        "model_list": "providers in models.yaml, each with its models; what clients call them: aliases",
        "litellm_params": "a provider in models.yaml: base_url, keys, models",
        "litellm_settings general_settings environment_variables": "nothing: see docs/coming-from.md",
        "router_settings": "model_routing in models.yaml",
        "model_group_alias": "aliases in models.yaml",
        "context_window_fallbacks": "max_context_tokens and overflow of a profile",
        "max_budget budget_duration": "budgets in models.yaml: limits: [{usd: ..., window: day}]",
        "master_key": "consumers in auth.yaml, each with keys",
    },
    ("LiteLLM", _CONSUMER): {
        "team team_id team_alias": "tenant",
        "key_alias": "name",
        "rpm_limit tpm_limit": "budgets in models.yaml: limits: [{tokens: 100000, window: minute}]",
    },
    ("other gateways", _BUDGET): {
        "consumers consumer tenants tenant teams team_id": (
            "key: [tenant], which counts each apart; for some callers alone a route of theirs, in routes of the budget"
        ),
    },
    ("LiteLLM", _PROVIDER): {
        "api_key": "keys: [${NAME}]",
        "api_base": "base_url",
        "model model_name": "models: [NAME]; what else clients may call them: aliases",
        "custom_llm_provider": "protocol",
        "rpm tpm": "budgets, or rate_limits in middleware.yaml",
        "max_retries num_retries": "nothing: what fails goes to the next provider",
    },
    ("LiteLLM", _ROUTING): {
        "fallbacks": "prefer_providers of a profile: the others follow by themselves",
        "routing_strategy": "prefer_providers of a profile, and weight of its providers",
    },
    ("other gateways", _PROVIDER): {
        "url": "base_url",
    },
    ("other gateways", _ROUTING): {
        "profile": "use",
    },
    ("Spring", _LIMIT): {
        "replenish_rate burst_capacity": "limits: [10/s], burst: 20",
    },
}
"""Foreign words by gateway and place (anywhere, or a specific one), with our keys."""


def ours(path: Path, own: bool) -> str | None:
    """The hint for an unknown key at this place; None if it is not a word of another gateway.

    `own`: it is also a key of ours, elsewhere; then only what is said of this place counts.
    """
    key = _plain(str(path[-1]))
    level = _LEVELS.get(str(path[0]), _ANY) if len(path) > 1 else _ANY
    found = _table().get((key, level)) if level != _ANY else None
    if found is None and not own:
        found = _table().get((key, _ANY)) or next((entry for (word, _), entry in _table().items() if word == key), None)
    if found is None:
        return None
    whose, remedy = found
    return f"unknown key; it is a word of {whose}, which is here: {remedy}"


@cache
def _table() -> Mapping[tuple[str, str], tuple[str, str]]:
    return {
        (_plain(word), level): (whose, remedy)
        for (whose, level), rows in _WORDS.items()
        for words, remedy in rows.items()
        for word in words.split()
    }


def _plain(word: str) -> str:
    """`circuitBreaker`, `circuit-breaker` and `circuit_breaker` are the same word."""
    return word.replace("_", "").replace("-", "").lower()
