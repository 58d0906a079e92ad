"""What kong.yml says, said in our files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.importing.support import Tried, try_text

Import = Any


@pytest.fixture
def kong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """Import the routes of a service, and the other keys of a file."""

    def tried(*routes: dict[str, Any], version: str = "3.0", **others: Any) -> Tried:
        service = {"name": "s", "url": "http://s:80/base", "routes": list(routes)} | others.pop("service", {})
        text = json.dumps({"_format_version": version, "services": [service], **others}, indent=1)
        return try_text("kong.json", text, tmp_path, monkeypatch)

    return tried


def file(tried: Tried, name: str) -> Any:
    return yaml.safe_load(tried.imported.files[name])


def test_paths_are_sent_behind_the_path_of_the_service(kong: Import) -> None:
    """The path of the service is in front of what is sent, with strip_path and without it."""
    tried = kong(
        {"name": "stripped", "paths": ["/a"]},
        {"name": "kept", "paths": ["/k"], "strip_path": False},
        {"name": "one", "paths": [r"~/users/(?<id>\d+)$"], "strip_path": False},
        {"name": "open", "paths": [r"~/files/[a-z]+"]},
        {"name": "plain", "paths": ["/v1/"], "path_handling": "v1"},
    )
    urls = ("/a", "/a/", "/a/x", "/ax", "/k/x", "/users/7", "/files/abc/d", "/v1/x")
    sent = ("/base", "/base/", "/base/x", "/base/x", "/base/k/x", "/base/users/7", "/base/d", "/base/x")
    assert [tried.goes("GET", url) for url in urls] == [f"s:80{path}" for path in sent]
    assert tried.goes("GET", "/users/x") == "404"


def test_expressions_of_format_2_need_no_tilde(kong: Import) -> None:
    """Before format 3.0, what has characters of an expression in it is one."""
    tried = kong({"name": "r", "paths": [r"/items/\d+$"], "strip_path": False}, version="2.1")
    assert [tried.goes("GET", url) for url in ("/items/12", "/items/x")] == ["s:80/base/items/12", "404"]


def test_what_expressions_cannot_be_said_is_named(kong: Import) -> None:
    """A look-around leaves the path out, with its line and the reason."""
    tried = kong({"name": "r", "paths": ["~/(?!x).*", "/ok"]})
    assert "paths[0] | the regular expression has no path of ours: '(?!'" in tried.report
    assert tried.goes("GET", "/ok") == "s:80/base"


def test_headers_take_any_of_their_values_in_any_case(kong: Import) -> None:
    """Values of headers are compared as Kong does: any of them, upper and lower case alike."""
    tried = kong({"name": "v", "paths": ["/"], "headers": {"x-version": ["v1", "V2"]}, "strip_path": False})
    assert [tried.goes("GET", "/p", x_version=value) for value in ("V1", "v2", "v3")] == [
        "s:80/base/p",
        "s:80/base/p",
        "404",
    ]


def test_plugins_of_a_route_stand_in_for_those_of_its_service_and_of_all(kong: Import) -> None:
    """The nearest plugin of a name counts, and one that is shared counts requests of all its routes together."""
    limit = {"name": "rate-limiting", "config": {"minute": 5, "limit_by": "ip"}}
    own = {"name": "rate-limiting", "config": {"second": 1, "limit_by": "header", "header_name": "X-Key"}}
    tried = kong(
        {"name": "one", "paths": ["/one/"], "plugins": [own]},
        {"name": "two", "paths": ["/two/"]},
        {"name": "three", "paths": ["/three/"]},
        service={"plugins": [limit]},
    )
    rules = list(file(tried, "middleware.yaml")["rate_limits"].values())
    assert rules == [
        {"routes": ["one"], "key": ["header:X-Key"], "limits": ["1/s"]},
        {"routes": ["two", "three"], "key": ["address"], "limits": ["5/m"]},
    ]


def test_credentials_become_hashes_and_consumers_their_groups(kong: Import) -> None:
    """Keys and passwords are hashed, tokens are those of the consumer's issuer, and acl is about groups."""
    tried = kong(
        {
            "name": "r",
            "paths": ["/"],
            "plugins": [{"name": "key-auth"}, {"name": "acl", "config": {"allow": ["gold"], "deny": ["bad"]}}],
        },
        consumers=[
            {
                "username": "acme",
                "keyauth_credentials": [{"key": "a-plain-key"}],
                "basicauth_credentials": [{"username": "acme", "password": "a-plain-password"}],
                "jwt_secrets": [{"key": "acme-issuer", "algorithm": "HS256", "secret": "a-plain-secret" * 3}],
                "acls": [{"group": "gold"}],
            }
        ],
    )
    everything = "".join(tried.imported.files.values()) + tried.report
    assert not [plain for plain in ("a-plain-key", "a-plain-password", "a-plain-secret") if plain in everything]
    assert "allowed" in tried.explain("GET", "/", apikey="a-plain-key")["verdict"]
    assert "ACME_JWT_SECRET" in tried.report
    assert file(tried, "auth.yaml")["consumers"][0]["groups"] == ["gold"]


