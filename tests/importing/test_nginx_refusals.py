"""What nginx refuses is refused here, in whichever words it says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.config.problems import ConfigError
from gateway.importing.importer import import_file
from tests.importing.support import try_text

PASS = "proxy_pass http://10.0.0.1:80;"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Import a server of these directives."""
    return lambda text: try_text("nginx.conf", f"server {{ listen 80; {text} }}", tmp_path, monkeypatch)


@pytest.mark.parametrize("location", [r"~ /\.(?!well-known)", r"~ /\.(?!well-known).*", r"~* ^/.*/\.(?!well-known)"])
def test_hidden_files_are_refused_wherever_they_are(server, location: str) -> None:  # type: ignore[no-untyped-def]
    """A denied expression that looks ahead is a condition of the routes that nginx asks afterwards."""
    tried = server(f"location / {{ {PASS} }} location {location} {{ deny all; }}")
    explained = tried.explain("GET", "http://h/a/.git/config")
    assert explained["verdict"].startswith("refused"), explained
    assert tried.explain("GET", "http://h/a/.well-known/x").get("outcome") != "refused"
    assert tried.goes("GET", "/a/b.c") == "10.0.0.1:80/a/b.c"


def test_an_expression_that_looks_around_otherwise_refuses_more_and_says_so(server) -> None:  # type: ignore[no-untyped-def]
    """The other guess would open what nginx refuses."""
    tried = server(f"location / {{ {PASS} }} location ~ \\.(?=php)[a-z]+$ {{ deny all; }}")
    assert tried.explain("GET", "http://h/a.php")["verdict"].startswith("refused")
    assert "more is refused than its expression fits" in tried.report


def test_a_variable_that_a_condition_sets_is_followed(server) -> None:  # type: ignore[no-untyped-def]
    """Who brings no key was refused by a second `if`: the route is closed."""
    tried = server(
        'location / { set $no 0; if ($http_x_key != "secret-key") { set $no "${no}1"; } if ($no = 01) { return 403; } '
        f"{PASS} }}"
    )
    assert "NOT-YET-TRANSLATED" in tried.imported.files["routes.yaml"]
    assert "secret-key" not in str(tried.imported.files) + tried.report


@pytest.mark.parametrize(
    ("condition", "refused", "passes"),
    [
        ("$request_method = DELETE", ("DELETE", "/", {}), ("GET", "/", {})),
        (r"$host !~* ^(www\.)?h$", ("GET", "/", {"Host": "other"}), ("GET", "/", {})),
        ("$request_uri ~* wp-admin", ("GET", "/x/WP-Admin", {}), ("GET", "/x", {})),
        ("$uri ~ ^/private", ("GET", "/private/x", {}), ("GET", "/x/private", {})),
        ('$http_user_agent = ""', ("GET", "/", {}), ("GET", "/", {"User-Agent": "curl"})),
        ("$http_x_bad", ("GET", "/", {"X-Bad": "1"}), ("GET", "/", {})),
    ],
)
def test_what_a_condition_turns_away_is_turned_away(server, condition, refused, passes) -> None:  # type: ignore[no-untyped-def]
    """Conditions on a method, a host, a path or a header are `authorize` of the routes."""
    tried = server(f"if ({condition}) {{ return 403; }} location / {{ {PASS} }}")
    for (method, path, headers), outcome in ((refused, True), (passes, False)):
        host = headers.get("Host", "h")
        others = {name.replace("-", "_"): value for name, value in headers.items() if name != "Host"}
        explained = tried.explain(method, f"http://{host}{path}", **others)
        assert (explained.get("outcome") == "refused") is outcome, explained


def test_a_method_that_a_location_refuses_is_not_taken_by_a_wider_one(server) -> None:  # type: ignore[no-untyped-def]
    """What an `if` lets in becomes `methods` of the route, and the others a 405."""
    tried = server(
        f"location /b {{ if ($request_method !~ ^(GET|HEAD)$) {{ return 444; }} {PASS} }} location / {{ {PASS} }}"
    )
    assert tried.goes("POST", "/b") == "respond 405"
    assert tried.goes("GET", "/b") == "10.0.0.1:80/b"


def test_conditions_of_an_expression_without_a_path_refuse_what_it_fits(server) -> None:  # type: ignore[no-untyped-def]
    """The location for everything does not take it openly, and what only begins alike is taken as before."""
    tried = server(
        f'location ~ ^/a/.*\\.php$ {{ if ($http_user_agent = "") {{ return 403; }} {PASS} }} location / {{ {PASS} }}'
    )
    assert tried.explain("GET", "/a/x.php")["verdict"].startswith("refused")
    assert tried.goes("GET", "/a/x") == "10.0.0.1:80/a/x"


def test_an_included_file_that_is_missing_closes_routes_if_it_may_refuse(server) -> None:  # type: ignore[no-untyped-def]
    """`include snippets/auth.conf` may ask for a password; `proxy_params` does not."""
    tried = server(
        f"location /a/ {{ include snippets/auth.conf; {PASS} }} location /b/ {{ include proxy_params; {PASS} }}"
    )
    routes = {route["id"]: route for route in yaml.safe_load(tried.imported.files["routes.yaml"])["routes"]}
    assert "NOT-YET-TRANSLATED" in str(routes["a"]["authorize"])
    assert "authorize" not in routes["b"]


