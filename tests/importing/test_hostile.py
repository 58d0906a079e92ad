"""Malformed files: reported with their place, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.problems import ConfigError
from gateway.importing.importer import import_file, problems_of

SERVICES = "services: {s: {loadBalancer: {servers: [{url: 'http://x'}]}}}"
HOSTILE = {
    "services.yml": "_format_version: 3.0\nservices: hello\n",
    "types.yml": "_format_version: [1]\nservices: [1, [2], {name: {a: 1}, url: [x], routes: {a: b}}]\nplugins: [a]\n",
    "values.yml": """
_format_version: '3.0'
services:
- {name: a, url: 'http://[::1', routes: [{paths: [1, null, {a: b}, '~(((']}]}
- name: b
  url: http://x:99999
  port: 1e400
  routes:
  - paths: [/x]
    plugins:
    - {name: request-size-limiting, config: {allowed_payload_size: foo, size_unit: x}}
    - {name: request-termination, config: {status_code: 1e400}}
    - {name: rate-limiting, config: {minute: -5, hour: abc}}
consumers: [{username: c, jwt_secrets: [{key: k, secret: s, algorithm: HS}]}]
upstreams:
- {name: u, targets: [{target: 'u:1'}], healthchecks: {active: {healthy: {interval: 1, http_statuses: [x]}}}}
""",
    "http.yml": "http: {routers: [a], services: x, middlewares: 7}\n",
    "rules.yml": "http: {routers: {a: {rule: 5, service: s, priority: x}, b: {rule: 'Host()', service: s}, "
    "c: {rule: 'Header(`a`)', service: s}, d: {rule: 'Method() && Query()', service: s}, "
    "e: {rule: 'ClientIP(`foo`)', service: s, middlewares: [m, l]}}, "
    f"{SERVICES}, middlewares: {{m: {{rateLimit: {{average: 1e400, period: foo}}}}, "
    "l: {chain: {middlewares: [m]}}}}",
    "chain.yml": "http: {routers: {a: {rule: 'Path(`/`)', service: s, middlewares: [l]}}, "
    f"{SERVICES}, middlewares: {{l: {{chain: {{middlewares: [l]}}}}}}}}",
    "rates.json": '{"version": 3, "endpoints": [{"endpoint": "/c", "backend": [{"host": ["h"], "url_pattern": "/"}], '
    '"extra_config": {"qos/ratelimit/router": {"max_rate": 1e400, "every": "x"}, "auth/validator": "x"}}]}',
    "itself.conf": "include itself.conf; server { location / { proxy_pass http://b; } }",
    "numbers.conf": "upstream u { server; server a weight=x; } server { location / { proxy_pass http://u; limit_req "
    "zone=a burst=x; } location /a { return abc def; } location /b { return 99999; } location /e { if (a) { return; } "
    "proxy_pass http://u; } } limit_req_zone $remote_addr zone=a:1m rate=1r/s;",
    "deep.toml": "http = " + "[" * 3000 + "]" * 3000,
    "nul.conf": "server { location /\x00 { proxy_pass http://a; } }",
    "lines.yml": """
_format_version: "3.0"
services: [{name: "s\\n- evil: 1", url: "http://x", routes: [{name: "r\\n- id: x", paths: ["/a\\nroutes: []"]}]}]
""",
    "empty.conf": "server { location / { proxy_pass ; } location { } if { } limit_req; server_name; listen; return; "
    "rewrite x; set; auth_basic; allow; deny; proxy_set_header; add_header X; error_page; }",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_is_named_or_left_out(tmp_path: Path, name: str) -> None:
    """What comes of it passes `check`, or it is an error with a remedy."""
    (tmp_path / name).write_text(HOSTILE[name])
    try:
        imported = import_file(tmp_path / name)
    except ConfigError:
        return
    assert not problems_of(imported, tmp_path)