def test_what_keeps_callers_out_closes_its_routes_where_it_cannot_be_said(kong: Import) -> None:
    """Routes of unknown authentication plugins, and of programs that refuse, refuse every request."""
    lua = ["if not ok then return kong.response.exit(401) end"]
    tried = kong(
        {"name": "a", "paths": ["/a/"], "plugins": [{"name": "hmac-auth"}]},
        {"name": "b", "paths": ["/b/"], "plugins": [{"name": "my-own-oidc"}]},
        {"name": "c", "paths": ["/c/"], "plugins": [{"name": "pre-function", "config": {"access": lua}}]},
        {"name": "d", "paths": ["/d/"], "plugins": [{"name": "request-sizer"}]},
    )
    verdicts = [str(tried.explain("GET", path)["verdict"]) for path in ("/a/", "/b/", "/c/", "/d/")]
    assert [verdict.startswith("refused by authorize") for verdict in verdicts] == [True, True, True, False]


def test_an_upstream_is_a_service_with_its_health_checks(kong: Import) -> None:
    """Targets with weights, the way to balance and active checks become a service that the route names."""
    tried = kong(
        {"name": "r", "paths": ["/"]},
        service={"url": "http://users.v1", "port": 80},
        upstreams=[
            {
                "name": "users.v1",
                "algorithm": "least-connections",
                "targets": [{"target": "u1:8000", "weight": 100}, {"target": "u2:8000", "weight": 50}],
                "healthchecks": {"active": {"http_path": "/up", "healthy": {"interval": 5, "successes": 2}}},
            }
        ],
    )
    assert tried.goes("GET", "/x") == "u1:8000,u2:8000/x"
    assert file(tried, "routes.yaml")["services"]["users-v1"]["health"] == {
        "path": "/up",
        "interval": "5s",
        "healthy_after": 2,
    }


def test_transformers_set_remove_and_rename(kong: Import) -> None:
    """Headers and parameters are set, also from others; what holds a secret is a variable; bodies are named."""
    config = {
        "add": {"headers": ["X-A:{b}", "X-Key:$(headers.x_old)", "Authorization:Basic abc"], "querystring": ["v:1"]},
        "remove": {"headers": ["X-B"], "body": ["field"]},
        "rename": {"headers": ["X-From:X-To"]},
    }
    tried = kong({"name": "r", "paths": ["/"], "plugins": [{"name": "request-transformer", "config": config}]})
    rule = next(iter(file(tried, "middleware.yaml")["headers"].values()))["request"]
    assert rule["set"] == {
        "X-To": "{headers.x-from}",
        "X-A": "{{b}}",
        "X-Key": "{headers.x-old}",
        "Authorization": "${HEADER_AUTHORIZATION}",
    }
    assert rule["remove"] == ["X-B", "X-From"]
    assert file(tried, "routes.yaml")["routes"][0]["set"] == {"query.v": "1"}
    assert ".remove.body[0] | only headers are changed" in tried.report
    assert "Basic abc" not in tried.report


