"""Access restrictions of the original hold here, also if they cannot be translated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.importing.regexes import head_of
from gateway.importing.values import rate
from tests.importing.support import Tried, try_text

Import = Any


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """Import a text, or a value that becomes JSON, as a file of this name."""

    def tried(name: str, content: Any) -> Tried:
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        return try_text(name, text, tmp_path, monkeypatch)

    return tried


def test_callers_who_must_pass_two_plugins_of_kong_do_not_pass_with_one(imported: Import) -> None:
    """Schemes of a route are alternatives: a route of two authentication plugins is closed."""
    routes = [{"name": "two", "paths": ["/two"], "plugins": [{"name": "key-auth"}, {"name": "basic-auth"}]}]
    tried = imported(
        "kong.json", {"_format_version": "3.0", "services": [{"name": "s", "url": "http://s", "routes": routes}]}
    )
    assert "NOT-YET-TRANSLATED" in tried.imported.files["routes.yaml"]
    assert "must pass 2 authentication plugins. It is closed" in tried.report


GUARDED = {
    "kong": {
        "_format_version": "3.0",
        "services": [
            {
                "name": "s",
                "url": "http://s",
                "routes": [
                    {"name": "admin", "paths": ["~/admin/(?=x)"], "plugins": [{"name": "key-auth"}]},
                    {"name": "free", "paths": ["~/free/(?=x)"]},
                    {"name": "all", "paths": ["/"]},
                ],
            }
        ],
    },
    "traefik": {
        "http": {
            "routers": {
                "admin": {"rule": "PathRegexp(`^/admin/(?=x)`)", "service": "s", "middlewares": ["auth"]},
                "free": {"rule": "PathRegexp(`^/free/(?=x)`)", "service": "s"},
                "all": {"rule": "PathPrefix(`/`)", "service": "s"},
            },
            "middlewares": {"auth": {"digestAuth": {"users": ["a:b:c"]}}},
            "services": {"s": {"loadBalancer": {"servers": [{"url": "http://s:80"}]}}},
        }
    },
}


@pytest.mark.parametrize("kind", GUARDED)
def test_a_guarded_route_that_cannot_be_said_does_not_open_its_paths_to_a_wider_one(
    imported: Import, kind: str
) -> None:
    """All that begins as its expression does is refused; a route without a guard is only left out."""
    tried = imported(f"{kind}.json", GUARDED[kind])
    routes = {route["id"]: route for route in yaml.safe_load(tried.imported.files["routes.yaml"])["routes"]}
    assert tried.explain("GET", "/admin/x")["result"] == 'route "admin"'
    assert "NOT-YET-TRANSLATED" in str(routes["admin"]["authorize"])
    assert tried.goes("GET", "/free/x") == "s:80/free/x"
    assert tried.goes("GET", "/adm") == "s:80/adm"
    assert "every path below /admin/ is refused" in tried.report


@pytest.mark.parametrize(
    ("expression", "head"),
    [
        (r"^/admin/(?=x)", "/admin/"),
        (r"/\.(?!well-known).*", "/."),
        (r"/ab*c(?=x)", "/a"),
        (r"/ab+(?=x)", "/ab"),
        (r"/(a|b)(?=x)", ""),
        (r"/a(?=x)|/b", ""),
        (r"/\d(?=x)", ""),
        ("", ""),
    ],
)
def test_what_all_paths_of_an_expression_begin_with(expression: str, head: str) -> None:
    """Only what stands in front of everything that varies counts, and nothing where there are alternatives."""
    assert head_of(expression) == head


def test_a_middleware_of_another_file_closes_its_route(imported: Import) -> None:
    """Its rules are unknown: `authelia@docker` is not in the file."""
    http = {
        "routers": {"a": {"rule": "Host(`a.example`)", "service": "s", "middlewares": ["authelia@docker"]}},
        "services": {"s": {"loadBalancer": {"servers": [{"url": "http://s:80"}]}}},
    }
    tried = imported("dynamic.json", {"http": http})
    assert "NOT-YET-TRANSLATED" in tried.imported.files["routes.yaml"]


def endpoint(path: str, **others: Any) -> dict[str, Any]:
    return {"endpoint": path, "backend": [{"host": ["http://b:80"], "url_pattern": path}]} | others


def test_claims_that_krakend_sends_take_the_place_of_what_clients_send(imported: Import) -> None:
    """`propagate_claims` is `set`: a client that sends X-User cannot pose as another one."""
    validator = {"alg": "RS256", "issuer": "https://i", "jwk_url": "https://i/k"}
    claims = [["sub", "x-user"], ["realm_access.role", "x-role"], ["https://example.com/team", "x-team"]]
    extra = {"auth/validator": validator | {"propagate_claims": claims}}
    tried = imported("krakend.json", {"version": 3, "endpoints": [endpoint("/a", extra_config=extra)]})
    route = yaml.safe_load(tried.imported.files["routes.yaml"])["routes"][0]
    assert route["set"] == {
        "x-user": "{claims.sub}",
        "x-role": "{claims.realm_access.role}",
        "x-team": "{claims.https://example.com/team}",
    }
    assert "authorize" not in route


def test_an_endpoint_that_is_left_out_does_not_go_to_the_one_with_a_rest(imported: Import) -> None:
    """What several backends answered together is a 404 beside `/x/*`, not a request to its backend."""
    merged = endpoint("/x/me")
    merged["backend"] *= 2
    tried = imported("krakend.json", {"version": 3, "endpoints": [merged, endpoint("/x/*")]})
    assert tried.goes("GET", "/x/me") == "respond 404"
    assert tried.goes("GET", "/x/you") == "b:80/x/you"


@pytest.mark.parametrize(
    "extra",
    [
        {"modifier/lua-endpoint": {"pre": "if bad() then custom_error('no', 403) end"}},
        {"plugin/req-resp-modifier": {"name": ["ip-filter"], "ip-filter": {"CIDR": ["10.0.0.0/8"]}}},
        {"github.com/devopsfaith/krakend-cel": [{"check_expr": "false"}]},
        {"auth/key-auth": {"keys": ["a-key"]}},
    ],
)
def test_what_may_refuse_in_krakend_closes_its_endpoint(imported: Import, extra: dict[str, Any]) -> None:
    """Programs that answer themselves, plugins that filter, and conditions."""
    tried = imported("krakend.json", {"version": 3, "endpoints": [endpoint("/a", extra_config=extra)]})
    assert "NOT-YET-TRANSLATED" in tried.imported.files["routes.yaml"]


def test_clients_without_their_certificate_stay_outside(imported: Import) -> None:
    """`enable_mtls` and `ssl_verify_client on` ask every caller for a certificate."""
    krakend = imported("krakend.json", {"version": 3, "tls": {"enable_mtls": True}, "endpoints": [endpoint("/a")]})
    assert "NOT-YET-TRANSLATED" in krakend.imported.files["routes.yaml"]
    nginx = imported("a.conf", "server { ssl_verify_client on; location / { proxy_pass http://b:80; } }")
    assert "NOT-YET-TRANSLATED" in nginx.imported.files["routes.yaml"]


@pytest.mark.parametrize(
    ("amount", "seconds", "limit"),
    [
        (10, 1, "10/s"),
        (0.5, 1, "5/10s"),
        (10, 0.5, "20/s"),
        (1.5, 60, "15/600s"),
        (3, 3600, "3/h"),
        (0.001, 1, "4/3600s"),
    ],
)
def test_rates_are_whole_numbers_in_whole_seconds(amount: float, seconds: float, limit: str) -> None:
    """A rate below one in a second is not lost, nor is a period below a second."""
    assert rate(amount, seconds) == limit


SERVER = r"""
    location /free { proxy_pass http://b:80; }
    location = /internal { internal; proxy_pass http://b:80; }
    location /read { limit_except GET { deny all; } proxy_pass http://b:80; }
    location /key { if ($http_x_key != "abc") { return 403; } proxy_pass http://b:80; }
    location /listed { if ($unlisted) { return 403; } proxy_pass http://b:80; }
    location /agents { if ($http_user_agent ~ "Bad.*Bot") { return 403; } proxy_pass http://b:80; }
    location /host { if ($host != "a.example") { return 444; } proxy_pass http://b:80; }
    location /get { if ($request_method !~ ^(GET|HEAD)$) { return 405; } proxy_pass http://b:80; }
    location /vague { auth_basic x; auth_basic_user_file /none; proxy_pass http://$somewhere; }
    location ~ /\.(?!well-known) { deny all; }
    location ~ ^/adm(?=in) { auth_basic x; auth_basic_user_file /none; proxy_pass http://b:80; }
    location ~* \.(sql|bak)$ { deny all; }
    location / { proxy_pass http://b:80; }
"""


@pytest.mark.parametrize(
    ("method", "path", "goes"),
    [
        ("GET", "/internal", "respond 404"),
        ("GET", "/read/x", "b:80/read/x"),
        ("HEAD", "/read/x", "b:80/read/x"),
        ("PUT", "/read/x", "respond 403"),
        ("PUT", "/readx", "respond 403"),
        ("GET", "/get", "b:80/get"),
        ("GET", "/vague", "respond 404"),
        ("GET", "/.git/config", "respond 403"),
        ("GET", "/.well-known/acme", "b:80/.well-known/acme"),
        ("GET", "/x", "b:80/x"),
    ],
)
def test_what_nginx_keeps_back_is_not_taken_by_the_location_around_it(
    imported: Import, method: str, path: str, goes: str
) -> None:
    """Internal locations, refused methods, hidden files, and locations whose backend cannot be said."""
    tried = imported("a.conf", f"geo $unlisted {{ default 1; 10.0.0.0/8 0; }} server {{ {SERVER} }}")
    assert tried.goes(method, path) == goes


def test_conditions_of_nginx_that_refuse_who_brings_nothing_close_their_routes(imported: Import) -> None:
    """A key that is compared, or a list of those who may: not agents, hosts and methods."""
    tried = imported("a.conf", f"geo $unlisted {{ default 1; 10.0.0.0/8 0; }} server {{ {SERVER} }}")
    routes = yaml.safe_load(tried.imported.files["routes.yaml"])["routes"]
    closed = {route["id"] for route in routes if "NOT-YET-TRANSLATED" in str(route.get("authorize"))}
    assert closed == {"key", "key-2", "listed", "listed-2", "adm-in", "adm-in-2"}
    assert {route["id"]: route.get("methods") for route in routes}["get"] == ["GET", "HEAD"]


def test_what_nginx_refuses_anywhere_in_a_path_is_refused_there(imported: Import) -> None:
    """`~ \\.(sql|bak)$` is a condition of the routes that nginx asks afterwards."""
    tried = imported("a.conf", f"geo $unlisted {{ default 1; 10.0.0.0/8 0; }} server {{ {SERVER} }}")
    for path, allowed in (("/a/b/dump.SQL", False), ("/free/x.bak", False), ("/free/x.txt", True)):
        assert (tried.explain("GET", path)["outcome"] != "refused") is allowed


def test_keys_that_conditions_compare_are_not_in_the_report(imported: Import) -> None:
    """The report shows of an `if` what is compared, and not with what."""
    tried = imported("a.conf", f"geo $unlisted {{ default 1; 10.0.0.0/8 0; }} server {{ {SERVER} }}")
    assert "if $http_x_key != |" in tried.report
    assert "abc" not in tried.report


def test_keys_that_routes_are_chosen_by_are_variables(imported: Import) -> None:
    """A header that holds a key, as a predicate: its value is neither in our files nor in the report."""
    rules = ["Header(`X-Api-Key`, `s3cr3t-of-a`)", "!Header(`X-Api-Key`, `s3cr3t-of-a`) && Path(`/x`)"]
    routers = {f"r{number}": {"rule": rule, "service": "s"} for number, rule in enumerate(rules)}
    services = {"s": {"loadBalancer": {"servers": [{"url": "http://s:80"}]}}}
    routes = [{"name": "r", "paths": ["/"], "headers": {"X-Token": ["s3cr3t-of-a"]}}]
    service = {"name": "s", "url": "http://s", "routes": routes}
    for tried, name in (
        (imported("t.json", {"http": {"routers": routers, "services": services}}), "MATCHED_X_API_KEY"),
        (imported("k.json", {"_format_version": "3.0", "services": [service]}), "MATCHED_X_TOKEN"),
    ):
        assert "${" + name + "}" in tried.imported.files["routes.yaml"]
        assert "s3cr3t" not in tried.report + "".join(tried.imported.files.values())


def test_a_server_on_the_loopback_stays_there(imported: Import) -> None:
    """Beside servers that others reach; where all are like this, another proxy stands in front of them."""
    inside = "server { listen 127.0.0.1:9000; server_name in.example; location / { proxy_pass http://in:80; } }"
    outside = "server { listen 80; server_name out.example; location / { proxy_pass http://out:80; } }"
    both = imported("a.conf", inside + outside)
    assert both.imported.files["routes.yaml"].count('client in ["127.0.0.0/8", "::1"]') == 1
    assert both.explain("GET", "http://in.example/")["result"] == 'route "in-example-root"'
    assert "listens on the loopback only" in both.report
    assert "authorize" not in imported("a.conf", inside).imported.files["routes.yaml"]


def test_a_router_of_traefik_that_asks_for_certificates_is_closed(imported: Import) -> None:
    """TLS options with clientAuth; routers of other options are open."""
    client = {"caFiles": ["ca.pem"], "clientAuthType": "RequireAndVerifyClientCert"}
    routers = {
        "in": {"rule": "Host(`in.example`)", "service": "s", "tls": {"options": "strict@file"}},
        "out": {"rule": "Host(`out.example`)", "service": "s", "tls": {}},
    }
    services = {"s": {"loadBalancer": {"servers": [{"url": "http://s:80"}]}}}
    content = {
        "http": {"routers": routers, "services": services},
        "tls": {"options": {"strict": {"clientAuth": client}}},
    }
    routes = yaml.safe_load(imported("t.json", content).imported.files["routes.yaml"])["routes"]
    assert {route["id"]: "authorize" in route for route in routes} == {"in": True, "out": False}


def test_a_plugin_of_kong_that_must_be_passed_is_not_passed_by_being_anonymous_to_another(imported: Import) -> None:
    """Kong asks each of the plugins: that one lets in who brings nothing is no way past another, which does not."""
    plugins = [{"name": "jwt", "config": {"anonymous": "guest"}}, {"name": "key-auth"}]
    consumers = [{"username": "guest"}, {"username": "c", "jwt_secrets": [{"key": "i", "secret": "s" * 32}]}]
    routes = [{"name": "r", "paths": ["/r"], "plugins": plugins}]
    services = [{"name": "s", "url": "http://s", "routes": routes}]
    tried = imported("kong.json", {"_format_version": "3.0", "services": services, "consumers": consumers})
    assert yaml.safe_load(tried.imported.files["routes.yaml"])["routes"][0]["auth"] == ["keys"]


def test_an_anonymous_consumer_that_is_not_in_the_file_lets_nobody_in(imported: Import) -> None:
    """Kong answers 500 for such a one; the report says whom to name."""
    plugins = [{"name": "key-auth", "config": {"anonymous": "someone-else"}}]
    services = [{"name": "s", "url": "http://s", "routes": [{"name": "r", "paths": ["/r"], "plugins": plugins}]}]
    tried = imported("kong.json", {"_format_version": "3.0", "services": services})
    assert yaml.safe_load(tried.imported.files["routes.yaml"])["routes"][0]["auth"] == ["keys"]
    assert "the file has no such consumer" in tried.report
