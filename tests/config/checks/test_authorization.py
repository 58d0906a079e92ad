"""`gateway check` warns of routes that every client may call, and of requirements that no caller can meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.check import check
from tests.auth.support import key_hash

KEY = "a-key-that-nobody-would-ever-guess"
AUTH = f"""
schemes:
  keys: {{api_key: {{query: api_key, header: X-API-Key}}}}
  ask: {{forward_auth: {{url: "http://127.0.0.1:9/verify"}}}}
  login: {{jwt: {{issuers: [{{issuer: i, audiences: [a], algorithms: [HS256], secret: "${{SECRET:-{"s" * 40}}}"}}]}}}}
consumers:
- name: acme
  tenant: acme-corp
  groups: [gold]
  scopes: ["orders:read"]
  keys: ["{key_hash(KEY)}"]
"""


def configured(directory: Path, routes: str, auth: str = AUTH) -> Path:
    """A configuration directory."""
    (directory / "routes.yaml").write_text(routes)
    (directory / "auth.yaml").write_text(auth)
    return directory


def warnings(directory: Path, routes: str, auth: str = AUTH) -> list[str]:
    """The warnings about these files."""
    return [str(problem) for problem in check(configured(directory, routes, auth), {})]


def test_the_route_that_nothing_protects_is_found(tmp_path: Path) -> None:
    """A route that was forgotten is reported; one that is open on purpose is not, nor one with a list of addresses."""
    routes = "- path: /a\n  target: 127.0.0.1:9\n- path: /b\n  target: 127.0.0.1:9\n  auth: []\n"
    (found,) = warnings(tmp_path, routes)
    assert found.startswith('routes.yaml:1:3: routes[0]: nothing protects the route "a"')
    (tmp_path / "middleware.yaml").write_text("ip_allow: {office: {networks: [10.0.0.0/8]}}\n")
    assert warnings(tmp_path, routes) == []


def test_without_any_scheme_nothing_is_said(tmp_path: Path) -> None:
    """Without any authentication there is no warning for each route."""
    assert warnings(tmp_path, "- path: /a\n  target: 127.0.0.1:9\n", "") == []


def test_what_no_consumer_has_is_found(tmp_path: Path) -> None:
    """A scope, group, tenant or consumer that no caller of the route can have is reported with the likely name."""
    entry = '{scopes: ["orders:raed"], groups: [gold, god], tenants: [acme], consumers: [acme]}'
    route = f"- path: /a\n  target: 127.0.0.1:9\n  auth: [keys]\n  authorize: [{entry}]\n"
    assert [line.split(": ", 2)[2] for line in warnings(tmp_path, route)] == [
        'no consumer has the scope "orders:raed"; did you mean "orders:read"?',
        'no consumer has the group "god"; did you mean "gold"?',
        'no consumer has the tenant "acme"; did you mean "acme-corp"?',
    ]


def test_what_a_token_may_bring_gives_no_warning(tmp_path: Path) -> None:
    """Scopes and consumers of tokens are known to their issuer only; groups are, where a claim is named for them."""
    entry = "{scopes: [any], consumers: [somebody]}"
    route = f"- path: /a\n  target: 127.0.0.1:9\n  auth: [login, keys]\n  authorize: [{entry}, {{groups: [any]}}]\n"
    assert ["group" in line for line in warnings(tmp_path, route)] == [True]


@pytest.mark.parametrize(
    "scheme", ["{basic: {htpasswd: users}}", "{basic: {directory: .}}", "{api_key: {directory: .}}"]
)
def test_consumers_of_mounted_files_give_no_warning(tmp_path: Path, scheme: str) -> None:
    """Their names are in files that change while the gateway runs."""
    (tmp_path / "users").write_text("ada:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")
    route = "- path: /a\n  target: 127.0.0.1:9\n  auth: [mounted]\n  authorize: [{consumers: [ada]}]\n"
    header = scheme.replace("api_key: {", "api_key: {header: x-api-key, ")
    assert [line for line in warnings(tmp_path, route, f"schemes: {{mounted: {header}}}\n") if "consumer" in line] == []


def test_a_rule_for_callers_of_an_open_route_is_found(tmp_path: Path) -> None:
    """Where no scheme is accepted, no caller can be known."""
    route = "- path: /a\n  target: 127.0.0.1:9\n  auth: []\n  authorize: [{when: 'tenant == \"a\"'}]\n"
    assert ["no request can pass" in line for line in warnings(tmp_path, route)] == [True]


def test_a_scheme_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A misspelt scheme never opens a route."""
    (found,) = check(configured(tmp_path, "- path: /a\n  target: 127.0.0.1:9\n  auth: [kyes]\n"), {})
    assert found.severity == "error"
    assert 'did you mean "keys"?' in str(found)


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("authorize: [{scopes: ['orders:read'], methods: [POST]}]", "no entry says anything of other methods"),
        (
            "methods: [GET, POST], authorize: [{scopes: ['orders:read'], methods: [POST]}]",
            "of GET, HEAD: every authenticated",
        ),
        ("methods: [GET, POST], authorize: [{when: 'true', methods: [GET]}, {when: 'true', methods: [POST]}]", None),
        ("authorize: [{scopes: ['orders:read'], methods: [POST]}, {when: 'true'}]", None),
        ("methods: [POST], authorize: [{scopes: ['orders:read'], methods: [POST, PUT]}]", None),
    ],
)
def test_methods_without_an_entry_are_reported(tmp_path: Path, route: str, expected: str | None) -> None:
    """An entry for POST does not keep GET out, although it may look so."""
    (tmp_path / "auth.yaml").write_text(AUTH)
    (tmp_path / "routes.yaml").write_text(f"- {{id: a, path: /a, target: '127.0.0.1:9', auth: [keys], {route}}}\n")
    problems = [str(problem) for problem in check(tmp_path, {})]
    assert len(problems) == (expected is not None)
    assert expected is None or expected in problems[0]


def test_routes_that_an_import_left_closed(tmp_path: Path) -> None:
    """One warning names all of them, and where it is said what is missing; none of those that only watch."""
    closed = """authorize: [{when: 'method == "NOT-YET-TRANSLATED"'}]"""
    routes = f"routes:\n- {{id: first, path: /a, target: 'a:1', auth: [keys], {closed}}}\n"
    routes += "".join(f"- {{id: r{n}, path: /r{n}, target: 'a:1', auth: [], {closed}}}\n" for n in range(25))
    watched = closed.replace("'}", "', mode: shadow}")
    routes += f"- {{id: watched, path: /w, target: 'a:1', auth: [], {watched}}}\n"
    (line,) = [line for line in warnings(tmp_path, routes) if "refuse every request" in line]
    assert line.startswith("routes.yaml:2:")
    assert "26 routes of gateway import or gateway init without access rules, which refuse every request: " in line
    assert ": first, r0, r1, " in line
    assert " r18 and 6 more; " in line
    assert "import-report.md" in line
