"""`gateway test`: requests in a file, held against the configuration."""

from __future__ import annotations

import json
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests.cli.support import gateway

ROUTES = """\
routes:
- {path: "/dogs/{id}", id: dogs, target: "dogs:80", rewrite: "/d/{id}"}
- path: /cats
  id: cats
  target: cats
  methods: [POST]
  max_body: 4
  split: [{when: {header: {x-beta: "1"}}, target: new}]
- {path: /old/*, id: old, redirect: /new/$1}
- {path: /gone, id: gone, respond: 410}
- {path: /keyed, id: keyed, target: "https://keyed.test", auth: [keys]}
- {path: /outside, id: outside, target: cats, auth: [outside]}
- {path: /policy, id: policy, target: cats}
services:
  cats: {endpoints: ["cats:8080"]}
  new: {endpoints: ["new:8080"]}
"""
AUTH = f"""\
schemes:
  keys: {{api_key: {{header: X-API-Key}}}}
  outside: {{forward_auth: {{url: "http://127.0.0.1:9/"}}}}
consumers: [{{name: acme, keys: [{{hash: "sha256:{sha256(b"secret").hexdigest()}"}}]}}]
"""
MIDDLEWARE = """\
rate_limits: {few: {key: [address], limits: [1/h], store: redis}}
quotas: {monthly: {key: [address], limit: 1, window: month}}
redis: {url: "redis://127.0.0.1:9"}
audit_log: {file: audit.log, on_failure: closed}
headers: {all: {request: {set: {X-Set: "yes"}, remove: [X-Gone]}}}
policies: {mine: {class: "tests.testing.policies:Mine", routes: [policy]}}
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tested")
    for name, text in (("routes", ROUTES), ("auth", AUTH), ("middleware", MIDDLEWARE)):
        (path / f"{name}.yaml").write_text(text)
    return path


def _run(directory: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "tests.yaml").write_text(text)
    return gateway("test", str(directory / "tests.yaml"), *arguments, config=directory)


def test_a_request_that_goes_where_it_should(directory: Path) -> None:
    """The shortest form passes with exit code 0."""
    ended = _run(directory, "tests: [{request: GET /dogs/7, expect: {route: dogs, path: /d/7}}]\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1 test, all as expected\n", "")


@pytest.mark.parametrize(
    "case",
    [
        "{request: 'GET /dogs/7?x=1', expect: {path: '/d/7?x=1', target: 'dogs:80', consumer: null, status: null}}",
        "{request: GET http://any.test/dogs/a%20b, expect: {path: /d/a%20b, refused_by: null}}",
        "{request: {path: /keyed, headers: {X-API-Key: secret}}, expect: {consumer: acme, status: null}}",
        "{request: {path: /keyed, headers: {X-API-Key: '${KEY:-secret}'}}, expect: {consumer: acme}}",
        "{request: {path: /keyed, headers: {X-API-Key: secret, X-Gone: a, X-Own: b}},"
        " expect: {headers: {X-Consumer-Name: acme, X-API-Key: null, x-gone: null, X-Own: b}}}",
        "{request: {path: /keyed, headers: {X-API-Key: secret}}, expect: {headers: {X-Set: 'yes', Host: keyed.test}}}",
        "{request: GET /keyed, expect: {status: 401, refused_by: authentication, route: keyed, target: null}}",
        "{request: {path: /keyed, headers: {X-API-Key: no}}, expect: {refused_by: 'authentication:keys'}}",
        "{request: {path: /keyed, headers: {X-API-Key: no}}, expect: {refused_by: keys}}",
        "{request: {path: /dogs/1, client: 203.0.113.9}, expect: {headers: {X-Forwarded-For: 203.0.113.9}}}",
        "{request: GET /old/a?b=c, expect: {status: 307, redirect: /new/a?b=c, target: null}}",
        "{request: GET /gone, expect: {status: 410, refused_by: null}}",
        "{request: GET /none, expect: {status: 404, route: null, refused_by: no-route}}",
        "{request: GET /cats, expect: {status: 405}}",
        "{request: GET /health/ready, expect: {status: 200, route: null}}",
        "{request: {method: POST, path: /cats, body: long}, expect: {target: cats, headers: {Content-Length: '4'}}}",
        "{request: {method: POST, path: /cats, body: longer}, expect: {status: 413, refused_by: body-too-large}}",
        "{request: {method: POST, path: /cats, headers: {X-Beta: '1'}}, expect: {target: new}}",
        "{request: GET /outside, expect: {status: 503, refused_by: authentication}}",
        "{request: GET /policy, expect: {status: 418, refused_by: policy}}",
        "{request: {path: /policy, headers: {x-started: 'yes'}}, expect: {target: cats}}",
    ],
)
def test_what_can_be_expected(directory: Path, case: str) -> None:
    """Routes, paths, callers, refusals and headers are those that a served request would have; nothing outside is
    asked, and nothing need be there."""
    ended = _run(directory, f"tests:\n- {case}\n")
    assert (ended.returncode, ended.stdout) == (0, "1 test, all as expected\n"), ended.stderr


def test_each_test_begins_with_nothing_counted(directory: Path) -> None:
    """Limits and quotas never refuse because of the tests before."""
    ended = _run(directory, "tests:\n" + "- {request: GET /dogs/7, expect: {route: dogs}}\n" * 3)
    assert ended.stdout == "3 tests, all as expected\n"


def test_a_failure_is_a_difference_with_its_reason(directory: Path) -> None:
    """Place, what was expected and what is, and why it went elsewhere; secrets that came from outside are not shown."""
    text = """\
