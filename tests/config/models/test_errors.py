"""Errors are reported all at once, in words, each with its place."""

import re

from gateway.config.models import FILES, AuthFile, RouteConfig
from gateway.config.problems import Problem, format_path
from tests.config.support import ROUTE, errors, parsed

WRONG = """\
base_path: /api/
trusted_proxies: []
services:
  user-api:
    endpoints: [a:1, {addres: "b:2"}, 5]
    protocol: tcp
    host: x
routes:
- path: v1
  targt: a
  headers: {x-version: 2}
  timeout: 5x
- path: /v1/{a}/*
  target: user-apo
  rewrite: /x/$3
  timeout: {conect: 5s}
  target: again
- foo
"""


def test_every_error_of_all_files_is_reported_at_once() -> None:
    """One look is enough to put a configuration right."""
    found = errors(WRONG, middleware="limit: 5\nwebsocket: 5\n", auth="- 10.0.0.1/8\n")
    assert found == [
        'routes.yaml:1:1: base_path: a base path begins with "/", does not end with "/", and has no wildcards: /api;'
        ' write /api (got "/api/")',
        "routes.yaml:2:1: trusted_proxies: unknown key here; it belongs in auth.yaml, as trusted_proxies",
        'routes.yaml:5:22: services.user-api.endpoints[1]: the key "address" is missing; add it, such as'
        " address: 10.0.0.1:8080",
        'routes.yaml:5:23: services.user-api.endpoints[1].addres: unknown key, did you mean "address"?',
        "routes.yaml:5:39: services.user-api.endpoints[2]: expected a text; put it in quotes (got 5)",
        'routes.yaml:6:5: services.user-api.protocol: expected "http" or "https" (got "tcp")',
        "routes.yaml:7:5: services.user-api.host: unknown key; it is a word of Kong, which is here: "
        "endpoints: [host:port]",
        'routes.yaml:9:3: routes[0].path: a path starts with "/"; write /v1 (got "v1")',
        'routes.yaml:9:3: routes[0]: the key "target" is missing; add it, such as target: users:8080,'
        " redirect: /v2/$1 or respond: 410",
        'routes.yaml:10:3: routes[0].targt: unknown key, did you mean "target"?',
        "routes.yaml:11:13: routes[0].headers.x-version: expected a text; put it in quotes (got 2)",
        "routes.yaml:12:3: routes[0].timeout: expected a duration such as 250ms, 5s, 1m, 1h or 1d, or a number of "
        'seconds (got "5x")',
        "routes.yaml:14:3: routes[1].target: services has no entry of this name; define it, or write host:port;"
        ' did you mean "user-api"? (got "user-apo")',
        "routes.yaml:15:3: routes[1].rewrite: the rewrite refers to a capture that the path does not have;"
        ' the path has only $1 to $2, no $3 (got "/x/$3")',
        'routes.yaml:16:13: routes[1].timeout.conect: unknown key, did you mean "connect"?',
        'routes.yaml:17:3: routes[1].target: the key "target" is duplicated, first on line 14; remove one of them',
        'routes.yaml:18:3: routes[2]: expected "key: value" lines with keys such as id, path, paths, host, methods'
        ' (got "foo")',
        'middleware.yaml:1:1: limit: unknown key, did you mean "limits"?',
        'middleware.yaml:2:1: websocket: expected "key: value" lines with the keys max_message, ping_interval (got 5)',
        "auth.yaml:1:1: routes: unknown key here; it belongs in routes.yaml, as routes",
    ]


def test_the_error_for_a_key_of_another_file_names_its_place() -> None:
    """So is one of another level."""
    assert errors(middleware="stall: 5s\n") == [
        "middleware.yaml:1:1: stall: unknown key here; it belongs in middleware.yaml, as limits.stall"
    ]
    assert errors(auth="accept_rewritten: true\n")[0].endswith("it belongs in routes.yaml, as accept_rewritten")


def test_the_error_for_an_unknown_key_lists_the_known_ones() -> None:
    """The reader sees the choice."""
    known = ", ".join(AuthFile.model_fields)
    assert errors(auth="zzz: 1\n") == [f"auth.yaml:1:1: zzz: unknown key; remove it. Known here: {known}"]


def test_letter_case_and_hyphens_are_no_obstacle_to_a_suggestion() -> None:
    """`Base-Path` was meant as base_path."""
    assert errors(f"Base-Path: /api\nroutes:\n{ROUTE}")[0].endswith('unknown key, did you mean "base_path"?')


def test_a_syntax_error_in_one_file_hides_no_error_of_another() -> None:
    """The other files are read all the same."""
    found = errors("a: [", middleware="b: [", auth="zzz: 1\n", models="yyy: 1\n")
    assert [line.split(":")[0] for line in found] == list(FILES)


