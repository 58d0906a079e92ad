"""TLS to backends: what the original trusts and shows is what the gateway trusts and shows."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from gateway.importing.importer import import_file
from tests.cli.support import gateway
from tests.importing.support import try_text
from tests.support import running_gateway
from tests.upstream.test_client_certificates import backend, demanding, secret_of
from tests.upstream.test_tls import certificate, openssl


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and keys in `tls`, beside where originals are put."""
    directory = tmp_path_factory.mktemp("original") / "tls"
    directory.mkdir()
    certificate(directory, "ca", "", 30, None)
    certificate(directory, "other", "", 30, None)
    certificate(directory, "server", "DNS:backend.test,IP:127.0.0.1", 30, "ca")
    certificate(directory, "own", "DNS:own.test", 30, "ca")
    openssl(directory, "pkey", "-in", "own.key", "-aes256", "-passout", "pass:secret", "-out", "locked.key")
    return directory


def nginx(issued: Path, address: str) -> tuple[str, str]:
    return (
        "nginx.conf",
        f"""
events {{}}
http {{
  upstream ledger {{ server {address}; }}
  proxy_ssl_verify on;
  server {{
    listen 80;
    proxy_ssl_trusted_certificate tls/ca.pem;
    location / {{
      proxy_pass https://ledger;
      proxy_ssl_name backend.test;
      proxy_ssl_server_name on;
      proxy_ssl_certificate tls/own.pem;
      proxy_ssl_certificate_key tls/own.key;
    }}
  }}
}}
""",
    )


def traefik(issued: Path, address: str) -> tuple[str, str]:
    return (
        "dynamic.yml",
        f"""
http:
  routers: {{r: {{rule: 'PathPrefix(`/`)', service: s}}}}
  services: {{s: {{loadBalancer: {{servers: [{{url: 'https://{address}'}}], serversTransport: t}}}}}}
  serversTransports:
    t:
      serverName: backend.test
      rootCAs: [tls/ca.pem]
      certificates: [{{certFile: tls/own.pem, keyFile: tls/own.key}}]
""",
    )


def kong(issued: Path, address: str) -> tuple[str, str]:
    own, key, authority = ((issued / name).read_text() for name in ("own.pem", "own.key", "ca.pem"))
    return "kong.json", json.dumps(
        {
            "_format_version": "3.0",
            "certificates": [{"id": "c-1", "cert": own, "key": key}],
            "ca_certificates": [{"id": "a-1", "cert": authority}],
            "services": [
                {
                    "name": "ledger",
                    "url": f"https://{address}",
                    "tls_verify": True,
                    "client_certificate": {"id": "c-1"},
                    "ca_certificates": ["a-1"],
                    "routes": [{"name": "all", "paths": ["/"]}],
                }
            ],
        },
        indent=1,
    )


def krakend(issued: Path, address: str) -> tuple[str, str]:
    shown = {"certificate": "tls/own.pem", "private_key": "tls/own.key"}
    tls = {"ca_certs": ["tls/ca.pem"], "disable_system_ca_pool": True, "client_certs": [shown]}
    backends = [{"host": [f"https://{address}"], "url_pattern": "/"}]
    endpoints = [{"endpoint": "/", "backend": backends}]
    return "krakend.json", json.dumps({"version": 3, "client_tls": tls, "endpoints": endpoints}, indent=1)


@pytest.mark.parametrize("original", [nginx, traefik, kong, krakend])
def test_a_backend_that_demands_a_certificate_answers_after_an_import(
    tmp_path: Path, issued: Path, original: Callable[[Path, str], tuple[str, str]]
) -> None:
    """The files as they were written reach it, wherever they were written to, and no key is printed."""
    with backend(demanding(issued)) as server:
        name, text = original(issued, f"127.0.0.1:{server.server_port}")
        (issued.parent / name).write_text(text)
        config = tmp_path / "config"
        made = gateway("import", str(issued.parent / name), "--output", str(config))
        assert made.returncode == 0, made.stderr
        assert "no such setting" not in made.stdout
        assert secret_of(issued, "own") not in made.stdout + made.stderr
        checked = gateway("check", config=config)
        assert checked.stdout.startswith("ok"), checked.stdout
        texts = [(config / f"{name}.yaml").read_text() for name in ("routes", "middleware")]
        with running_gateway(tmp_path, *texts) as running:
            assert httpx2.get(running.url).text == "own.test"