def test_a_transformer_replaces_the_path(kong: Import) -> None:
    """Whatever the route would send, with what its paths capture by name; what they do not is named."""

    def replacing(name: str, path: str, uri: str) -> dict[str, Any]:
        plugin = {"name": "request-transformer", "config": {"replace": {"uri": uri}}}
        return {"name": name, "paths": [path], "plugins": [plugin]}

    tried = kong(
        replacing("fixed", "/health/users", "/users/health"),
        replacing("named", "~/u/(?<id>[0-9]+)$", "/people/$(uri_captures['id'])/all"),
        replacing("unknown", "/x", "/y/$(uri_captures.id)"),
        replacing("header", "/h", "/$(headers.x)"),
    )
    assert tried.goes("GET", "/health/users") == "s:80/users/health"
    assert tried.goes("GET", "/u/7") == "s:80/people/7/all"
    assert "it refers to what paths of unknown do not capture" in tried.report
    assert "config.replace.uri | a path is written as the `rewrite` of the routes" in tried.report


def test_large_limits_are_written_out(kong: Import) -> None:
    """A million is not 1e+06."""
    limit = {"name": "rate-limiting", "config": {"hour": 12_000_000}}
    tried = kong({"name": "r", "paths": ["/"], "plugins": [limit]})
    assert [rule["limits"] for rule in file(tried, "middleware.yaml")["rate_limits"].values()] == [["12000000/h"]]


def test_a_termination_answers(kong: Import) -> None:
    """request-termination becomes a fixed answer, as Kong writes it."""
    end = {"name": "request-termination", "config": {"status_code": 410, "message": "gone"}}
    tried = kong({"name": "old", "paths": ["/old/"], "plugins": [end]})
    assert tried.goes("GET", "/old/x") == "respond 410"
    assert file(tried, "routes.yaml")["routes"][0]["respond"]["body"] == '{"message":"gone"}'