def test_what_is_included_is_bounded(tmp_path: Path) -> None:
    """A device is not read, and files that include others twice, and so on, end in an error."""
    (tmp_path / "zero.conf").write_text("server { include /dev/zero; location / { proxy_pass http://b; } }")
    report = import_file(tmp_path / "zero.conf").report
    assert "no regular file, or too large" in report.markdown([])
    for number in range(20):
        (tmp_path / f"{number}.conf").write_text(f"include {number + 1}.conf; include {number + 1}.conf;")
    (tmp_path / "20.conf").write_text("server { location / { proxy_pass http://b; } }")
    with pytest.raises(ConfigError, match="more than 100,000 directives"):
        import_file(tmp_path / "0.conf")


def test_the_service_that_auth_request_asks_is_asked_at_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx sends the path of the internal location where `proxy_pass` has none; a name of an upstream is no host."""
    text = (
        "upstream sso { server 10.0.0.5:4180; } server { "
        f"location /a/ {{ auth_request /_check; {PASS} }} location = /_check {{ internal; proxy_pass http://sso; }} "
        f"location /b/ {{ auth_request /_other; {PASS} }} "
        "location = /_other { internal; proxy_pass http://10.0.0.6:80/verify; } }"
    )
    tried = try_text("nginx.conf", text, tmp_path, monkeypatch)
    schemes = yaml.safe_load(tried.imported.files["auth.yaml"])["schemes"]
    urls = [scheme["forward_auth"]["url"] for scheme in schemes.values()]
    assert urls == ["http://10.0.0.5:4180/_check", "http://10.0.0.6:80/verify"]


def test_a_file_of_passwords_is_looked_for_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the directory in which the command runs."""
    (tmp_path / ".htpasswd").write_text("bob:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/\n")
    text = f'server {{ location / {{ auth_basic "x"; auth_basic_user_file .htpasswd; {PASS} }} }}'
    tried = try_text("nginx.conf", text, tmp_path, monkeypatch)
    assert str(tmp_path / ".htpasswd") in tried.imported.files["auth.yaml"]


def test_a_body_that_nginx_refuses_by_its_own_limit_is_refused(server) -> None:  # type: ignore[no-untyped-def]
    """1 MiB where the file says nothing; 0 is no limit."""
    tried = server(f"location /a/ {{ {PASS} }} location /b/ {{ client_max_body_size 0; {PASS} }}")
    routes = {route["id"]: route for route in yaml.safe_load(tried.imported.files["routes.yaml"])["routes"]}
    assert (routes["a"]["max_body"], routes["b"]["max_body"]) == ("1MiB", "1000GB")
    assert "no client_max_body_size is written" in tried.report


def _rows(report: str, title: str) -> str:
    return report.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("location", [r"~ \.php$ { return 404; }", r"~* \.(sql|bak)$ { deny all; }"])
def test_what_became_a_condition_is_not_said_to_be_left_out(server, location: str) -> None:  # type: ignore[no-untyped-def]
    """Who reads "Not translated" first must not look for files that are refused already."""
    tried = server(f"location / {{ {PASS} }} location {location}")
    assert tried.explain("GET", "http://h/a/b.php.bak" if "bak" in location else "http://h/a/b.php")["verdict"]
    assert "location ~" not in _rows(tried.report, "Not translated"), tried.report
    assert "authorize of the routes that are asked afterwards" in _rows(tried.report, "Translated")
    assert ("a 403, where nginx answers 404" in tried.report) == ("404" in location)


def test_a_refusal_that_holds_anywhere_is_not_said_to_hold_at_the_beginning_only(server) -> None:  # type: ignore[no-untyped-def]
    """`~ /\\.git` is refused in every directory, and the report says nothing else."""
    tried = server(f"location / {{ {PASS} }} location ~ /\\.git {{ deny all; }}")
    assert tried.explain("GET", "http://h/a/.git/config")["verdict"].startswith("refused")
    assert "from the beginning of the path" not in tried.report


def test_an_expression_that_is_left_out_says_where_its_requests_go(server) -> None:  # type: ignore[no-untyped-def]
    """The reader need not look for what takes them now."""
    tried = server(f"location / {{ {PASS} }} location ~* \\.(png|gif)$ {{ {PASS} expires 7d; }}")
    left_out = _rows(tried.report, "Not translated")
    assert "Its requests go where they would without it" in left_out
    assert "Cache-Control is for the backend to send" in left_out
    assert "files are not served" not in left_out


@pytest.mark.parametrize(
    ("status", "said"), [("", "503"), ("limit_req_status 444;", "444"), ("limit_req_status 429;", "")]
)
def test_the_status_beyond_a_limit_is_compared_with_that_of_the_file(  # type: ignore[no-untyped-def]
    tmp_path: Path, monkeypatch, status: str, said: str
) -> None:
    """A file that says 429 already gets no difference."""
    text = (
        f"http {{ limit_req_zone $binary_remote_addr zone=z:1m rate=5r/s; {status} server {{ listen 80; "
        f"location / {{ limit_req zone=z burst=2 nodelay; {PASS} }} }} }}"
    )
    report = try_text("nginx.conf", text, tmp_path, monkeypatch).report
    assert ("where nginx answers" in report) == bool(said)
    assert f"where nginx answers {said}" in report or not said


@pytest.mark.parametrize(("location", "kept"), [("/old/", False), ("/old", True)])
def test_a_location_that_its_rewrite_leads_elsewhere_is_a_redirect(server, location: str, kept: bool) -> None:  # type: ignore[no-untyped-def]
    """Nothing of it is missing, and the report does not say so."""
    tried = server(f"location / {{ {PASS} }} location {location} {{ rewrite ^/old/(.*)$ /new/$1 permanent; }}")
    assert tried.goes("GET", "/old/x").startswith("redirect")
    assert "left out" not in tried.report
    routes = [route["id"] for route in yaml.safe_load(tried.imported.files["routes.yaml"])["routes"]]
    assert ("old" in routes) is kept