def test_a_key_that_stood_in_the_file_is_for_its_owner(tmp_path: Path, issued: Path) -> None:
    """Kong's certificates and keys are files beside ours, of which the keys are readable by their owner only."""
    name, text = kong(issued, "b:443")
    (tmp_path / name).write_text(text)
    previous = os.umask(0)
    try:
        gateway("import", str(tmp_path / name), "--output", str(tmp_path / "out"))
    finally:
        os.umask(previous)
    tls = yaml.safe_load((tmp_path / "out/routes.yaml").read_text())["services"]["b"]["tls"]
    key = tmp_path / "out" / tls["key_file"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text() == (issued / "own.key").read_text()
    report = (tmp_path / "out/import-report.md").read_text()
    assert f"{tls['key_file']} has its key, for its owner only: let the gateway's user read it" in report
    assert all(secret_of(issued, "own") not in path.read_text() for path in (tmp_path / "out").iterdir() if path != key)


ABSENT = {
    "nginx.conf": """
server {
  location / {
    proxy_pass https://b.test;
    proxy_ssl_trusted_certificate /no/ca.pem;
    proxy_ssl_certificate own/own.pem;
    proxy_ssl_certificate_key own/own.key;
  }
}
""",
    "dynamic.yml": """
http:
  routers: {r: {rule: 'PathPrefix(`/`)', service: s}}
  services: {s: {loadBalancer: {servers: [{url: 'https://b.test'}], serversTransport: t}}}
  serversTransports: {t: {rootCAs: [/no/ca.pem], certificates: [{certFile: own/own.pem, keyFile: own/own.key}]}}
""",
    "krakend.json": json.dumps(
        {
            "version": 3,
            "client_tls": {
                "ca_certs": ["/no/ca.pem"],
                "client_certs": [{"certificate": "own/own.pem", "private_key": "own/own.key"}],
            },
            "endpoints": [{"endpoint": "/", "backend": [{"host": ["https://b.test"], "url_pattern": "/"}]}],
        }
    ),
}


@pytest.mark.parametrize("name", ABSENT)
def test_a_file_that_is_not_here_costs_no_route(tmp_path: Path, issued: Path, name: str) -> None:
    """The report says what to put where, `gateway check` refuses what was written until then, and passes after it."""
    (tmp_path / name).write_text(ABSENT[name])
    out = tmp_path / "out"
    made = gateway("import", str(tmp_path / name), "--output", str(out))
    assert made.returncode == 0, made.stderr
    needed = made.stdout.partition("## Put these files in place\n")[2].partition("\n## ")[0]
    assert "- `/no/ca.pem`: certificates of authorities (PEM): No such file or directory (line " in needed
    assert "- `own/own.pem`: the certificate that backends are shown" in needed
    assert "- `own/own.key`: the private key of that certificate" in needed
    checked = gateway("check", config=out)
    assert checked.returncode == 1
    assert "tls.certificate_file: own/own.pem cannot be used" in checked.stdout + checked.stderr
    routes = (out / "routes.yaml").read_text()
    (out / "routes.yaml").write_text(routes.replace("/no/ca.pem", str(issued / "ca.pem")))
    (out / "own").symlink_to(issued)
    assert gateway("check", config=out).stdout.startswith("ok")


def test_a_file_that_cannot_be_used_is_named_with_its_reason(
    tmp_path: Path, issued: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys with a password, and those of other certificates, among them; the route is written."""
    (tmp_path / "tls").symlink_to(issued)
    server = "server { location / { proxy_pass https://b.test; %s } }"
    shown = "proxy_ssl_certificate tls/own.pem; proxy_ssl_certificate_key tls/%s;"
    for key, why in (("locked.key", "its key is encrypted"), ("server.key", "it is not the key of ")):
        (tmp_path / "nginx.conf").write_text(server % shown % key)
        made = import_file(tmp_path / "nginx.conf")
        line = next(line for line in made.report.markdown([]).splitlines() if line.startswith("- `"))
        assert line.startswith(f"- `{tmp_path / 'tls' / key}`: the private key of that certificate")
        assert why in line
        assert yaml.safe_load(made.files["routes.yaml"])["routes"][0]["target"] == "b-test"


def kong_of(monkeypatch: pytest.MonkeyPatch, directory: Path, service: dict[str, Any], **others: Any) -> Any:
    """Import one service of Kong, to ledger.test by https."""
    service = {"name": "s", "url": "https://ledger.test", "routes": [{"name": "r", "paths": ["/"]}]} | service
    text = json.dumps({"_format_version": "3.0", "services": [service], **others}, indent=1)
    return try_text("kong.json", text, directory, monkeypatch)


def test_authorities_of_kong_are_one_file(tmp_path: Path, issued: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that trusts two has both in the file that it names; what verifies clients is not called one of TLS."""
    pems = [(issued / f"{name}.pem").read_text() for name in ("ca", "other", "server")]
    authorities = [{"id": f"a{number}", "cert": pem} for number, pem in enumerate(pems)]
    tried = kong_of(monkeypatch, tmp_path, {"ca_certificates": ["a0", "a1"]}, ca_certificates=authorities)
    tls = yaml.safe_load(tried.imported.files["routes.yaml"])["services"]["ledger-test"]["tls"]
    assert tried.imported.files[tls["ca"]] == pems[0] + pems[1]
    assert "ca_certificates[2] | no service that is written has its backends verified by it" in tried.report
    assert "with `mtls` of auth.yaml" in tried.report
    assert "put this certificate there" not in tried.report


def test_what_a_placeholder_stands_for_is_a_file_to_put_in_place(tmp_path: Path) -> None:
    """A certificate of a vault, whose contents the file does not have, is a name and a line of what to put there."""
    text = """
_format_version: "3.0"
certificates: [{id: c, cert: "{vault://env/gw-cert}", key: "{vault://env/gw-key}"}]
services: [{name: s, url: 'https://b.test', client_certificate: c, routes: [{name: r, paths: [/]}]}]
"""
    (tmp_path / "kong.yml").write_text(text)
    made = import_file(tmp_path / "kong.yml")
    tls = yaml.safe_load(made.files["routes.yaml"])["services"]["b-test"]["tls"]
    assert tls == {"certificate_file": "client-3.pem", "key_file": "client-3.key"}
    assert made.files.keys() == {"routes.yaml", "middleware.yaml"}
    report = made.report.markdown([])
    assert (
        "- `client-3.pem`: the certificate that backends are shown (PEM): it is not in the original (line 3," in report
    )
    assert "- `client-3.key`: the private key of that certificate" in report


def test_certificates_that_nothing_could_use_are_left_out(
    tmp_path: Path, issued: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of another certificate, a damaged authority and an id that there is not cost the setting, not the route."""
    own, key = (issued / "own.pem").read_text(), (issued / "server.key").read_text()
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    tried = kong_of(
        monkeypatch,
        tmp_path,
        {"client_certificate": "c", "ca_certificates": ["a"]},
        certificates=[{"id": "c", "cert": own, "key": key}],
        ca_certificates=[{"id": "a", "cert": broken}],
    )
    assert tried.goes("GET", "/") == "ledger.test:443/"
    assert "services[0].client_certificate | it is not the key of " in tried.report
    assert "services[0].ca_certificates | it has no whole certificate in PEM" in tried.report
    assert tried.imported.files.keys() == {"routes.yaml", "middleware.yaml"}
    assert "certificates[0].key | taken" not in tried.report
    (tmp_path / "second").mkdir()
    unknown = kong_of(monkeypatch, tmp_path / "second", {"client_certificate": "x"})
    assert "client_certificate | the file does not have it: name its files in `tls` of the service" in unknown.report


def test_unverified_certificates_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tls_verify: false` and `proxy_ssl_verify off` are `tls.verify: false`, with what that means; where nothing is
    written, certificates are verified, and the report says so."""
    texts = {
        "off": "proxy_ssl_verify off; proxy_ssl_trusted_certificate /no/ca.pem;",
        "unset": "",
    }
    found = {}
    for name, directives in texts.items():
        (tmp_path / name).mkdir()
        text = f"server {{ location / {{ proxy_pass https://b.test; {directives} }} }}"
        found[f"nginx {name}"] = try_text("nginx.conf", text, tmp_path / name, monkeypatch)
    for name, service in {"off": {"tls_verify": False}, "unset": {}}.items():
        (tmp_path / f"kong-{name}").mkdir()
        found[f"kong {name}"] = kong_of(monkeypatch, tmp_path / f"kong-{name}", service)
    for name, tried in found.items():
        routes = tried.imported.files["routes.yaml"]
        assert ("verify: false" in routes) == name.endswith("off")
        text = (
            "any server can pose as this one" if name.endswith("off") else "the certificate of the backend is verified"
        )
        assert text in tried.report
        assert "Put these files" not in tried.report


def test_an_upstream_that_is_asked_in_two_ways_is_two_services(
    tmp_path: Path, issued: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one location goes to it by http, one by https, and one by https with a name, each gets what it had."""
    tried = try_text(
        "nginx.conf",
        """
upstream up { server u.test:443; }
server {
  location /plain/ { proxy_pass http://up; }
  location /secure/ { proxy_pass https://up; }
  location /named/ { proxy_pass https://up; proxy_ssl_verify on; proxy_ssl_name n.test; }
  location /again/ { proxy_pass https://up; proxy_ssl_verify on; }
}
""",
        tmp_path,
        monkeypatch,
    )
    written = yaml.safe_load(tried.imported.files["routes.yaml"])
    services = {route["path"]: written["services"][route["target"]] for route in written["routes"] if "target" in route}
    assert {path: (service.get("protocol"), service.get("tls")) for path, service in services.items()} == {
        "/plain/*": (None, None),
        "/secure/*": ("https", None),
        "/named/*": ("https", {"server_name": "n.test"}),
        "/again/*": ("https", {"server_name": "up"}),  # the name that nginx looks for by itself
    }


def test_what_means_nothing_to_backends_without_tls_is_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of `proxy_ssl_...` around a backend that speaks http need not be there."""
    text = "server { proxy_ssl_certificate /no/a.pem; proxy_ssl_certificate_key /no/a.key; location / { %s } }"
    tried = try_text("nginx.conf", text % "proxy_pass http://b.test;", tmp_path, monkeypatch)
    assert tried.goes("GET", "/x") == "b.test:80/x"
    assert "proxy_ssl_certificate | no backend that it holds for is asked by https here" in tried.report
    assert "Put these files" not in tried.report


def test_a_users_file_is_found_beside_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative names of Traefik's files begin where its configuration is, wherever the command runs."""
    (tmp_path / "users").write_text("bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    text = """
http:
  routers: {r: {rule: 'PathPrefix(`/`)', service: s, middlewares: [m]}}
  middlewares: {m: {basicAuth: {usersFile: users}}}
  services: {s: {loadBalancer: {servers: [{url: 'http://b.test'}]}}}
"""
    tried = try_text("dynamic.yml", text, tmp_path, monkeypatch)
    schemes = yaml.safe_load(tried.imported.files["auth.yaml"])["schemes"]
    assert schemes["m"]["basic"]["htpasswd"] == str(tmp_path / "users")


def test_names_that_are_no_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables, keys of a device, a certificate without its key, and transports of other files are in the report."""
    (tmp_path / "nginx").mkdir()
    text = """
server {
  proxy_ssl_name $host;
  location /device/ {
    proxy_pass https://b.test; proxy_ssl_certificate /no/a.pem; proxy_ssl_certificate_key engine:pkcs11:key;
  }
  location /alone/ { proxy_pass https://b.test; proxy_ssl_certificate /no/b.pem; }
}
"""
    tried = try_text("nginx.conf", text, tmp_path / "nginx", monkeypatch)
    for where, why in (
        ("> proxy_ssl_name", "the certificate must carry the name of each endpoint"),
        ("location /device/ > proxy_ssl_certificate_key", "name a file, without variables"),
        ("location /device/ > proxy_ssl_certificate", "a certificate is shown with its key"),
        ("location /alone/ > proxy_ssl_certificate", "a certificate is shown with its key"),
    ):
        assert f"{where} | {why}" in tried.report
    assert [tried.goes("GET", path) for path in ("/device/x", "/alone/x")] == [
        "b.test:443/device/x",
        "b.test:443/alone/x",
    ]
    (tmp_path / "traefik").mkdir()
    text = """
http:
  routers: {r: {rule: 'PathPrefix(`/`)', service: s}}
  services: {s: {loadBalancer: {servers: [{url: 'https://b.test'}], serversTransport: other@docker}}}
"""
    tried = try_text("dynamic.yml", text, tmp_path / "traefik", monkeypatch)
    assert "loadBalancer.serversTransport | it is not in this file: see `tls`" in tried.report


def test_an_upstream_of_kong_shows_its_certificate(
    tmp_path: Path, issued: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that goes to it by https shows it; what nothing shows is said to be for clients."""
    pems = {name: (issued / f"{name}.pem").read_text() for name in ("own", "server")}
    certificates = [
        {"id": name, "cert": pem, "key": (issued / f"{name}.key").read_text()} for name, pem in pems.items()
    ]
    upstream = {"name": "up", "targets": [{"target": "u.test:443"}], "client_certificate": {"id": "own"}}
    tried = kong_of(
        monkeypatch,
        tmp_path,
        {"url": "https://up"},
        certificates=certificates,
        upstreams=[upstream],
    )
    written = tried.imported.files
    assert written[yaml.safe_load(written["routes.yaml"])["services"]["up"]["tls"]["certificate_file"]] == pems["own"]
    assert "certificates[1] | no service that is written shows it to its backends" in tried.report
    assert "deploy/nginx" in tried.report


def test_authorities_of_several_files_are_one(tmp_path: Path, issued: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Traefik names two, all that they have is in the file of the service; where one is missing, the report says
    what to put into it."""
    text = """
http:
  routers: {r: {rule: 'PathPrefix(`/`)', service: s}}
  services: {s: {loadBalancer: {servers: [{url: 'https://b.test'}], serversTransport: t}}}
  serversTransports: {t: {rootCAs: ['%s', '%s']}}
"""
    first, second = issued / "ca.pem", issued / "other.pem"
    tried = try_text("dynamic.yml", text % (first, second), tmp_path, monkeypatch)
    assert tried.imported.files["ca-5.pem"] == first.read_text() + second.read_text()
    assert f"ca-5.pem has all of them, as they are now: {first}, {second}" in tried.report
    (tmp_path / "dynamic.yml").write_text(text % (first, "/no/ca.pem"))
    made = import_file(tmp_path / "dynamic.yml")
    assert "ca-5.pem" not in made.files
    needed = f"- `ca-5.pem`: certificates of authorities (PEM), one after the other: {first}, /no/ca.pem: it is not"
    assert needed in made.report.markdown([])


def test_a_service_that_is_asked_who_may_call_is_shown_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`forward_auth` has no certificates: those of the location that `auth_request` names are not called translated."""
    text = """
server {
  location / { proxy_pass http://b.test; auth_request /_who; }
  location = /_who { internal; proxy_pass https://sso.test; proxy_ssl_trusted_certificate /no/ca.pem; }
}
"""
    tried = try_text("nginx.conf", text, tmp_path, monkeypatch)
    missing = tried.report.partition("## Not translated")[2].partition("\n## ")[0]
    assert "location = /_who > proxy_ssl_trusted_certificate | the service of a forward_auth scheme" in missing