def test_unknown_keys_are_named_with_their_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that no reader asked for is in the report, and its value is not."""
    text = "_format_version: '3.0'\nservices:\n- name: s\n  url: http://s:80\n  frobnicate: hidden\n  routes:\n"
    tried = try_text("kong.yml", text + "  - paths: [/]\n    name: r\n", tmp_path, monkeypatch)
    assert "| 5 | services[0].frobnicate | the gateway has no such setting |" in tried.report
    assert "hidden" not in tried.report


def test_a_route_of_hosts_that_cannot_be_said_is_not_for_all_hosts(kong: Import) -> None:
    """A wildcard at the end of a host leaves the route out, and takes no request of another host in."""
    tried = kong({"name": "r", "paths": ["/r/"], "hosts": ["example.*"]}, {"name": "o", "paths": ["/o/"]})
    assert [tried.goes("GET", url) for url in ("/r/x", "/o/x")] == ["404", "s:80/base/x"]
    assert "none of its hosts can be expressed" in tried.report


def test_hosts_and_ports_may_be_placeholders(kong: Import) -> None:
    """A URL of variables is a target of variables, which the report names."""
    tried = kong({"name": "r", "paths": ["/r/"]}, service={"url": "http://$API_HOST:$API_PORT/v1"})
    assert file(tried, "routes.yaml")["routes"][0]["target"] == "${API_HOST}:${API_PORT}"
    assert tried.goes("GET", "/r/x").endswith(":8080/v1/x")
    assert "`API_PORT`" in tried.report


def test_what_is_wrong_already_is_left_out_and_named(kong: Import) -> None:
    """A value that no file of ours takes costs its own rule or route, closes what it guarded, and is never shown."""
    addresses = {"name": "ip-restriction", "config": {"allow": ["not-an-address"]}}
    tried = kong(
        {"name": "good", "paths": ["/good"]},
        {"name": "bad", "paths": ["/bad"], "methods": ["NOT A METHOD"]},
        {"name": "shut", "paths": ["/shut/"], "plugins": [addresses]},
        {
            "name": "host-bits",
            "paths": ["/bits/"],
            "plugins": [{"name": "ip-restriction", "config": {"allow": ["127.0.0.1/8"]}}],
        },
    )
    assert [tried.goes("GET", url) for url in ("/good", "/bad")] == ["s:80/base", "404"]
    assert "the route is left out: methods is not accepted" in tried.report
    assert "refused by authorize" in tried.explain("GET", "/shut/")["verdict"]
    assert "allowed" in tried.explain("GET", "/bits/")["verdict"]


def test_expressions_of_the_router_are_asked_first(kong: Import) -> None:
    """Paths, hosts and methods are taken; what is more is refused, where it was guarded and its path is known."""
    guard = [{"name": "key-auth"}]
    tried = kong(
        {"name": "all", "paths": ["/rest/v1/"]},
        {"name": "root", "expression": 'http.path == "/rest/v1/"', "plugins": guard},
        {"name": "some", "expression": '(http.path ^= "/rest/v1/a" || http.path ^= "/b") && http.method == "GET"'},
        {"name": "number", "expression": r'http.path ~ r#"^/n/\d+$"# && http.host == "x.example"', "strip_path": False},
        {"name": "address", "expression": 'http.path ^= "/rest/v1/in" && net.src.ip in 10.0.0.0/8', "plugins": guard},
        {"name": "vague", "expression": "http.queries.a == 1"},
    )
    expected = {
        "/rest/v1/": 'route "root"', "/rest/v1/x": 'route "all"', "/rest/v1/a/x": 'route "some"',
        "/b": 'route "some"', "/rest/v1/in/x": 'route "address"',
    }  # fmt: skip
    assert {url: str(tried.explain("GET", url)["result"]).replace("-2", "") for url in expected} == expected
    assert tried.goes("GET", "/rest/v1/") == "s:80/base"
    assert tried.goes("GET", "http://x.example/n/7") == "s:80/base/n/7"
    assert tried.goes("POST", "/b") == "405"
    closed = [route["id"] for route in file(tried, "routes.yaml")["routes"] if "authorize" in route]
    assert {name.removesuffix("-2") for name in closed} == {"address"}
    assert "more than paths, hosts and methods" in tried.report


def test_one_of_two_paths_of_a_route_decides_what_is_removed(kong: Import) -> None:
    """The longer one, and not the one that is closer here; what ends within a segment is named."""
    tried = kong(
        {"name": "both", "paths": ["/a/", "/a/b/"]},
        {"name": "within", "paths": ["~/c/(b|c)"]},
        {"name": "begun", "paths": ["~/d/v1"]},
    )
    expected = {"/a/b": "s:80/base/b", "/a/b/x": "s:80/base/x", "/c/b/x": "s:80/base/x", "/d/v12/x": "s:80/base/2/x"}
    assert {url: tried.goes("GET", url) for url in expected} == expected
    assert "it may end within a segment, of which all is removed then" in tried.report


def test_what_a_route_with_a_condition_guards_stays_guarded(kong: Import) -> None:
    """More attributes go first, where the path of another route is the closer one; a named host before a header."""
    tried = kong(
        {"name": "plain", "paths": ["/a/b/"]},
        {"name": "guarded", "paths": ["~/a/(b|c)"], "headers": {"x-v": ["1"]}, "plugins": [{"name": "key-auth"}]},
        {"name": "host", "paths": ["/h"], "hosts": ["h.test"], "strip_path": False},
        {"name": "header", "paths": ["/h"], "headers": {"x-v": ["1"]}, "plugins": [{"name": "key-auth"}]},
    )
    assert str(tried.explain("GET", "/a/b/x", x_v="1")["verdict"]).startswith("refused")
    assert tried.goes("GET", "/a/b/x") == "s:80/base/x"
    assert tried.goes("GET", "http://h.test/h", x_v="1") == "s:80/base/h"


def test_a_service_that_is_written_twice_keeps_its_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second entry has routes only: they go to the first one's address, past its plugins; Kong 3 has no expression
    without a ~."""
    text = """
_format_version: "3.0"
services:
- {name: s, url: "http://s:80", plugins: [{name: key-auth}]}
- {name: s, routes: [{name: r, paths: ["/f/[a-f]{2}$", /g], strip_path: false}]}
"""
    tried = try_text("kong.yml", text, tmp_path, monkeypatch)
    assert "needs a credential" in str(tried.explain("GET", "/g")["verdict"])
    assert "its routes are added to the service of this name in line 4" in tried.report
    assert "an expression begins with ~ there" in tried.report


