"""What krakend.json says, said in our files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config.problems import ConfigError
from gateway.importing.importer import import_file
from tests.importing.support import Tried, try_text

Import = Any


@pytest.fixture
def krakend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """Import endpoints, and the other keys of a file."""

    def tried(*endpoints: dict[str, Any], **others: Any) -> Tried:
        text = json.dumps({"version": 3, "endpoints": endpoints, **others}, indent=1)
        return try_text("krakend.json", text, tmp_path, monkeypatch)

    return tried


def endpoint(path: str, sent: str, *hosts: str, **others: Any) -> dict[str, Any]:
    backend = {"host": [f"http://{host}" for host in hosts or ("b:80",)], "url_pattern": sent}
    return {"endpoint": path, "backend": [backend]} | others


def test_parameters_go_where_the_pattern_has_them(krakend: Import) -> None:
    """Parameters and the rest of an endpoint are put into the path that is sent, and other methods are refused."""
    tried = krakend(
        endpoint("/users/{id}/posts/{post}", "/p/{post}/of/{id}"),
        endpoint("/files/*", "/f/*", "b:80", "c:80", method="POST"),
        endpoint("/find/{word}", "/search?q={word}&limit=5"),
    )
    assert tried.goes("GET", "/users/7/posts/9") == "b:80/p/9/of/7"
    assert tried.goes("POST", "/files/a/b") == "b:80,c:80/f/a/b"
    assert tried.goes("GET", "/find/x") == "b:80/search"
    routes = yaml.safe_load(tried.imported.files["routes.yaml"])["routes"]
    assert routes[2]["set"] == {"query.q": "{word}", "query.limit": "5"}
    assert tried.goes("PUT", "/users/7/posts/9") == "405"


def test_endpoints_that_merge_are_named_and_left_out(krakend: Import) -> None:
    """An endpoint of several backends is not written, and what is done to bodies is named."""
    merged = endpoint("/m", "/1")
    merged["backend"] *= 2
    changed = endpoint("/c", "/c")
    changed["backend"][0] |= {"allow": ["id"], "group": "g", "is_collection": True}
    tried = krakend(merged, changed)
    assert tried.goes("GET", "/m") == "404"
    assert tried.goes("GET", "/c") == "b:80/c"
    for text in ("endpoints[0] | the answers of several backends are not merged", ".allow |", ".group |"):
        assert text in tried.report


def test_tokens_limits_and_breakers(krakend: Import) -> None:
    """The validator becomes a jwt scheme with roles as groups, and what has no issuer closes its endpoint."""
    validator = {"alg": "RS256", "jwk_url": "http://idp/keys", "issuer": "http://idp", "roles": ["admin"]}
    limit = {"max_rate": 50, "every": "1m", "client_max_rate": 5, "strategy": "header", "key": "X-Key"}
    tried = krakend(
        endpoint("/in", "/", extra_config={"auth/validator": validator, "qos/ratelimit/router": limit}),
        endpoint("/no", "/", extra_config={"auth/validator": {"alg": "RS256", "jwk_url": "http://idp/keys"}}),
    )
    limits = yaml.safe_load(tried.imported.files["middleware.yaml"])["rate_limits"]
    assert [(rule["key"], rule["limits"]) for rule in limits.values()] == [
        (["route"], ["50/m"]),
        (["header:X-Key"], ["5/m"]),
    ]
    assert "the route needs a credential" in tried.explain("GET", "/in")["verdict"]
    assert "refused by authorize" in tried.explain("GET", "/no")["verdict"]


def test_pages_of_others_and_errors_of_backends(krakend: Import) -> None:
    """CORS is there without the methods that are never forwarded, and the status of a backend passes anyway."""
    cors = {"allow_origins": ["*"], "allow_methods": ["GET", "CONNECT", "TRACE", "PUT"], "max_age": "12h"}
    one = endpoint("/in", "/")
    one["backend"][0]["extra_config"] = {"backend/http": {"return_error_code": True, "return_error_details": "b"}}
    tried = krakend(one, extra_config={"security/cors": cors}, cache_ttl="300s", echo_endpoint=True)
    rules = yaml.safe_load(tried.imported.files["middleware.yaml"])["cors"]
    assert [rule["methods"] for rule in rules.values()] == [["GET", "PUT"]]
    assert "nothing like" not in tried.report
    assert "the error itself is what clients get" in tried.report
    assert "/__echo/ is not answered" in tried.report
    assert "answers get no Cache-Control of the gateway's" in tried.report


def test_templates_are_for_krakend_to_render(tmp_path: Path) -> None:
    """A file with templates is refused, with what to do."""
    (tmp_path / "krakend.json").write_text('{"version": 3, "endpoints": [{{ template "a" . }}]}')
    with pytest.raises(ConfigError, match="FC_OUT"):
        import_file(tmp_path / "krakend.json")


def test_the_closest_endpoint_takes_a_request_whatever_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Literal segments go before parameters, and these before `*`; a guarded one is not opened by a wider one."""
    validator = {"issuer": "https://i.test", "jwk_url": "https://i.test/keys", "auth_header_name": "X-Token"}
    guarded = {"auth/validator": validator | {"jwk_fingerprints": ["x"]}}

    def endpoint(path: str, host: str, **others: Any) -> dict[str, Any]:
        return {"endpoint": path, "backend": [{"host": [f"http://{host}:80"], "url_pattern": path}]} | others

    endpoints = [
        endpoint("/users/{id}", "any"),
        endpoint("/users/me", "me", extra_config=guarded),
        endpoint("/users/{id}/{x}", "two"),
        endpoint("/users/me/{y}", "mine"),
    ]
    tried = try_text("krakend.json", json.dumps({"version": 3, "endpoints": endpoints}), tmp_path, monkeypatch)
    expected = {"/users/7": "any:80/users/7", "/users/7/x": "two:80/users/7/x", "/users/me/x": "mine:80/users/me/x"}
    assert {url: tried.goes("GET", url) for url in expected} == expected
    assert "needs a credential" in str(tried.explain("GET", "/users/me")["verdict"])
    assert "header: X-Token" in tried.imported.files["auth.yaml"]
    assert "not pinned" in tried.report


