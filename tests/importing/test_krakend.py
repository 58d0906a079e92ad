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


def test_templates_are_for_krakend_to_render(tmp_path: Path) -> None:
    """A file with templates is refused, with what to do."""
    (tmp_path / "krakend.json").write_text('{"version": 3, "endpoints": [{{ template "a" . }}]}')
    with pytest.raises(ConfigError, match="FC_OUT"):
        import_file(tmp_path / "krakend.json")
