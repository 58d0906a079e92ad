"""The whole chain: what a gateway is bought for, done by each of the proxies as well as it can.

An API key says which consumer calls (401 without one), a rate limit counts per consumer, every request has an id and
a trace (`traceparent`), the prefix is rewritten, and the access log has a line of JSON for each request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from bench import caddy, envoy, haproxy, traefik
from bench.load import Headers, Request
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
_LOGGED: dict[str, dict[str, str | None]] = {
    "Traefik": {"status": "DownstreamStatus", "consumer": "ClientUsername", "trace_id": "TraceId"}
}
"""What of the log is compared with what the backend saw, and what the log calls it, where that is not the same."""
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
        {proxied}
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
    proxied: bool = False  # X-Forwarded-For says who the client is

    def compared(self) -> list[Program]:
        """All of them, the yardsticks first."""
        return [*self.others(), *self.ours()]

    def ours(self) -> list[Program]:
        """The gateway in each way, and before."""
        interpreted = [self.gateway("gateway, interpreted", interpreted=True)] if self.workshop.compiled else []
        no_compiler = self.gateway("gateway, no compiler", interpreted=True, without_c=True)
        versions = self.workshop.versions_before()
        earlier = [self.gateway(name, interpreted=interpreted, before=True) for name, interpreted in versions]
        return [self.gateway(), *interpreted, no_compiler, *earlier]

    def others(self) -> list[Program]:
        """All that are not ours, the yardsticks first."""
        return [self.nginx(), *self.haproxy(), *self.envoy(), *self.caddy(), *self.traefik()]

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
        without_c: bool = False,
        before: bool = False,
        trace: bool = True,
        counted: bool = True,
        collector: int | None = None,
        keys: Mapping[str, str] = KEYS,
        routes: str | None = None,
    ) -> Program:
        """The gateway: keys are known by their hashes, so that one has to be made of each key that comes."""
        files = self.workshop.gateway_files(f"chain {name}")
        log = _log(files)
        consumers = [
            {"name": name, "keys": [{"hash": "sha256:" + sha256(key.encode()).hexdigest()}]}
            for name, key in keys.items()
        ]
        limit = {"key": ["consumer"], "limits": [f"{PER_SECOND}/s"]}
        auth: dict[str, Any] = {
            "schemes": {"keys": {"api_key": {"header": KEY_HEADER}}},
            "default": ["keys"],
            "consumers": consumers,
        }
        if self.proxied:
            auth["trusted_proxies"] = ["127.0.0.1"]
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
        if routes is not None:
            (files / "routes.yaml").write_text(routes)
        return self.workshop.gateway_program(
            name, files, log, interpreted=interpreted, without_c=without_c, before=before
        )

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
            proxied="set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;" if self.proxied else "",
        )
        return self.workshop.nginx_program("nginx", "chain-nginx", port, server, log)

    def envoy(self, **everything: Any) -> Sequence[Program]:
        """Envoy with its own filters for all of it; none where it is not installed. `everything`: more of it."""
        log = _log(self.workshop.directory, "chain-envoy")
        filters = [
            envoy.key_authentication(KEY_HEADER, CONSUMER_HEADER, KEYS),
            envoy.rate_limit(CONSUMER_HEADER, list(KEYS), PER_SECOND),
        ]
        connection: dict[str, Any] = {"tracing": envoy.tracing(), **everything}
        if self.proxied:
            connection["xff_num_trusted_hops"] = 1
        access_log = [envoy.access_log(log, _ENVOY_FIELDS)]
        return self.workshop.envoy_program(
            "chain-envoy", log, http_filters=filters, access_log=access_log, **connection
        )

    def haproxy(self) -> Sequence[Program]:
        """HAProxy, with rules; none where it is not installed."""
        keys = self.workshop.directory / "chain-haproxy.keys"
        keys.write_text(haproxy.key_map(KEYS))
        rules = haproxy.chain(KEY_HEADER, CONSUMER_HEADER, str(keys), PER_SECOND, proxied=self.proxied)
        return self.workshop.haproxy_program("chain-haproxy", _log(self.workshop.directory, "chain-haproxy"), rules)

    def caddy(self) -> Sequence[Program]:
        """Caddy, with what it has without plugins; none where it is not installed."""
        log = _log(self.workshop.directory, "chain-caddy")
        return self.workshop.caddy_program("chain-caddy", log, caddy.chain(KEY_HEADER, CONSUMER_HEADER, KEYS))

    def traefik(self) -> Sequence[Program]:
        """Traefik, with its middlewares; none where it is not installed."""
        log = _log(self.workshop.directory, "chain-traefik")
        middlewares = traefik.chain(CONSUMER_HEADER, KEYS, PER_SECOND)
        programs = self.workshop.traefik_program("chain-traefik", log, middlewares)
        return [replace(program, credential=(traefik.credential(CALLER, KEYS[CALLER]),)) for program in programs]


def verify(program: Program) -> None:
    """Raises BenchError unless the proxy does everything that it is measured for."""
    for headers in ((), _wrong(program)):
        _expect(program, "a request without a right key", get(program.port, REQUEST.path, headers)[0], 401)
    status, body = get(program.port, f"{PREFIX}/echo", program.credential or CREDENTIAL)
    _expect(program, "a request with a key", status, 200)
    seen = orjson.loads(body)
    trace = _TRACEPARENT.fullmatch(seen["traceparent"])
    received = {name: seen[name] for name in ("path", "consumer", "key")}
    _expect(program, "what the backend sees", received, {"path": f"{REWRITTEN}/echo", "consumer": CALLER, "key": ""})
    _expect(program, f"a trace in {seen['traceparent']!r}", trace is not None, True)
    assert program.log is not None
    *_, last = records(program.log)
    names = _LOGGED.get(program.name, dict.fromkeys(("status", "consumer", "request_id", "trace_id")))
    logged = {name: last.get(theirs or name) for name, theirs in names.items()}
    sent = {"status": 200, "consumer": CALLER, "request_id": seen["request_id"], "trace_id": trace and trace[1]}
    _expect(program, "the log", logged, {name: sent[name] for name in names})
    if "request_id" in names:
        _expect(program, "a request id", bool(seen["request_id"]), True)


def _wrong(program: Program) -> Headers:
    """What is not the key of anyone."""
    return (traefik.credential(CALLER, "x"),) if program.credential else ((KEY_HEADER, KEYS[CALLER][:-1] + "x"),)


def _expect(program: Program, what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise BenchError(f"{program.name}, whole chain, {what}: {found} instead of {expected}")


def _log(directory: Path, name: str = "access") -> Path:
    log = directory / f"{name}.log.json"
    log.touch()
    return log