def test_a_literal_endpoint_is_asked_before_a_wildcard_that_stands_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its router goes by what is exact, not by the order in the file: what is guarded stays guarded."""
    validator = {"alg": "RS256", "jwk_url": "https://i.example/keys", "issuer": "https://i.example"}
    endpoints = [
        {"endpoint": "/d/*", "backend": [{"host": ["http://all:80"], "url_pattern": "/d"}]},
        {"endpoint": "/d/{id}", "backend": [{"host": ["http://one:80"], "url_pattern": "/d/{id}"}]},
        {
            "endpoint": "/d/private",
            "extra_config": {"auth/validator": validator},
            "backend": [{"host": ["http://private:80"], "url_pattern": "/d/private"}],
        },
    ]
    tried = try_text("krakend.json", json.dumps({"version": 3, "endpoints": endpoints}), tmp_path, monkeypatch)
    assert tried.goes("GET", "/d/private") == "private:80/d/private"
    assert "refused" in tried.explain("GET", "/d/private")["verdict"]
    assert tried.goes("GET", "/d/7") == "one:80/d/7"
    assert tried.goes("GET", "/d/7/x") == "all:80/d/7/x"


def test_the_limits_of_the_whole_service_hold_for_all_routes(krakend: Import) -> None:
    """Each client's are counted together, the others for each route, and the report says so."""
    tried = krakend(
        {"endpoint": "/a", "backend": [{"host": ["http://a:80"], "url_pattern": "/a"}]},
        {"endpoint": "/b", "backend": [{"host": ["http://b:80"], "url_pattern": "/b"}]},
        extra_config={"qos/ratelimit/service": {"max_rate": 100, "client_max_rate": 5, "strategy": "ip"}},
    )
    limits = yaml.safe_load(tried.imported.files["middleware.yaml"])["rate_limits"]
    assert {name: (rule["key"], rule["limits"]) for name, rule in limits.items()} == {
        "all-together": (["route"], ["100/s"]),
        "all-each": (["address"], ["5/s"]),
    }
    assert all("routes" not in rule for rule in limits.values())
    assert "counted for each route" in tried.report


def test_headers_and_hosts_of_security_hold_for_all_endpoints(krakend: Import) -> None:
    """`security/http` sets headers of responses, and who names another host is refused."""
    security = {"allowed_hosts": ["a.test"], "frame_deny": True, "sts_seconds": 60, "sts_include_subdomains": True}
    tried = krakend(endpoint("/x", "/"), extra_config={"security/http": security | {"ssl_redirect": True}})
    (rule,) = yaml.safe_load(tried.imported.files["middleware.yaml"])["headers"].values()
    headers = {"X-Frame-Options": "DENY", "Strict-Transport-Security": "max-age=60; includeSubDomains"}
    assert rule["response"] == {"set": headers}
    assert "refused by authorize" in tried.explain("GET", "http://b.test/x")["verdict"]
    assert tried.goes("GET", "http://a.test/x") == "b:80/"
    assert "ssl_redirect | TLS ends in front of the gateway" in tried.report


def test_the_user_of_a_host_is_sent_by_a_variable(krakend: Import) -> None:
    """KrakenD sends user and password of a host's URL; they are in no file and not in the report."""
    one = endpoint("/x", "/")
    one["backend"][0]["host"] = ["http://someone:hidden@b:80"]
    tried = krakend(one)
    (rule,) = yaml.safe_load(tried.imported.files["middleware.yaml"])["headers"].values()
    assert rule["request"] == {"set": {"Authorization": "${BACKEND_AUTHORIZATION}"}}
    assert tried.goes("GET", "/x") == "b:80/"
    assert "hidden" not in tried.report + "".join(tried.imported.files.values())


def test_what_concerns_backends_and_queues_is_named(krakend: Import) -> None:
    """Neither unverified certificates, nor queues, nor several calls for one are lost without a word; and an answer
    that takes longer than KrakenD waits by itself is refused here, too."""
    asked = endpoint("/x", "/", concurrent_calls=3)
    asked["backend"][0]["host"] = ["https://b:443"]
    tried = krakend(
        asked,
        client_tls={"allow_insecure_connections": True},
        async_agent=[{"name": "jobs"}],
    )
    for text in (
        "any server can pose as one of these",
        "async_agent | nothing is read",
        ".concurrent_calls | the gateway has",
    ):
        assert text in tried.report
    assert yaml.safe_load(tried.imported.files["middleware.yaml"])["timeouts"] == {"total": "2s"}
    assert "timeouts.total 2s: KrakenD's own" in tried.report