def test_what_lies_deeper_goes_where_the_original_sent_it(kong: Import) -> None:
    """Also where the path one segment above it goes to another route already."""
    keys = [{"name": "key-auth"}]
    tried = kong(
        {"name": "one", "paths": ["~/a/[^/]+$"], "hosts": ["*.test"]},
        {"name": "any", "paths": ["~/ab?"], "hosts": ["*.test"]},
        {"name": "open", "paths": ["~/a/.+$"], "headers": {"x-v": ["1"]}},
        {"name": "shut", "paths": ["~/ab?"], "headers": {"x-v": ["1"]}, "methods": ["GET"], "plugins": keys},
    )
    for path in ("/a/x", "/a/x/y", "/a/x/y/z"):
        verdict = tried.explain("GET", f"http://z.test{path}", x_v="1")["verdict"]
        assert str(verdict).startswith("refused"), path


def test_values_that_deck_has_for_all_routes_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`_info.defaults` fills in what a route or a service does not say itself."""
    text = """
_format_version: "3.0"
_info: {defaults: {route: {strip_path: false, preserve_host: true}, service: {retries: 1}}}
services:
- {name: s, url: 'http://s:80', routes: [{name: a, paths: [/a]}, {name: b, paths: [/b], strip_path: true}]}
"""
    tried = try_text("kong.yml", text, tmp_path, monkeypatch)
    assert (tried.goes("GET", "/a/x"), tried.goes("GET", "/b/x")) == ("s:80/a/x", "s:80/x")
    routes = yaml.safe_load(tried.imported.files["routes.yaml"])["routes"]
    assert {(route["preserve_host"], route["retry"]["attempts"]) for route in routes} == {(True, 2)}
    assert "in each route that says nothing else" in tried.report


def test_the_report_names_the_keys_that_were_written(kong: Import) -> None:
    """What became of health checks, times and plugins for all routes is said with keys of our files."""
    tried = kong(
        {"name": "r", "paths": ["/"]},
        service={"url": "http://up", "connect_timeout": 2000, "retries": 3},
        upstreams=[
            {
                "name": "up",
                "algorithm": "least-connections",
                "targets": [{"target": "u1:8000"}],
                "healthchecks": {
                    "active": {
                        "http_path": "/up",
                        "healthy": {"interval": 5, "successes": 2},
                        "unhealthy": {"tcp_failures": 3},
                    }
                },
            }
        ],
        plugins=[
            {"name": "correlation-id", "config": {"header_name": "X-Id", "echo_downstream": True}},
            {"name": "file-log", "config": {"path": "/dev/stdout"}},
            {"name": "bot-detection", "config": {"deny": ["scanner"]}},
        ],
    )
    rows = {
        "upstreams[0].algorithm": "services.up.balance",
        "upstreams[0].targets[0].target": "services.up.endpoints",
        "upstreams[0].healthchecks.active.http_path": "services.up.health.path",
        "upstreams[0].healthchecks.active.healthy.interval": "services.up.health.interval",
        "upstreams[0].healthchecks.active.healthy.successes": "services.up.health.healthy_after",
        "upstreams[0].healthchecks.active.unhealthy.tcp_failures": "services.up.health.unhealthy_after",
        "services[0].connect_timeout": "timeout.connect of routes",
        "services[0].retries": "retry.attempts of routes",
        "plugins[0].config.echo_downstream": "plugin correlation-id: request_id",
        "plugins[1].config.path": "plugin file-log: access_log",
        "plugins[2].config.deny[0]": "plugin bot-detection: blocklist",
    }
    assert [row for row in rows.items() if " | ".join(row) not in tried.report] == []
    assert "nothing to write |" not in tried.report