tests:
- request: GET /dogs/7
  expect: {route: dogs}
- name: cats get theirs
  request: {path: /dogs/7, headers: {X-Own: mine}}
  expect: {route: cats, path: /d/8, target: dogs:80, headers: {X-Own: theirs}}
"""
    ended = _run(directory, text)
    file = directory / "tests.yaml"
    assert ended.stdout.splitlines() == [
        f"FAILED {file}:4:3: cats get theirs",
        "  - route: cats",
        "  + route: dogs",
        "    target: dogs:80",
        "  - path: /d/8",
        "  + path: /d/7",
        "  - headers.x-own: theirs",
        "  + headers.x-own: mine",
        '  (route "dogs": the path fits /dogs/{id}, the most specific that does)',
        '  (not route "cats" (/cats): path differs at segment 1: "dogs" is not "cats")',
        "",
        "2 tests, 1 failed (- expected, + got)",
    ]
    assert ended.returncode == 1
    data = json.loads(_run(directory, text, "--json").stdout)
    assert (data["ok"], data["tests"], data["failed"]) == (False, 2, 1)
    failed = data["results"][1]
    assert (failed["name"], failed["line"], failed["different"]) == (
        "cats get theirs",
        4,
        ["route", "path", "headers.x-own"],
    )
    assert failed["got"]["path"] == "/d/7"


def test_a_refusal_is_reported_with_its_reason(directory: Path) -> None:
    """The diff shows which rule refused it."""
    ended = _run(directory, "tests: [{request: GET /keyed, expect: {target: 'https://keyed.test'}}]")
    assert "  + target: null\n  (refused: the route needs a credential" in ended.stdout
    ended = _run(directory, "tests: [{request: GET /dogs/1, expect: {status: 200}}]")
    assert "  (it is forwarded to dogs:80: the status is for the backend to say" in ended.stdout
    ended = _run(directory, "tests: [{request: GET /none, expect: {route: nonesuch}}]")
    assert 'there is no route "nonesuch"' in ended.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tests:\n- request: GET\n  expect: {route: a}\n", ":2:3: tests[0].request: expected a method and a path"),
        (
            "tests: [{request: GET /, expect: {rout: a}}]",
            ':1:35: tests[0].expect.rout: unknown key; did you mean "route"?',
        ),
        ("tests: [{request: GET /}]", ':1:9: tests[0]: the key "expect" is missing'),
        ("tests: [{request: GET /, expect: {}}]", "nothing is expected; name at least one of route"),
        ("tests: [{request: {path: x}, expect: {route: a}}]", "expected a path that begins with /, or a URL"),
        ("tests: [{request: {path: /, client: me}, expect: {route: a}}]", "expected an IP address"),
        ("tests: [{request: GET /, expect: {status: 200 OK}}]", 'expected a whole number (got "200 OK")'),
        ("tests: [{request: GET /, expect: {status: 99}}]", "expected a number of at least 100"),
        ("tests: []", "at least one"),
        ("tests: [5]", ":1:9: tests[0]: expected keys, such as name, request, expect"),
        ("tests: [{request: 5, expect: {route: a}}]", ":1:10: tests[0].request: expected keys, such as method"),
        ("tests: [{request: GET /, expect: [a]}]", ":1:26: tests[0].expect: expected keys, such as route"),
        ("5", "a file of tests begins with tests:"),
        ("- request: GET /\n", "a file of tests begins with tests:"),
        ("", "a file of tests begins with tests:"),
        ("tests: [", "close the bracket"),
        ("tests: [{request: 'GET ${NO_SUCH_VARIABLE}', expect: {route: a}}]", "NO_SUCH_VARIABLE"),
    ],
)
def test_a_wrong_file_is_reported_with_its_place(directory: Path, text: str, said: str) -> None:
    """File, line, column, and what to do; exit code 1, and no test is run."""
    ended = _run(directory, text)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"error: {directory / 'tests.yaml'}")
    assert said in ended.stderr


def test_several_files_are_run_together(directory: Path) -> None:
    """Errors of all of them are reported at once; a file that is not there is a matter of usage."""
    (directory / "one.yaml").write_text("tests: [{request: GET /none, expect: {status: 404}}]")
    (directory / "two.yaml").write_text("tests: [{request: GET /gone, expect: {status: 410}}]")
    files = [str(directory / name) for name in ("one.yaml", "two.yaml")]
    assert gateway("test", *files, config=directory).stdout == "2 tests, all as expected\n"
    (directory / "one.yaml").write_text("tests: 1")
    (directory / "two.yaml").write_text("test: 1")
    ended = gateway("test", *files, config=directory)
    assert (ended.returncode, files[0] in ended.stderr) == (1, True)
    assert files[1] in ended.stderr
    assert gateway("test", str(directory / "three.yaml"), config=directory).returncode == 2


def test_a_wrong_configuration_is_reported(tmp_path: Path) -> None:
    """As `gateway check` tells it, with exit code 1."""
    (tmp_path / "routes.yaml").write_text("routes: [{path: x, target: 'y:80'}]")
    ended = _run(tmp_path, "tests: [{request: GET /, expect: {status: 404}}]")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "error: routes.yaml:1:11: routes[0].path" in ended.stderr


def test_requests_to_models_and_mcp_servers_are_not_sent(tmp_path: Path) -> None:
    """Requests that lead to models or MCP servers are expected by these targets."""
    (tmp_path / "models.yaml").write_text(
        "providers: {p: {protocol: openai, base_url: 'http://127.0.0.1:1', keys: k}}\n"
        "mcp: {tools: {servers: [{name: files, url: 'http://127.0.0.1:1/mcp'}]}}\n"
    )
    (tmp_path / "routes.yaml").write_text("- {path: /cats, target: 'cats:1'}\n")
    (tmp_path / "auth.yaml").write_text(f"default: [keys]\n{AUTH}")
    key = "headers: {X-API-Key: secret}"
    cases = [
        f"{{request: {{method: POST, path: /mcp, {key}}}, expect: {{target: mcp, route: mcp, consumer: acme}}}}",
        f"{{request: {{method: POST, path: /v1/messages, {key}}}, expect: {{target: models, route: models}}}}",
        "{request: POST /mcp, expect: {status: 401}}",
    ]
    ended = _run(tmp_path, "tests:\n" + "".join(f"- {case}\n" for case in cases))
    assert (ended.returncode, ended.stdout) == (0, "3 tests, all as expected\n"), ended.stderr
