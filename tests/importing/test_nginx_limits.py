"""Limits, headers and times of nginx.conf: what is combined, what is replaced, and what is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.importing.support import Tried, try_text

Import = Any
ZONES = "limit_req_zone $binary_remote_addr zone=one:1m rate=5r/s;"


@pytest.fixture
def nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """Import what is within a server, and around it."""

    def tried(server: str, http: str = "") -> Tried:
        text = f"events {{}}\nhttp {{\n{http}\nserver {{\nlisten 80;\n{server}\n}}\n}}\n"
        return try_text("nginx.conf", text, tmp_path, monkeypatch)

    return tried


def middleware(tried: Tried) -> Any:
    return yaml.safe_load(tried.imported.files["middleware.yaml"])


def test_a_header_that_is_added_twice_is_sent_twice(nginx: Import) -> None:
    """Neither of two values of one name is lost, in either direction."""
    tried = nginx(
        """location / { proxy_pass http://b:80; add_header Link </a> always; add_header link </b> always;
        proxy_set_header X-A 1; proxy_set_header X-A 2; proxy_set_header X-A 3; }"""
    )
    rules = middleware(tried)["headers"].values()
    assert [rule["response"]["add"] for rule in rules if "response" in rule] == [{"Link": "</a>"}, {"link": "</b>"}]
    assert [rule["request"] for rule in rules if "request" in rule] == [{"set": {"X-A": "1"}, "add": {"X-A": "2"}}]
    assert "proxy_set_header X-A | a header is sent twice at most" in tried.report


def test_headers_on_errors_are_named_where_nginx_leaves_them_alone(nginx: Import) -> None:
    """`add_header` without `always` is for successes and redirects only."""
    report = nginx("location / { proxy_pass http://b:80;\nadd_header X-A 1;\nadd_header X-B 1 always; }").report
    assert "add_header X-A | it is added to every answer" in report
    assert "add_header X-B | it is added to every answer" not in report


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("X-Forwarded-Proto https", True), ("X-Forwarded-Proto $scheme", False), ('X-Forwarded-For ""', True),
        ("X-Real-IP $http_cf_connecting_ip", True), ("X-Real-IP $remote_addr", False), ("Upgrade $http_upgrade", False),
    ],
)  # fmt: skip
def test_what_the_gateway_sends_itself_is_compared(nginx: Import, header: str, named: bool) -> None:
    """A fixed value, or the header of another proxy, is not what the gateway sends."""
    tried = nginx(f"location / {{ proxy_pass http://b:80; proxy_set_header {header}; }}")
    assert (tried.imported.report.count("unsaid") == 1) is named


def test_limits_are_counted_by_what_the_zone_names(nginx: Import) -> None:
    """Several variables are several parts of a key, and what holds for a whole server is counted for each route."""
    zones = "".join(
        f"limit_req_zone {key} zone=z{number}:1m rate=5r/s;\n"
        for number, key in enumerate(("$binary_remote_addr$http_x_key", "$server_name", "${remote_addr}$uri", "$my"))
    )
    limits = "".join(f"limit_req zone=z{number} nodelay;\n" for number in range(4))
    tried = nginx(f"location / {{ {limits} proxy_pass http://b:80; }}", zones)
    keys = {name: rule["key"] for name, rule in middleware(tried)["rate_limits"].items()}
    assert keys == {"z0": ["address", "header:x-key"], "z1": ["route"], "z2": ["address", "route"]}
    for text in ("requests without x-key are counted by their address", "counted for each route by itself"):
        assert text in tried.report
    assert "the key of its zone is neither a header nor an address" in tried.report


def test_a_zone_with_two_bursts_and_one_that_only_counts_are_named(nginx: Import) -> None:
    """nginx counts all requests of a zone together; with limit_req_dry_run it refuses none."""
    tried = nginx(
        """location /a { limit_req zone=one burst=5 nodelay; proxy_pass http://b:80; }
        location /b { limit_req zone=one burst=9 nodelay; proxy_pass http://b:80; }
        location /c { limit_req zone=one nodelay; limit_req_dry_run on; proxy_pass http://b:80; }""",
        ZONES,
    )
    assert "counted apart from limits of this zone with another burst" in tried.report
    modes = [rule.get("mode", "enforce") for rule in middleware(tried)["rate_limits"].values()]
    assert modes == ["enforce", "enforce", "shadow"]


def test_directives_that_change_requests_are_named(nginx: Import) -> None:
    """Not as if they held anyway."""
    tried = nginx(
        """charset utf-8; large_client_header_buffers 4 64k; merge_slashes off;
        location / { proxy_pass http://b:80; proxy_set_body x; proxy_redirect http://b/ /b/; proxy_cache c;
        proxy_cache_bypass $http_x; proxy_no_cache 1; proxy_pass_request_body off; }
        location /b { proxy_pass http://b:80; proxy_redirect off; proxy_pass_request_body on; }"""
    )
    unsaid = tried.report.partition("## Not translated")[2].partition("## Translated")[0]
    for name in (
        "charset", "large_client_header_buffers", "merge_slashes", "proxy_set_body", "proxy_redirect",
        "proxy_cache_bypass", "proxy_no_cache", "proxy_pass_request_body",
    ):  # fmt: skip
        assert f"> {name} |" in unsaid
    assert "location /b >" not in unsaid


def test_one_rule_of_compression_is_for_all_that_ask_for_some(nginx: Import) -> None:
    """Other settings of another location do not take compression from the first; the report names them."""
    tried = nginx(
        """location /a { gzip on; gzip_types text/css; proxy_pass http://b:80; }
        location /b { gzip on; gzip_types text/plain; proxy_pass http://b:80; }
        location /c { proxy_pass http://b:80; }"""
    )
    rule = middleware(tried)["compression"]
    assert rule["types"] == ["text/html", "text/css"]
    assert {"a", "b"} < set(rule["routes"])
    assert "c" not in rule["routes"]
    assert "compression has one rule for all of its routes" in tried.report


def test_the_time_limits_of_nginx_itself_hold(nginx: Import) -> None:
    """A backend may take as long to accept a connection as it may behind nginx."""
    tried = nginx("location / { proxy_pass http://b:80; }")
    assert middleware(tried)["timeouts"] == {"connect": "60s", "idle": "60s"}
