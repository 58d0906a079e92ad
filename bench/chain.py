"""The whole chain: what a gateway is bought for, done by each of the proxies as well as it can.

An API key says which consumer calls (401 without one), a rate limit counts per consumer, every request has an id and
a trace (`traceparent`), the prefix is rewritten, and the access log has a line of JSON for each request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from bench import envoy
from bench.load import Request
from bench.logs import records
from bench.machine import free_port
from bench.programs import BenchError, Program, get
from bench.proxies import PREFIX, REWRITTEN, SMALL, Workshop

CONSUMERS = 100
PER_SECOND = 1_000_000  # requests of each consumer: more than there can be
KEY_HEADER = "x-api-key"
CONSUMER_HEADER = "x-consumer-name"

CALLER = "consumer-42"
KEYS = {f"consumer-{number}": sha256(b"%d" % number).hexdigest()[:40] for number in range(CONSUMERS)}
CREDENTIAL = ((KEY_HEADER, KEYS[CALLER]),)
REQUEST = Request("whole chain, 200-byte JSON", f"{PREFIX}/small", len(SMALL), headers=CREDENTIAL)

_TRACEPARENT = re.compile("00-([0-9a-f]{32})-[0-9a-f]{16}-0[0-3]")

# What of a request each log has, as nginx and Envoy call it. The gateway has its own usual record, which has all this.
_NGINX_FIELDS = {
    "time": "$msec",
    "request_id": "$request_id",
    "trace_id": "$request_id",
    "client": "$remote_addr",
    "consumer": "$consumer",
    "method": "$request_method",
    "host": "$host",
    "path": "$request_uri",
    "upstream": "$proxy_host",
    "endpoint": "$upstream_addr",
    "status": "$status",
    "bytes_in": "$request_length",
    "bytes_out": "$body_bytes_sent",
    "duration": "$request_time",
    "upstream_duration": "$upstream_header_time",
}
_ENVOY_FIELDS = {
    "time": "%START_TIME(%s.%3f)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "trace_id": "%TRACE_ID%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "consumer": "%REQ(X-CONSUMER-NAME)%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "route": "%ROUTE_NAME%",
    "upstream": "%UPSTREAM_CLUSTER%",
    "endpoint": "%UPSTREAM_HOST%",
    "status": "%RESPONSE_CODE%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_duration": "%RESPONSE_DURATION%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "error": "%RESPONSE_CODE_DETAILS%",
}
_NUMBERS = {"time", "status", "bytes_in", "bytes_out", "duration"}  # of nginx, which quotes nothing by itself

_NGINX = """
    map_hash_bucket_size 128;
    map $http_x_api_key $consumer {{ default ""; {keys} }}
    map $request_id $span {{ "~^(?<first>.{{16}})" $first; }}
    limit_req_zone $consumer zone=consumers:1m rate={rate}r/s;
    log_format record escape=json '{{{fields}}}';
    upstream backend {{
        server 127.0.0.1:{backend};
        keepalive 128;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        access_log {log} record buffer=64k flush={flush}ms;
        location {prefix}/ {{
            if ($consumer = "") {{ return 401; }}
            limit_req zone=consumers burst=1000 nodelay;
            proxy_pass http://backend{rewritten}/;
            proxy_http_version 1.1;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header X-API-Key "";
            proxy_set_header X-Consumer-Name $consumer;
            proxy_set_header X-Request-ID $request_id;
            proxy_set_header traceparent "00-$request_id-$span-01";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Chains:
    """Makes the proxies."""

    workshop: Workshop

    def compared(self) -> list[Program]:
        """All of them, the yardsticks first."""
        interpreted = [self.gateway("gateway, interpreted", interpreted=True)] if self.workshop.compiled else []
        versions = self.workshop.versions_before()
        earlier = [self.gateway(name, interpreted=interpreted, before=True) for name, interpreted in versions]
        return [self.nginx(), *self.envoy(), self.gateway(), *interpreted, *earlier]

    def observed(self, collector: int) -> list[Program]:
        """The gateway that counts nothing, that counts, and that records one request in a hundred for a collector, too.

        `collector` is the port of it.
        """
        ways = [""] if self.workshop.compiled is None else ["", ", interpreted"]
        return [
            self.gateway(f"gateway, {name}{way}", interpreted=bool(way), counted=counted, collector=traced)
            for way in ways
            for name, counted, traced in (
                ("nothing counted", False, None),
                ("counted", True, None),
                ("1% traced, too", True, collector),
            )
        ]

    def gateway(
        self,
        name: str = "gateway",
        *,
        interpreted: bool = False,
        before: bool = False,
        trace: bool = True,
        counted: bool = True,
        collector: int | None = None,
    ) -> Program:
        """The gateway: keys are known by their hashes, so that one has to be made of each key that comes."""
        files = self.workshop.gateway_files(f"chain {name}")
        log = _log(files)
        consumers = [
            {"name": name, "keys": [{"hash": "sha256:" + sha256(key.encode()).hexdigest()}]}
            for name, key in KEYS.items()
        ]
        limit = {"key": ["consumer"], "limits": [f"{PER_SECOND}/s"]}
        auth = {"schemes": {"keys": {"api_key": {"header": KEY_HEADER}}}, "default": ["keys"], "consumers": consumers}
        middleware: dict[str, Any] = {
            "access_log": {"output": str(log)},
            "trace": {"enabled": trace},
            "rate_limits": {"per-consumer": limit},
        }
        if not counted:
            middleware["monitor"] = {"enabled": False}
        if collector is not None:
            middleware["telemetry"] = {"otlp": f"http://127.0.0.1:{collector}"}
            middleware["trace"]["sample"] = "1%"
        (files / "auth.yaml").write_text(json.dumps(auth))
        (files / "middleware.yaml").write_text(json.dumps(middleware))
        return self.workshop.gateway_program(name, files, log, interpreted=interpreted, before=before)

    def nginx(self) -> Program:
        """nginx, with what it has without modules of others."""
        log, port = _log(self.workshop.directory, "chain-nginx"), free_port()
        fields = (
            f'"{name}":{value}' if name in _NUMBERS else f'"{name}":"{value}"' for name, value in _NGINX_FIELDS.items()
        )
        server = _NGINX.format(
            keys=" ".join(f'"{key}" {consumer};' for consumer, key in KEYS.items()),
            rate=PER_SECOND,
            fields=",".join(fields),
            backend=self.workshop.backend,
            port=port,
            log=log,
            flush=envoy.FLUSH_MILLISECONDS,
            prefix=PREFIX,
            rewritten=REWRITTEN,
        )
        return self.workshop.nginx_program("nginx", "chain-nginx", port, server, log)

    def envoy(self) -> Sequence[Program]:
        """Envoy with its own filters for all of it; none where it is not installed."""
        log = _log(self.workshop.directory, "chain-envoy")
        filters = [
            envoy.key_authentication(KEY_HEADER, CONSUMER_HEADER, KEYS),
            envoy.rate_limit(CONSUMER_HEADER, list(KEYS), PER_SECOND),
        ]
        return self.workshop.envoy_program(
            "chain-envoy",
            log,
            http_filters=filters,
            tracing=envoy.tracing(),
            access_log=[envoy.access_log(log, _ENVOY_FIELDS)],
        )


def verify(program: Program) -> None:
    """Raises BenchError unless the proxy does everything that it is measured for."""
    for headers in ((), ((KEY_HEADER, KEYS[CALLER][:-1] + "x"),)):
        _expect(program, "a request without a right key", get(program.port, REQUEST.path, headers)[0], 401)
    status, body = get(program.port, f"{PREFIX}/echo", CREDENTIAL)
    _expect(program, "a request with a key", status, 200)
    seen = orjson.loads(body)
    trace = _TRACEPARENT.fullmatch(seen["traceparent"])
    received = {name: seen[name] for name in ("path", "consumer", "key")}
    _expect(program, "what the backend sees", received, {"path": f"{REWRITTEN}/echo", "consumer": CALLER, "key": ""})
    _expect(program, "a request id and a trace", (bool(seen["request_id"]), trace is not None), (True, True))
    assert trace is not None
    assert program.log is not None
    *_, last = records(program.log)
    logged = {name: last[name] for name in ("status", "consumer", "request_id", "trace_id")}
    sent = {"status": 200, "consumer": CALLER, "request_id": seen["request_id"], "trace_id": trace[1]}
    _expect(program, "the log", logged, sent)


def _expect(program: Program, what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise BenchError(f"{program.name}, whole chain, {what}: {found} instead of {expected}")


def _log(directory: Path, name: str = "access") -> Path:
    log = directory / f"{name}.log.json"
    log.touch()
    return log
