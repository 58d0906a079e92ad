"""What a dynamic file of Traefik says, said in our files."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.importing.importer import import_file
from gateway.importing.traefik.rules import RuleError, alternatives
from tests.importing.support import Tried, try_text
from tests.upstream.test_tls import certificate

Import = Any


@pytest.fixture
def traefik(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """Import routers to services a, b and c, each of one server, with middlewares."""

    def tried(routers: dict[str, Any], middlewares: dict[str, Any] | None = None, **services: Any) -> Tried:
        plain = {name: {"loadBalancer": {"servers": [{"url": f"http://{name}:80"}]}} for name in "abc"}
        http = {"routers": routers, "middlewares": middlewares or {}, "services": plain | services}
        text = yaml.safe_dump(json.loads(json.dumps({"http": http})), sort_keys=False)
        return try_text("dynamic.yml", text, tmp_path, monkeypatch)

    return tried


def router(rule: str, service: str = "a", **others: Any) -> dict[str, Any]:
    return {"rule": rule, "service": service, **others}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("Host(`a`) && (Path(`/x`) || Path(`/y`))", ["Host(`a`) Path(`/x`)", "Host(`a`) Path(`/y`)"]),
        ("!(Method(`GET`) || Method(`PUT`))", ["!Method(`GET`) !Method(`PUT`)"]),
        ("!(Method(`GET`) && Path(`/`))", ["!Method(`GET`)", "!Path(`/`)"]),
        ('Header(`X-A`, "b") || Host(`a`,`b`)', ["Header(`X-A`, `b`)", "Host(`a`, `b`)"]),
    ],
)
def test_rules_are_alternatives_of_matchers(rule: str, expected: list[str]) -> None:
    """`&&` binds closer than `||`, and `!` is for what follows it."""
    assert [" ".join(map(str, alternative)) for alternative in alternatives(rule)] == expected


@pytest.mark.parametrize("rule", ["", "Host(`a`", "Host(`a`) &&", "Host(`a`) Path(`/`)", "Host[`a`]"])
def test_what_is_no_rule_is_refused(rule: str) -> None:
    """A rule that does not end, or goes on where it should end, is an error."""
    with pytest.raises(RuleError):
        alternatives(rule)


def test_priorities_and_lengths_of_rules_decide(traefik: Import) -> None:
    """The longest rule goes first unless a priority says otherwise, although ours would take the most specific path."""
    tried = traefik(
        {
            "short": router("PathPrefix(`/x/y`)", "a"),
            "long": router("PathPrefix(`/`) && Method(`GET`, `POST`)", "b"),
            "first": router("PathPrefix(`/x/y/z`)", "c", priority=1000),
        }
    )
    asked = [("GET", "/x/y"), ("DELETE", "/x/y"), ("GET", "/x/y/z"), ("GET", "/")]
    assert [tried.goes(method, url)[0] for method, url in asked] == ["b", "a", "c", "b"]


def test_excluded_paths_go_to_the_next_router(traefik: Import) -> None:
    """What `!PathPrefix` leaves out is taken by the router that would have been next."""
    tried = traefik(
        {
            "api": router("Host(`x.test`) && PathPrefix(`/api`) && !PathPrefix(`/api/internal`)", "a"),
            "rest": router("Host(`x.test`)", "b"),
        }
    )
    urls = ("/api/1", "/apix", "/api/internal/1", "/other")
    assert [tried.goes("GET", f"http://x.test{url}")[0] for url in urls] == ["a", "a", "b", "b"]


def test_paths_are_changed_in_the_order_of_the_middlewares(traefik: Import) -> None:
    """stripPrefix, addPrefix, replacePath and replacePathRegex change what is sent, one after the other."""
    tried = traefik(
        {
            "strip": router("PathPrefix(`/api/v1`)", middlewares=["strip", "add"]),
            "regex": router("PathPrefix(`/old`)", middlewares=["regex"]),
            "dav": router("PathPrefix(`/dav`)", middlewares=["dav"]),
            "path": router("Path(`/one`)", middlewares=["path"]),
            "host": router("Host(`h.test`)", "b", middlewares=["strip"]),
        },
        {
            "strip": {"stripPrefix": {"prefixes": ["/other", "/api"]}},
            "add": {"addPrefix": {"prefix": "/base"}},
            "regex": {"replacePathRegex": {"regex": "^/old/(.*)", "replacement": "/new/$1"}},
            "dav": {"replacePathRegex": {"regex": "^/dav(/.*)?$", "replacement": "/webdav$1"}},
            "path": {"replacePath": {"path": "/fixed"}},
        },
    )
    expected = {
        "/api/v1/x": "a:80/base/v1/x",
        "/api/v12/x": "a:80/base/v12/x",
        "/old/a/b": "a:80/new/a/b",
        "/old": "a:80/old",
        "/dav/x": "a:80/webdav/x",
        "/dav": "a:80/webdav",
        "/davx": "a:80/davx",
        "/one": "a:80/fixed",
        "http://h.test/other/x": "b:80/x",
        "http://h.test/api/x": "b:80/x",
        "http://h.test/x": "b:80/x",
    }
    assert {url: tried.goes("GET", url) for url in expected} == expected


def test_expressions_of_both_versions_are_paths(traefik: Import) -> None:
    """PathRegexp of Traefik 3 and `{id:[0-9]+}` of Traefik 2 become segments with an expression."""
    tried = traefik(
        {
            "three": router(r"PathRegexp(`^/users/[0-9]+$`)", "a"),
            "two": router("Path(`/items/{id:[0-9]+}/edit`)", "b"),
            "any": router("HostRegexp(`{host:.+}`) && Path(`/any`)", "a"),
            "hosts": router(r"HostRegexp(`^.+\.example\.com$`)", "c"),
        }
    )
    urls = ("/users/7", "/users/x", "/items/7/edit", "/items/x/edit", "http://a.b.example.com/", "/any")
    assert [tried.goes("GET", url)[0] for url in urls] == ["a", "4", "b", "4", "c", "a"]


def test_services_of_services_are_splits_mirrors_and_fallbacks(traefik: Import) -> None:
    """weighted, mirroring and failover become split, mirror and fallback of the route."""
    tried = traefik(
        {"w": router("Path(`/w`)", "w"), "m": router("Path(`/m`)", "m"), "f": router("Path(`/f`)", "f")},
        w={"weighted": {"services": [{"name": "a", "weight": 3}, {"name": "b", "weight": 1}]}},
        m={"mirroring": {"service": "a", "mirrors": [{"name": "b", "percent": 10}]}},
        f={"failover": {"service": "a", "fallback": "b"}},
    )
    routes = {route["id"]: route for route in yaml.safe_load(tried.imported.files["routes.yaml"])["routes"]}
    assert routes["w"]["split"] == [{"target": "a:80", "weight": 3}, {"target": "b:80", "weight": 1}]
    assert routes["m"]["mirror"] == {"target": "b:80", "percent": 10}
    assert routes["f"]["fallback"] == {"target": "b:80"}


def test_a_router_is_never_open_for_want_of_a_guard(traefik: Import) -> None:
    """A plugin that may refuse, and digest authentication, close the route; keys are known in any case."""
    tried = traefik(
        {
            "d": router("Path(`/d`)", middlewares=["digest"]),
            "p": router("Path(`/p`)", middlewares=["bouncer"]),
            "f": router("Path(`/f`)", middlewares=["asked"]),
            "two": router("Path(`/two`)", middlewares=["asked", "other"]),
        },
        {
            "digest": {"digestAuth": {"users": ["u:r:h"]}},
            "bouncer": {"plugin": {"crowdsec-bouncer": {"enabled": True}}},
            "other": {"forwardAuth": {"address": "http://other:80/"}},
            "asked": {"forwardauth": {"address": "http://auth:80/verify", "trustForwardHeader": True}},
        },
    )
    assert "refused" in tried.explain("GET", "/d")["verdict"]
    assert "refused" in tried.explain("GET", "/p")["verdict"]
    assert "here callers must pass several" in tried.report
    assert yaml.safe_load(tried.imported.files["auth.yaml"])["schemes"]["asked"]["forward_auth"]["url"].endswith(
        "/verify"
    )


def test_users_are_consumers_with_their_hashes(traefik: Import) -> None:
    """Who is named by one middleware may call its routers, and no others; hashes of htpasswd are taken as they are."""
    hashes = ["ann:$apr1$xKCTuCDI$oOYEsfg44xYaK74QCVauh0", "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "eve:plain"]
    tried = traefik(
        {"a": router("Path(`/a`)", middlewares=["one"]), "b": router("Path(`/b`)", middlewares=["two"])},
        {"one": {"basicAuth": {"users": hashes}}, "two": {"basicAuth": {"users": hashes[:1]}}},
    )
    authorization = "Basic " + b64encode(b"bob:secret").decode()
    assert "allowed" in tried.explain("GET", "/a", authorization=authorization)["verdict"]
    assert "refused by authorize" in tried.explain("GET", "/b", authorization=authorization)["verdict"]
    assert "users[2] | this is no hash" in tried.report
    assert "xKCTuCDI" not in tried.report


def test_a_host_that_has_moved_is_a_route_of_its_own(traefik: Import) -> None:
    """redirectRegex from one host to another leads those requests there, and leaves those of other hosts alone."""
    tried = traefik(
        {"site": router("Host(`x.test`) || Host(`www.x.test`)", "a", middlewares=["apex"])},
        {"apex": {"redirectRegex": {"regex": r"^https?://www\.x\.test/(.*)", "replacement": "https://x.test/${1}"}}},
    )
    assert [tried.goes("GET", f"http://{host}/p") for host in ("x.test", "www.x.test")] == [
        "a:80/p",
        "redirect 302 https://x.test/p",
    ]


def test_routers_that_only_send_to_https_are_for_what_stands_in_front(traefik: Import) -> None:
    """The twin of a router for https that redirects there is left out, and named."""
    tried = traefik(
        {
            "web": router("Host(`x.test`)", "a", middlewares=["https"], entryPoints=["web"]),
            "secure": router("Host(`x.test`)", "b", tls={}, entryPoints=["websecure"]),
        },
        {"https": {"redirectScheme": {"scheme": "https"}}},
    )
    assert tried.goes("GET", "http://x.test/") == "b:80/"
    assert "http.routers.web | it sends clients to https" in tried.report


def test_headers_of_security_are_written_out(traefik: Import) -> None:
    """A year of seconds is not 3.1536e+07; methods without an origin are named."""
    headers = {"stsSeconds": 31536000, "stsPreload": True, "sslRedirect": True, "accessControlAllowMethods": ["GET"]}
    tried = traefik({"r": router("Path(`/`)", middlewares=["safe"])}, {"safe": {"headers": headers}})
    rules = yaml.safe_load(tried.imported.files["middleware.yaml"])["headers"]
    sent = {"Strict-Transport-Security": "max-age=31536000; preload"}
    assert [rule["response"]["set"] for rule in rules.values()] == [sent]
    assert "no origin is allowed with it" in tried.report
    assert "clients are led to https there" in tried.report


def test_a_router_that_excludes_all_that_it_takes_is_no_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths are nobody's, the import ends, and the report says that there is no such route."""
    text = """
http:
  routers:
    none: {rule: "PathPrefix(`/b`) && !PathPrefix(`/b`)", service: s}
    some: {rule: "(PathPrefix(`/a`) && Host(`x.test`)) || (PathPrefix(`/a`) && !PathPrefix(`/a/b`))", service: s}
  services: {s: {loadBalancer: {servers: [{url: "http://s:80"}]}}}
"""
    tried = try_text("dynamic.yml", text, tmp_path, monkeypatch)
    expected = {"http://x.test/b/x": "respond 404", "http://x.test/a/b": "s:80/a/b", "/a/c": "s:80/a/c"}
    assert {url: tried.goes("GET", url) for url in expected} | {"http://x.test/b/x": "respond 404"} == expected
    assert tried.goes("GET", "/b/x").endswith("404")
    assert tried.goes("GET", "/a/b").endswith("404")
    assert "none of its paths can be expressed" in tried.report


