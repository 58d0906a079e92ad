import os
from pathlib import Path

import pytest

from tests.config.support import ROUTE, errors, parsed, route, route_errors


def test_a_variable_is_replaced_in_a_value() -> None:
    """${NAME} is the environment variable, also inside of a text."""
    assert route("target: ${HOST}:80", HOST="users").target == "users:80"


@pytest.mark.parametrize(("environment", "target"), [({}, "a:1"), ({"T": ""}, "a:1"), ({"T": "b:2"}, "b:2")])
def test_a_default_stands_in_for_a_variable_that_is_unset_or_empty(environment: dict[str, str], target: str) -> None:
    """${NAME:-default} is as in a shell."""
    assert route("target: ${T:-a:1}", **environment).target == target


def test_a_variable_that_is_not_set_is_an_error_at_its_place() -> None:
    """The message names the variable, and is the only one about this value."""
    assert errors(f"{ROUTE}  max_body: ${{SIZE}}\n") == [
        "routes.yaml:3:3: routes[0].max_body: the environment variable SIZE is not set;"
        " set it, or write ${SIZE:-default}"
    ]


def test_captures_of_a_rewrite_are_left_alone() -> None:
    """$1 is not an expansion."""
    assert route("rewrite: /api/$1").rewrite == "/api/$1"


def test_two_dollars_stand_for_the_characters_themselves() -> None:
    """$${X} is the text ${X}, whatever X is."""
    assert route("headers: {x: '$${X}'}").headers["x"].exact == "${X}"


def test_a_whole_value_may_be_a_number_or_a_boolean() -> None:
    """A plain ${NAME} is read as YAML reads what the variable holds."""
    found = route("preserve_host: ${KEEP}\nmax_body: ${SIZE}", KEEP="true", SIZE="4096")
    assert (found.preserve_host, found.max_body) == (True, 4096)


def test_a_quoted_expansion_stays_a_text() -> None:
    """Quotes decide here, too."""
    assert route('headers: {x: "${V}"}', V="2").headers["x"].exact == "2"


def test_a_variable_that_is_empty_never_removes_a_condition() -> None:
    """`host: ${HOST}` with an empty HOST is an error and not a route for every host."""
    assert len(route_errors("host: ${HOST}", HOST="")) == 1


def test_what_a_variable_holds_cannot_change_the_structure() -> None:
    """Line ends and colons from outside stay within their value."""
    value = "x\n  preserve_host: true"
    assert len(route_errors("headers:\n    x: ${V}", V=value)) == 1


def test_keys_are_not_expanded() -> None:
    """Only values are."""
    assert list(route("query: {'${V}': x}", V="secret").query) == ["${V}"]


def test_a_file_gives_its_content_without_the_last_newline(tmp_path: Path) -> None:
    """${file:path} is relative to the configuration directory."""
    (tmp_path / "host").write_bytes(b"users\r\n")
    found = parsed("- path: /x\n  target: ${file:host}:80\n", base=tmp_path)
    assert found.routes.routes[0].target == "users:80"


def test_a_file_may_be_anywhere(tmp_path: Path) -> None:
    """An absolute path is taken as it is."""
    (tmp_path / "host").write_text("users")
    assert parsed(f"- path: /x\n  target: ${{file:{tmp_path}/host}}:80\n").routes.routes[0].target == "users:80"


def test_files_that_cannot_be_used_are_reported_with_the_reason(tmp_path: Path) -> None:
    """Missing, too large, binary, directories and pipes: each is an error that names the file, and nothing hangs."""
    (tmp_path / "large").write_bytes(b"x" * (64 * 1024 + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    names = ["missing", "large", "binary", "folder", "pipe", "a\\0b"]
    found = errors("".join(f'- path: "/${{file:{name}}}"\n  target: a:1\n' for name in names), base=tmp_path)
    reasons = [line.split("cannot be used: ")[1].split(";")[0] for line in found]
    assert reasons == [
        "No such file or directory",
        "it is larger than 64 KiB",
        "it is not UTF-8",
        "it is not a regular file",
        "it is not a regular file",
        "embedded null byte",
    ]
    assert [line.rpartition("; ")[2] for line in found[:3]] == [
        "create it, or correct the path",
        "correct it, or the path",
        "write text into it, or correct the path",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${1}", '"${1}" is not ${NAME}, ${NAME:-default} or ${file:path}'),
        ("${}", '"${}" is not ${NAME}'),
        ("${a-b}", '"${a-b}" is not ${NAME}'),
        ("${a", '"${" is without its "}"; close it, or write $${ for the characters themselves'),
        ("${A}" * 101, "the value has more than 100 times ${...}"),
    ],
)
def test_what_is_not_an_expansion_is_reported(text: str, message: str) -> None:
    """A slip is an error and never a silent literal."""
    (line,) = route_errors(f"rewrite: /{text}", A="x")
    assert line.startswith(message)


def test_a_variable_that_is_not_utf_8_is_an_error() -> None:
    """Bytes that are no text never reach a header."""
    assert "the environment variable V is not UTF-8" in route_errors("headers: {x: '${V}'}", V="\udcff")[0]


SECRET = "hunter2:/{x}{x}*$9"


@pytest.mark.parametrize(
    "line",
    [
        "id: ${S}",
        "path: ${S}",
        "path: /${S}",
        "host: ${S}",
        "host: ['${S}']",
        "methods: ['${S}']",
        "headers: {a: {present: '${S}'}}",
        "headers: {a: {regex: '(${S}'}}",
        "target: ${S}",
        "target: http://${S}",
        "target: ${S:-x}-y",
        "rewrite: ${S}",
        "rewrite: /${S}",
        "rewrite: /${file:secret}",
        "strip_prefix: ${S}",
        "preserve_host: ${S}",
        "timeout: ${S}",
        "timeout: {connect: '${S}'}",
        "max_body: ${S}",
        "headers: ${S}",
        "allow_encoded_slashes: ${file:secret}",
    ],
)
def test_no_error_shows_what_came_from_outside(line: str, tmp_path: Path) -> None:
    """A secret in the wrong place is reported by the name of its variable or file."""
    (tmp_path / "secret").write_text(SECRET)
    given = "" if line.startswith("path") else "path: /x\n  "
    target = "" if line.startswith("target") else "\n  target: a:1"
    found = errors(f"- {given}{line}{target}\n", environment={"S": SECRET}, base=tmp_path)
    assert found
    assert not any("hunter2" in text or "$9" in text or "{x}" in text for text in found)
    assert any("the value of ${" in text for text in found)


def test_an_error_about_an_odd_default_is_one_line() -> None:
    """What is shown of an expansion is printable."""
    assert route_errors('max_body: "${A:-x\\ny}"')[0].endswith('(got the value of "${A:-x\\ny}")')


def test_secrets_in_the_other_files_are_not_shown() -> None:
    """A corrected network would show most of the address: it is left out as well."""
    assert errors(auth="trusted_proxies: ['10.1.2.${S}']\n", environment={"S": "3/8"}) == [
        "auth.yaml:1:19: trusted_proxies[0]: the address has bits set beyond the prefix length (got the value of ${S})"
    ]
    assert errors(middleware="access_log: {format: '${S}'}\n", environment={"S": "hunter2"}) == [
        'middleware.yaml:1:14: access_log.format: expected "json" or "console" (got the value of ${S})'
    ]