def test_a_number_where_a_text_is_wanted_is_shown_as_it_was_written() -> None:
    """A version 1.10 is not shown as 1.1."""
    assert errors(f"{ROUTE}  headers: {{v: 1.10}}\n")[0].endswith("expected a text; put it in quotes (got 1.10)")


def test_the_error_for_a_quoted_number_says_to_remove_the_quotes() -> None:
    """Quotes make a text."""
    (line,) = errors(middleware='limits: {headers: "5"}\n')
    assert line.endswith('expected a whole number; write it without quotes, on a line of its own (got "5")')


def test_errors_name_the_bounds() -> None:
    """The error for a value out of range names the bound."""
    found = errors(middleware="limits: {headers: 0, connections: 99999999}\n")
    assert found[0].endswith("expected a number of at least 1 (got 0)")
    assert found[1].endswith("expected a number of at most 10000000 (got 99999999)")


def test_long_and_unprintable_values_are_shown_short_and_escaped() -> None:
    """A message is always one line that a terminal can show."""
    (line,) = errors(f'{ROUTE}  strip_prefix: "x\\e[31m\\n{"y" * 500}"\n')
    assert len(line) < 250
    assert line.isprintable()


def test_nothing_of_the_library_underneath_shows() -> None:
    """No jargon, no links, no codes: all the values of the wrong type, for every key."""
    keys = list(RouteConfig.model_fields)
    for value in ("5", "true", "[]", "[[]]", "{}", "{a: b}", "~", "1.5", "x y"):
        text = "".join(f"- {key}: {value}\n" for key in keys) + "- 1\n- ~\n- []\n"
        found = errors(
            f"base_path: {value}\naccept_rewritten: {value}\nservices: {{a: {value}, b: {{endpoints: {value}}}}}\n"
            f"routes:\n{text}",
            middleware=f"limits: {value}\naccess_log: {{format: {value}}}\ndrain: {{window: {value}}}\n",
            auth=f"trusted_proxies: {value}\n",
        )
        assert len(found) == len(set(found))
        for line in found:
            assert re.match(r"[a-z]+\.yaml:[0-9]+:[0-9]+: ", line)
            assert not re.search(
                r"Input|(?<!re)valid|pydantic|https?://e|\[type|(?<!content)_type|Extra|Field|instance|dictionary", line
            )
            assert "the key does not take this value" not in line


def test_a_path_is_written_as_people_write_it() -> None:
    """Odd keys are in quotes."""
    assert format_path(("routes", 1, "timeout", "connect")) == "routes[1].timeout.connect"
    assert format_path(("services", "a.b", "endpoints", 0)) == 'services["a.b"].endpoints[0]'


def test_a_problem_of_a_whole_file_has_no_line() -> None:
    """There is none to look at."""
    assert str(Problem("auth.yaml", 0, 0, "", "no")) == "auth.yaml: no"
    assert str(Problem("auth.yaml", 2, 3, "x", "no", "warning")) == "auth.yaml:2:3: x: no"


def test_a_right_configuration_has_no_errors() -> None:
    """There are no false errors."""
    assert parsed(ROUTE).routes.routes


def test_a_misplaced_key_is_sent_only_where_it_could_be_meant() -> None:
    """A key of the same name elsewhere is named where its value fits there, and it is of the same group of the file or
    a whole section; otherwise the keys are that are known here."""
    service = "services: {s: {endpoints: ['a:1'], protocol: https, tls: {%s}}}\nroutes:\n" + ROUTE

    def said(routes: str) -> str:
        (line,) = errors(routes)
        return line.partition("unknown key")[2]

    assert said(service % "ca: ca.pem, key: c.key") == ', did you mean "key_file"?'
    assert said(service % "ca: ca.pem, cert: c.pem") == ', did you mean "certificate_file"?'
    assert said(service % "pattern: x").startswith("; remove it. Known here: ca, server_name, verify")
    assert said(f"routes:\n{ROUTE}  breaker: {{errors: 50%}}\n").startswith(
        "; remove it. Known here: profile, error_ratio"
    )
    assert said(f"routes:\n{ROUTE}  timeout: {{key: x}}\n").startswith("; remove it. Known here: connect")
    assert (
        said(f"routes:\n{ROUTE}  timeout: {{max_body: 5MiB}}\n")
        == " here; it belongs in routes.yaml, as routes[].max_body"
    )
    assert said(f"routes:\n{ROUTE}  trusted_proxies: [10.0.0.0/8]\n") == (
        " here; it belongs in auth.yaml, as trusted_proxies"
    )
    assert said(f"routes:\n{ROUTE}  drain: {{deadline: 5s}}\n") == " here; it belongs in middleware.yaml, as drain"
    assert "drain" not in said(f"routes:\n{ROUTE}  drain: {{paths: [a]}}\n").partition("Known")[0]