def test_prefixes_are_removed_character_by_character_and_the_first_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/a` is removed from `/ab`, too, and a longer one after it in the list is never tried."""
    text = """
http:
  routers:
    all: {rule: "Host(`x.test`)", service: s, middlewares: [strip]}
  middlewares: {strip: {stripPrefix: {prefixes: [/a, /abc, /v1]}}}
  services: {s: {loadBalancer: {servers: [{url: "http://s:80"}]}}}
"""
    tried = try_text("dynamic.yml", text, tmp_path, monkeypatch)
    expected = {"/ab": "/b", "/abc/x": "/bc/x", "/a/x": "/x", "/v1/y": "/y", "/v12": "/2", "/z": "/z"}
    assert {path: tried.goes("GET", f"http://x.test{path}").removeprefix("s:80") for path in expected} == expected


def test_one_password_twice_is_one_and_a_router_without_a_service_may_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheme that a chain names again is the same, and `noop@internal` answers nothing itself."""
    text = """
http:
  routers:
    all: {rule: "PathPrefix(`/`)", service: s, priority: 1}
    staff: {rule: "Host(`x.test`)", service: s, middlewares: [auth, chain]}
    apex: {rule: "Host(`y.test`)", service: noop@internal, middlewares: [www], tls: {}}
  middlewares:
    auth: {basicAuth: {users: ["bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="]}}
    chain: {chain: {middlewares: [auth]}}
    www: {redirectRegex: {regex: '^https://y\\.test/(.*)', replacement: 'https://www.y.test/$1', permanent: true}}
  services: {s: {loadBalancer: {servers: [{url: "http://s:80"}]}}}
"""
    tried = try_text("dynamic.yml", text, tmp_path, monkeypatch)
    assert str(tried.explain("GET", "http://x.test/")["verdict"]).startswith("refused")
    assert tried.goes("GET", "http://y.test/a") == "redirect 301 https://www.y.test/a"


def test_a_transport_for_tls_means_nothing_to_servers_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`insecureSkipVerify` beside an http server loses no router."""
    text = """
http:
  routers: {r: {rule: 'PathPrefix(`/`)', service: s}}
  services: {s: {loadBalancer: {servers: [{url: 'http://w:80'}], serversTransport: t}}}
  serversTransports: {t: {insecureSkipVerify: true}}
"""
    assert try_text("dynamic.yml", text, tmp_path, monkeypatch).goes("GET", "/x") == "w:80/x"


def test_certificates_for_servers(tmp_path: Path) -> None:
    """Files of `serversTransports` become settings of the service; a key that is written there is left out."""
    certificate(tmp_path, "own", "", 30, None)
    pem, key = tmp_path / "own.pem", tmp_path / "own.key"
    text = f"""
http:
  routers:
    r: {{rule: 'PathPrefix(`/`)', service: s}}
    q: {{rule: 'PathPrefix(`/q`)', service: w}}
  services:
    s: {{loadBalancer: {{servers: [{{url: 'https://w:443'}}], serversTransport: t}}}}
    w: {{loadBalancer: {{servers: [{{url: 'https://v:443'}}], serversTransport: u}}}}
  serversTransports:
    t: {{rootCAs: ['{pem}'], certificates: [{{certFile: '{pem}', keyFile: '{key}'}}]}}
    u: {{serverName: v.test, certificates: [{{certFile: '{pem}', keyFile: '-----BEGIN PRIVATE KEY-----MIGH'}}]}}
"""
    (tmp_path / "dynamic.yml").write_text(text)
    made = import_file(tmp_path / "dynamic.yml")
    routes = yaml.safe_load(made.files["routes.yaml"])
    assert routes["services"]["s"]["tls"] == {"ca": str(pem), "certificate_file": str(pem), "key_file": str(key)}
    assert routes["services"]["w"]["tls"] == {"server_name": "v.test"}
    assert "MIGH" not in "".join(made.files.values())


LEFT_OUT = """
http:
  routers:
    catch: {rule: 'PathPrefix(`/`)', service: web}
    dash: {rule: 'PathPrefix(`/dashboard`)', service: api@internal, middlewares: [auth]}
    docker: {rule: 'PathPrefix(`/docker`)', service: other@docker, middlewares: [auth]}
    excluded: {rule: 'PathPrefix(`/ops`) && !Header(`X-Debug`, `1`)', service: web, middlewares: [auth]}
    files: {rule: 'PathRegexp(`(?i)\\.(sql|bak)$`)', service: web, middlewares: [auth]}
    alone: {rule: 'Host(`alone.example`) && Path(`/x`)', service: web}
  middlewares: {auth: {basicAuth: {users: ['bob:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/']}}}
  services: {web: {loadBalancer: {servers: [{url: 'http://w:80'}]}}}
"""


def test_what_a_router_that_is_left_out_took_goes_to_no_wider_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router to Traefik itself, or to another provider's service, or one that is guarded and cannot be said: the
    router for everything, which asks for no password, does not take their requests."""
    tried = try_text("dynamic.yml", LEFT_OUT, tmp_path, monkeypatch)
    assert tried.goes("GET", "/dashboard/x") == "respond 404"
    assert tried.goes("GET", "/docker/x") == "respond 404"
    for path in ("/ops/x", "/a/b.SQL"):
        assert tried.explain("GET", path)["verdict"].startswith("refused"), path
    assert tried.goes("GET", "/x.sqlite") == "w:80/x.sqlite"
    assert "refused by the other routes, until its paths are said" in tried.report


def test_each_router_counts_by_itself(traefik: Import) -> None:
    """A limit that two routers name is counted for each; the alternatives of one router are counted together."""
    limit = {"few": {"rateLimit": {"average": 10, "period": "1m", "burst": 5}}}
    one = router("PathPrefix(`/a`) || Header(`X`, `1`)", middlewares=["few"], entryPoints=["internal"])
    tried = traefik({"one": one, "two": router("PathPrefix(`/b`)", middlewares=["few"])}, limit)
    rules = yaml.safe_load(tried.imported.files["middleware.yaml"])["rate_limits"].values()
    assert sorted({route[:3] for route in rule["routes"]} for rule in rules) == [{"one"}, {"two"}]
    assert all(rule["burst"] == 5 and rule["limits"] == ["10/m"] for rule in rules)
    assert "Middlewares of entry points are in the static configuration" in tried.report


def test_middlewares_that_set_the_same_header_keep_their_order(traefik: Import) -> None:
    """The last one of a chain sets that of a request, the first one that of a response, whatever the file's order."""

    def sets(text: str) -> dict[str, Any]:
        return {
            "headers": {"customRequestHeaders": {"X": text}, "customResponseHeaders": {"x": text, f"y-{text}": "z"}}
        }

    routers = {
        "one": router("Path(`/a`)", middlewares=["p", "q"]),
        "two": router("Path(`/b`)", middlewares=["q", "inner"]),
    }
    tried = traefik(routers, {"p": sets("p"), "q": sets("q"), "inner": {"chain": {"middlewares": ["p"]}}})
    rules = list(yaml.safe_load(tried.imported.files["middleware.yaml"])["headers"].values())
    for route, last, first in (("one", "q", "p"), ("two", "p", "q")):
        own = [rule for rule in rules if route in rule.get("routes", [route])]
        assert [rule["request"]["set"]["X"] for rule in own][-1] == last
        assert [rule["response"]["set"].get("x") for rule in own] == [first, None]


def test_of_two_limits_of_bodies_the_smaller_holds(traefik: Import) -> None:
    """And of two compressions the first, which the report says."""
    middlewares = {
        "small": {"buffering": {"maxRequestBodyBytes": 10}},
        "large": {"buffering": {"maxRequestBodyBytes": 1000}},
        "c": {"compress": {"minResponseBodyBytes": 10}},
        "d": {"compress": {"minResponseBodyBytes": 90}},
    }
    routers = {"one": router("Path(`/a`)", middlewares=["small", "large", "c"])}
    routers["two"] = router("Path(`/b`)", middlewares=["d"])
    tried = traefik(routers, middlewares)
    assert yaml.safe_load(tried.imported.files["routes.yaml"])["routes"][0]["max_body"] == 10
    compression = yaml.safe_load(tried.imported.files["middleware.yaml"])["compression"]
    assert (compression["min_size"], "routes" in compression) == (10, False)
    assert "compression has one rule for all of its routes" in tried.report
