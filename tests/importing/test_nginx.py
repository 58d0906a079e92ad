"""What nginx.conf says, said in our files."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.check import check
from tests.importing.support import Tried, try_text

Import = Any


@pytest.fixture
def nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """Import what is within a server, and around it."""

    def tried(server: str, http: str = "") -> Tried:
        text = f"events {{}}\nhttp {{\n{http}\nserver {{\nlisten 80;\n{server}\n}}\n}}\n"
        return try_text("nginx.conf", text, tmp_path, monkeypatch)

    return tried


@pytest.mark.parametrize("around", ["/a", "/"])
def test_what_is_served_by_another_protocol_is_not_called_translated(nginx: Import, around: str) -> None:
    """Whether a route answers 404 in its place, or none is needed for that."""
    tried = nginx(f"location {around} {{ proxy_pass http://b:80; }} location /grpc {{ grpc_pass grpc://g:81; }}")
    missing, translated = tried.report.split("## Translated", 1)
    assert "location /grpc | its requests get a 404 |" in missing
    assert "/grpc" not in translated


def test_locations_are_asked_in_the_order_of_nginx(nginx: Import) -> None:
    """`=`, then `^~`, then expressions in the order of the file, then the longest prefix."""
    tried = nginx(r"""
        location / { proxy_pass http://root:80; }
        location /a/ { proxy_pass http://prefix:80; }
        location = /a/exact { proxy_pass http://exact:80; }
        location ^~ /a/fixed/ { proxy_pass http://fixed:80; }
        location ~ ^/a/[0-9]+$ { proxy_pass http://number:80; }
        location ~* ^/A/(x|y)/ { proxy_pass http://letter:80; }
        location /a/x/longest/ { proxy_pass http://longest:80; }
    """)
    expected = {
        "/": "root", "/b": "root", "/a/b": "prefix", "/a/exact": "exact", "/a/exactly": "prefix", "/a/7": "number",
        "/a/7/b": "prefix", "/a/fixed/7": "fixed", "/A/X/z": "letter", "/a/x/longest/1": "letter", "/ab": "root",
    }  # fmt: skip
    assert {url: tried.goes("GET", url).partition(":")[0] for url in expected} == expected


def test_locations_within_locations_are_asked_in_the_order_of_nginx(nginx: Import) -> None:
    """For what the outer one takes, and before it; the longest prefix of the server decides which outer one that is."""
    tried = nginx(r"""
        location /app/ {
            proxy_pass http://app:80;
            location ~ ^/app/(a|b)/ { proxy_pass http://ab:80; }
            location /app/x/ { proxy_pass http://x:80; }
            location = /app/exact { proxy_pass http://exact:80; }
            location ~ ^/other/ { proxy_pass http://never:80; }
            location /app/a/deeper/ { proxy_pass http://never:80; }
        }
        location ~ ^/app/a/ { proxy_pass http://never:80; }
        location /app/b/long/ { proxy_pass http://long:80; }
        location ^~ /fixed/ {
            proxy_pass http://fixed:80;
            location ~ ^/fixed/[0-9]+$ { proxy_pass http://number:80; }
            location /fixed/below/ { proxy_pass http://below:80; }
        }
        location ~ ^/fixed/below/ { proxy_pass http://never:80; }
        location ~ ^/v1/(users|teams)/ {
            limit_req zone=many burst=20;
            proxy_pass http://users:80;
            location ~ ^/v1/users/(login|register) { limit_req zone=few; proxy_pass http://login:80; }
            location /v1/teams/new { proxy_pass http://new:80; }
        }
        location ~ ^/v1/users/ { proxy_pass http://never:80; }
    """, http="limit_req_zone $binary_remote_addr zone=many:1m rate=9r/s; "
              "limit_req_zone $binary_remote_addr zone=few:1m rate=5r/m;")  # fmt: skip
    expected = {
        "/app/q": "app", "/app/a/1": "ab", "/app/a/deeper/1": "ab",
        "/app/x/1": "x", "/app/exact": "exact", "/app/b/long/1": "long",
        "/other/1": "404", "/fixed/q": "fixed", "/fixed/77": "number", "/fixed/below/1": "below",
        "/v1/users/7": "users", "/v1/users/login": "login", "/v1/teams/newest": "new", "/v1/teams/7": "users",
    }  # fmt: skip
    assert {url: tried.goes("GET", url).partition(":")[0] for url in expected} == expected
    limits = yaml.safe_load(tried.imported.files["middleware.yaml"])["rate_limits"]
    assert {name: rule["limits"] for name, rule in limits.items()} == {"many": ["9/s"], "few": ["5/m"]}
    assert "nginx never asks it: nothing of it fits /app/, around it" in tried.report


def test_a_path_without_a_location_has_no_route(nginx: Import) -> None:
    """`/a/*` of ours takes `/a`, which `^/a/` of nginx does not."""
    tried = nginx(r"""
        location ~ ^/a/(b|c)/ { proxy_pass http://b:80; }
        location ^~ /d/ { return 403; }
        location = /e/ { proxy_pass http://e:80; }
        location ~* ^/f/(g|h)/ { proxy_pass http://f:80; }
        location ~ ^/f/(h|i)$ { proxy_pass http://h:80; }
    """)
    paths = ("/f/h/1", "/f/h", "/f/i", "/f/g", "/a/b/1", "/a/b", "/d/1", "/d", "/e/", "/e")
    assert [tried.goes("GET", path) for path in paths] == [
        "f:80/f/h/1", "h:80/f/h", "h:80/f/i", "respond 404", "b:80/a/b/1", "respond 404",
        "respond 403", "respond 404", "e:80/e/", "redirect 301/e/",
    ]  # fmt: skip


def test_an_expression_goes_before_the_beginning_of_a_segment(nginx: Import) -> None:
    """`/a` takes `/api` here by `/a*/*`, which would be closer than an expression without literal text."""
    tried = nginx(r"""
        location /a { proxy_pass http://a:80/z; }
        location ~* ^/api/v1 { proxy_pass http://api:80; }
        location ~ ^/(admin|about)$ { proxy_pass http://two:80; }
        location /b { proxy_pass http://b:80/v/; }
    """)
    expected = {"/api/v1/x": "api:80/api/v1/x", "/API/v1": "api:80/API/v1", "/about": "two:80/about"}
    expected |= {"/apix": "a:80/zpix", "/a": "a:80/z", "/b": "b:80/v/", "/b/x": "b:80/v/x"}
    assert {url: tried.goes("GET", url) for url in expected} == expected


def test_what_is_refused_is_refused_where_an_expression_has_the_same_paths(nginx: Import) -> None:
    """`^/b` takes all that `^~ /b/` does: only the order of the routes tells them apart, whatever else they take."""
    tried = nginx(r"""
        location ~ ^/b { proxy_pass http://b:80; }
        location ^~ /b/ { return 403; }
        location ~ ^/c { proxy_pass http://c:80; }
        location ^~ /c { return 403; }
        location / { proxy_pass http://root:80; location ~ ^/d/e { proxy_pass http://never:80; } }
        location /d/ { return 403; }
    """)
    expected = {"/b/x": "respond 403", "/b": "b", "/bx": "b", "/c/x": "respond 403", "/cx": "respond 403"}
    expected |= {"/d/e": "respond 403", "/d/e/f": "respond 403", "/e": "root"}
    assert {url: tried.goes("GET", url).partition(":")[0] for url in expected} == expected


def test_what_proxy_pass_sends(nginx: Import) -> None:
    """Without a URI the path is sent as it came, with one it takes the place of what the location matched."""
    tried = nginx(r"""
        location /plain/ { proxy_pass http://b:80; }
        location /root/ { proxy_pass http://b:80/; }
        location /deep/ { proxy_pass http://b:80/v1/; }
        location /word { proxy_pass http://b:80/other; }
        location = /one { proxy_pass http://b:80/two; }
        location ~ ^/u/([0-9]+)/pic$ { proxy_pass http://b:80/pic/$1; }
        location /re/ { rewrite ^/re/(.*)$ /new/$1 break; proxy_pass http://b:80; }
        location /opt { rewrite ^/opt/?(.*)$ /$1 break; proxy_pass http://b:80; }
        location /raw { rewrite ^/raw(.*)$ /in$1 break; proxy_pass http://b:80; }
        location ~ /.well-known/ { proxy_pass http://known:80; }
        location /set/ { set $up http://c:80; proxy_pass $up; }
    """)
    expected = {
        "/plain/x": "b:80/plain/x", "/root/x": "b:80/x", "/root/": "b:80/", "/deep/x/y": "b:80/v1/x/y",
        "/word/x": "b:80/other/x", "/words": "b:80/others", "/one": "b:80/two", "/u/7/pic": "b:80/pic/7",
        "/re/x": "b:80/new/x", "/set/x": "c:80/set/x",
        "/opt": "b:80/", "/opt/x": "b:80/x", "/raw/x": "b:80/in/x", "/rawx": "b:80/inx",
        "/.well-known/y": "known:80/.well-known/y", "/root": "redirect 301/root/",
    }  # fmt: skip
    assert {url: tried.goes("GET", url) for url in expected} == expected


def test_clients_are_led_on(nginx: Import) -> None:
    """return and rewrite lead to other paths and hosts, with the path or a part of it, and no other request is
    redirected."""
    tried = nginx(r"""
        rewrite ^/very/old/(.*)$ /new/$1 permanent;
        location / { proxy_pass http://b:80; }
        location /legacy/ { return 302 https://new.test$request_uri; }
        location ~ ^/item/(\d+)$ { return 301 /items/$1; }
        location /go { return 301 $scheme://other.test/x; }
        location /blog/ { rewrite ^/blog/(\d+)$ /posts/$1 redirect; proxy_pass http://blog:80; }
        location /v { proxy_pass http://b:80; }
        location ~ ^/v([0-9]+)/(.*)$ { proxy_pass http://c:80/api/$1/$2; }
    """)
    expected = {
        "/very/old/a/b": "redirect 301/new/a/b", "/legacy/x": "redirect 302 https://new.test/legacy/x",
        "/item/7": "redirect 301/items/7", "/go": "redirect 301 https://other.test/x",
        "/blog/7": "redirect 302/posts/7",
        "/blog/x": "blog:80/blog/x", "/v2/x/y": "c:80/api/2/x/y", "/vx": "b:80/vx", "/item/x": "b:80/item/x",
    }  # fmt: skip
    assert {url: tried.goes("GET", url) for url in expected} == expected


def test_servers_are_chosen_by_host_and_the_first_is_for_the_others(nginx: Import) -> None:
    """A host that no server names goes to the default server, and a named host to its server only."""
    tried = nginx(
        "server_name one.test; location / { proxy_pass http://one:80; }",
        """server { listen 80; server_name two.test *.two.test;
             location /two/ { proxy_pass http://two:80; } }
           server { listen 80; server_name ~^www[0-9]; location / { proxy_pass http://regex:80; } }
           server { listen 80 default_server; server_name _; return 410; }""",
    )
    expected = {
        "http://one.test/x": "one:80/x", "http://two.test/two/x": "two:80/two/x",
        "http://a.two.test/two/": "two:80/two/", "http://two.test/x": "respond 404",
        "http://other.test/": "respond 410",
    }  # fmt: skip
    assert {url: tried.goes("GET", url) for url in expected} == expected


def test_files_are_not_served_by_the_backend_of_another_location(nginx: Import) -> None:
    """A location of files answers 404 where the prefix around it would forward its requests."""
    tried = nginx("""
        location / { proxy_pass http://app:80; }
        location /static/ { alias /var/www/; }
    """)
    assert [tried.goes("GET", url) for url in ("/x", "/static/a.js")] == ["app:80/x", "respond 404"]
    assert "files are not served" in tried.report


def test_who_may_call_by_address_and_password(nginx: Import) -> None:
    """allow and deny become conditions on the address, in their order; passwords in another file close the location."""
    tried = nginx("""
        location /in/ { allow 127.0.0.0/8; deny all; proxy_pass http://b:80; }
        location /out/ { deny 127.0.0.1; allow all; proxy_pass http://b:80; }
        location /both/ { deny 127.0.0.9; allow 127.0.0.0/8; deny all; proxy_pass http://b:80; }
        location /none/ { deny all; }
        location /lua/ { access_by_lua_block { ngx.exit(403) } proxy_pass http://b:80; }
        location /pass/ { auth_basic "x"; auth_basic_user_file /nowhere/htpasswd; proxy_pass http://b:80; }
    """)
    verdicts = [
        str(tried.explain("GET", url)["verdict"]).split()[0] for url in ("/in/", "/out/", "/pass/", "/lua/", "/both/")
    ]
    assert verdicts == ["allowed:", "refused", "refused", "refused", "allowed:"]
    assert tried.goes("GET", "/none/x") == "respond 403"


def test_passwords_of_a_file_that_is_here(nginx: Import, tmp_path: Path) -> None:
    """auth_basic with a file that can be read is a scheme with this htpasswd file."""
    (tmp_path / "users").write_text("bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    tried = nginx(
        f'auth_basic "Staff"; auth_basic_user_file {tmp_path}/users; location / {{ proxy_pass http://b:80; }}'
    )
    authorization = "Basic " + b64encode(b"bob:secret").decode()
    assert "allowed" in tried.explain("GET", "/", authorization=authorization)["verdict"]
    assert "needs a credential" in tried.explain("GET", "/")["verdict"]


def test_auth_request_is_forward_auth(nginx: Import) -> None:
    """The internal location that is asked becomes the scheme's URL, with the headers that are passed on."""
    tried = nginx("""
        location / { auth_request /_auth; auth_request_set $user $upstream_http_x_user;
                     proxy_set_header X-User $user; proxy_pass http://app:80; }
        location = /_auth { internal; proxy_pass http://auth:80/verify; proxy_pass_request_body off; }
    """)
    auth = yaml.safe_load(tried.imported.files["auth.yaml"])
    assert auth["schemes"]["asked"]["forward_auth"] == {"url": "http://auth:80/verify", "response_headers": ["x-user"]}


def test_headers_limits_and_times(nginx: Import) -> None:
    """Headers, limits, sizes and times of any level are those of the routes below, as nginx inherits them."""
    tried = nginx(
        """
        client_max_body_size 20m; add_header X-Frame-Options DENY always; proxy_read_timeout 90;
        location / { proxy_set_header Host $host; proxy_set_header X-Who $remote_addr;
                     proxy_set_header Authorization "Basic c2VjcmV0"; limit_req zone=z burst=5; proxy_pass http://up; }
        """,
        "upstream up { ip_hash; server a:80 weight=2; server b:80 backup; }\n"
        "limit_req_zone $binary_remote_addr zone=z:1m rate=30r/m;",
    )
    routes, middleware = (yaml.safe_load(tried.imported.files[n]) for n in ("routes.yaml", "middleware.yaml"))
    route = routes["routes"][0]
    assert route["timeout"] == {"response_header": "90s", "idle": "90s"}
    assert (route["max_body"], route["preserve_host"]) == ("20MiB", True)
    assert middleware["rate_limits"]["z"] == {"key": ["address"], "limits": ["30/m"], "burst": 6}
    assert [rule for rule in middleware["headers"].values() if "request" in rule] == [
        {"request": {"set": {"X-Who": "{client}", "Authorization": "${HEADER_AUTHORIZATION}"}}}
    ]
    assert routes["services"]["up"]["balance"] == {"consistent_hash": {"client": True}}
    assert "c2VjcmV0" not in tried.report


def test_proxies_in_front_and_agents_that_are_turned_away(nginx: Import) -> None:
    """set_real_ip_from is trusted_proxies, and a condition on the user agent an entry of the blocklist."""
    tried = nginx(
        'if ($http_user_agent ~* "sqlmap|nikto") { return 403; } location / { proxy_pass http://b:80; }',
        "set_real_ip_from 10.0.0.1/8; real_ip_header X-Forwarded-For;",
    )
    assert yaml.safe_load(tried.imported.files["auth.yaml"]) == {"trusted_proxies": ["10.0.0.0/8"]}
    assert "refused by blocklist" in tried.explain("GET", "/", user_agent="sqlmap/1.0")["verdict"]


def test_cors_written_by_hand_is_cors(nginx: Import) -> None:
    """Access-Control headers and the answer to OPTIONS become a rule of `cors`."""
    tried = nginx("""
        location / {
            add_header Access-Control-Allow-Origin https://app.test;
            add_header Access-Control-Allow-Methods "GET, POST";
            if ($request_method = OPTIONS) { return 204; }
            proxy_pass http://b:80;
        }
    """)
    rule = next(iter(yaml.safe_load(tried.imported.files["middleware.yaml"])["cors"].values()))
    assert rule == {"origins": ["https://app.test"], "methods": ["GET", "POST"]}
    assert tried.imported.report.count("unsaid") == 0


def test_what_is_included_is_named_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of included files are in the report with the name of their file."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "site.conf").write_text("server {\n  listen 80;\n  frobnicate on;\n  return 410;\n}\n")
    tried = try_text("nginx.conf", "http {\n  include conf.d/*.conf;\n}\n", tmp_path, monkeypatch)
    assert "| site.conf:3 | http > server > frobnicate | the gateway has no such setting |" in tried.report
    assert tried.goes("GET", "/") == "respond 410"


def test_one_of_the_defaults_of_several_ports_is_for_all_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one without a name; those that have one are distinguished by it, and another without a name is left out."""
    text = """
        server { listen 127.0.0.1:8081; location / { proxy_pass http://inside:80; } }
        server { listen 443 ssl; server_name s.example; location / { proxy_pass http://secure:80; } }
        server { listen 80; server_name _; location / { proxy_pass http://public:80; } }
        server { listen 9000; server_name t.example; location / { proxy_pass http://tools:80; } }
    """
    tried = try_text("nginx.conf", text, tmp_path, monkeypatch)
    expected = {"x.example": "public", "s.example": "secure", "t.example": "tools"}
    assert {host: tried.goes("GET", f"http://{host}/").partition(":")[0] for host in expected} == expected
    assert (
        "| 2 | server | no host distinguishes it from the server of line 4, and ports do not count: give it a"
        in tried.report
    )


def test_a_server_that_takes_every_path_needs_no_last_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A route that is never reached is not written, so that a check warns of none; other servers keep theirs."""
    text = """
        server { listen 80 default_server; server_name _; location / { proxy_pass http://public:80; } }
        server { listen 80; server_name all.example; location / { proxy_pass http://all:80; } }
        server { listen 80; server_name some.example; location /api/ { proxy_pass http://some:80; } }
    """
    tried = try_text("nginx.conf", text, tmp_path, monkeypatch)
    assert [problem.message for problem in check(tried.directory, {}) if "never reached" in problem.message] == []
    assert tried.imported.report.count("unsaid") == 0
    assert tried.goes("GET", "http://all.example/other") == "all:80/other"
    assert tried.goes("GET", "http://some.example/other") == "respond 404"


def test_locations_two_deep_are_asked_as_nginx_asks_them(nginx: Import) -> None:
    """Expressions count where they stand, also within `^~`, and an exact location takes nothing but its own path."""
    tried = nginx("""
        location ^~ /a/ {
            proxy_pass http://outer:80;
            location /a/b/ { return 403; }
            location ~ ^/a/b/c { proxy_pass http://expression:80; }
        }
        location / {
            return 403;
            location /d/ { proxy_pass http://inner:80; }
        }
        location = /d/ { return 410; }
        location /e/ { return 403; location = /e/ { proxy_pass http://exact:80; } }
    """)
    expected = {
        "/a/b/c/d": "expression:80/a/b/c/d", "/a/b/x": "respond 403", "/a/x": "outer:80/a/x",
        "/d/x": "inner:80/d/x", "/d": "redirect 301/d/", "/d/": "respond 410", "/x": "respond 403",
        "/e/": "exact:80/e/", "/e": "respond 403",
    }  # fmt: skip
    assert {url: tried.goes("GET", url) for url in expected} == expected


def test_expressions_at_one_place_are_asked_in_the_order_of_the_file(nginx: Import) -> None:
    """Also where one is a part of the other, both are infinite, or a prefix stands between them."""
    tried = nginx(r"""
        location ~* ^/a/b { proxy_pass http://one:80; }
        location ~ ^/(a|b)/ { proxy_pass http://two:80; }
        location ~* ^/a/ { proxy_pass http://three:80; }
        location ~ ^/v[0-9]+/ { proxy_pass http://number:80; }
        location ~* ^/v1[^/]*/x { return 403; }
        location ^~ /w/v1/ { proxy_pass http://final:80; }
        location /w/v1 { proxy_pass http://prefix:80; }
        location ~* ^/w/v[0-9]+/ { return 403; }
        location ~* ^/n/v1 { proxy_pass http://begun:80; }
        location ~ ^/n/.+$ { proxy_pass http://below:80; }
        location ^~ /n/v1/ { proxy_pass http://exact:80; }
    """)
    expected = {
        "/a/b/x": "one:80/a/b/x", "/a/c": "two:80/a/c", "/A/c": "three:80/A/c", "/v12/x": "number:80/v12/x",
        "/v1a/x": "respond 403", "/w/v1/x": "final:80/w/v1/x", "/w/v12/x": "respond 403", "/w/v1x": "prefix:80/w/v1x",
        "/n/x": "below:80/n/x", "/n/v1x": "begun:80/n/v1x", "/n/v1/x": "exact:80/n/v1/x",
        "/n/": "respond 404",
    }  # fmt: skip
    assert {url: tried.goes("GET", url) for url in expected} == expected


def test_upper_and_lower_case_differ_where_the_original_distinguishes_them(nginx: Import) -> None:
    """`~* ^/a/b/` takes `/A/b/` and not `/A/b`, and `/a` takes `/a/b`."""
    tried = nginx("""
        location /a { proxy_pass http://prefix:80; }
        location ~* ^/a/(b|c)/ { proxy_pass http://expression:80; }
    """)
    expected = {
        "/A/b/": "expression:80/A/b/", "/A/b": "respond 404", "/a/b": "prefix:80/a/b", "/a/b/": "expression:80/a/b/"
    }  # fmt: skip
    assert {url: tried.goes("GET", url) for url in expected} == expected


def test_an_expression_that_guards_anywhere_closes_what_comes_after_it(nginx: Import) -> None:
    """Where only users may have what ends in .png, no other location gives it to everybody."""
    tried = nginx(r"""
        location ~ \.png$ { auth_basic "x"; auth_basic_user_file /nowhere; proxy_pass http://pictures:80; }
        location /a/ { proxy_pass http://a:80; }
    """)
    verdicts = [str(tried.explain("GET", url)["verdict"]) for url in ("/a/x.png", "/a/x.txt")]
    assert verdicts[0].startswith("refused")
    assert verdicts[1].startswith("allowed")
    assert "what fits it is refused by route a" in tried.report
