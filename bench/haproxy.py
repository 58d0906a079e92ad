"""HAProxy: its configurations."""

from __future__ import annotations

import json
from collections.abc import Mapping

_CONFIGURATION = """
global
    nbthread 1
    maxconn 8000
{globals}
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout tunnel 300s
    http-reuse always
{log}
frontend bench
    bind 127.0.0.1:{port}
{rules}
    http-request replace-path ^{prefix}/(.*) {rewritten}/\\1
    default_backend backend
backend limits
    stick-table type string len 32 size 10k expire 1m store http_req_rate(1s)
backend backend
    server one 127.0.0.1:{backend} pool-max-conn -1
"""

_CHAIN = """
    unique-id-format %[uuid()]
    unique-id-header X-Request-ID
    http-request set-var(txn.consumer) req.hdr({key_header}),map_str({keys})
    http-request deny deny_status 401 unless {{ var(txn.consumer) -m found }}
    http-request track-sc0 var(txn.consumer) table limits
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {per_second} }}
    http-request set-var(txn.trace) uuid(),regsub(-,,g)
    http-request set-var(txn.span) var(txn.trace),bytes(0,16)
    http-request del-header {key_header}
    http-request set-header {consumer_header} %[var(txn.consumer)]
    http-request set-header traceparent 00-%[var(txn.trace)]-%[var(txn.span)]-01
    http-request set-var(txn.path) url
    http-request set-var(txn.host) req.hdr(host)
    option forwardfor
"""

_JWT = """
    http-request set-var(txn.token) http_auth_bearer
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_header_query('$.alg') -m str RS256 }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify("RS256","{key}") 1 }}
    http-request set-var(txn.now) date()
    http-request set-var(txn.left) var(txn.token),jwt_payload_query('$.exp','int'),sub(txn.now)
    http-request deny deny_status 401 if {{ var(txn.left) -m int lt 0 }}
    http-request set-header {consumer_header} %[var(txn.token),jwt_payload_query('$.sub')]
    http-request del-header authorization
"""

_LOG_FIELDS = {
    "time": "%Ts.%ms",
    "request_id": "%ID",
    "trace_id": "%[var(txn.trace)]",
    "client": "%ci",
    "consumer": "%[var(txn.consumer)]",
    "method": "%HM",
    "host": "%[var(txn.host)]",
    "path": "%[var(txn.path)]",
    "route": "%f",
    "upstream": "%b",
    "endpoint": "%si:%sp",
    "status": "%ST",
    "bytes_in": "%U",
    "bytes_out": "%B",
    "duration": "%Ta",
    "upstream_duration": "%Tr",
    "error": "%ts",
}
_NUMBERS = {"time", "status", "bytes_in", "bytes_out", "duration", "upstream_duration"}


def configuration(port: int, backend: int, prefix: str, rewritten: str, rules: str = "", log: bool = False) -> str:
    """A proxy with a prefix rewrite. `log`: a line of JSON for each request on the standard output."""
    return _CONFIGURATION.format(
        globals="    log stdout len 4096 format raw local0 info" if log else "",
        log=f"    log global\n    log-format {json.dumps(_log_format())}" if log else "",
        port=port,
        backend=backend,
        prefix=prefix,
        rewritten=rewritten,
        rules=rules,
    )


def chain(key_header: str, consumer_header: str, keys: str, per_second: int, *, proxied: bool) -> str:
    """Rules for a key, a limit, a request id and a trace. `keys`: the file of consumers by key."""
    rules = _CHAIN.format(key_header=key_header, consumer_header=consumer_header, keys=keys, per_second=per_second)
    return ("    http-request set-src req.hdr(x-forwarded-for)\n" if proxied else "") + rules


def jwt(key: str, consumer_header: str) -> str:
    """Rules for a token. `key`: the file of the public key. It is verified for every request: nothing is remembered."""
    return _JWT.format(key=key, consumer_header=consumer_header)


def key_map(keys: Mapping[str, str]) -> str:
    """The file of consumers by key."""
    return "".join(f"{key} {consumer}\n" for consumer, key in keys.items())


def _log_format() -> str:
    fields = (f'"{name}":{value}' if name in _NUMBERS else f'"{name}":"{value}"' for name, value in _LOG_FIELDS.items())
    return "{" + ",".join(fields) + "}"
