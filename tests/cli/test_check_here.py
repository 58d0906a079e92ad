"""What `gateway check` says of the machine: warnings anywhere, errors with --here, as `serve` would end there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.check import Asked, check
from gateway.config.problems import Problem
from tests.cli.support import configured, gateway
from tests.redis_server import RedisServer
from tests.support import free_port

ROUTES = "routes: [{path: /a, target: '127.0.0.1:80'}]\n"


def checked(
    directory: Path, middleware: str = "", auth: str = "", *, here: bool = False, variables: bool = True
) -> list[Problem]:
    configured(directory, ROUTES)
    (directory / "middleware.yaml").write_text(middleware)
    (directory / "auth.yaml").write_text(auth)
    return check(directory, {}, Asked(here=here, variables=variables))


@pytest.mark.parametrize(
    ("middleware", "where", "said"),
    [
        ("access_log: {output: logs/access.log}", "access_log.output", "there is no directory"),
        ("audit_log: {file: logs/audit.jsonl}", "audit_log.file", "there is no directory"),
        ("redis: {url: 'redis://127.0.0.1:1'}", "redis.url", "Connection refused"),
        ("control_plane: {token: x}", "control_plane", "the variable GATEWAY_CONTROL_PLANE_URL is not set here"),
        ("control_plane: {url: 'https://a', token_file: t}", "control_plane.token_file", "there is no file"),
        ("control_plane: {url: 'https://a', ca: a.pem}", "control_plane.ca", "No such file"),
        ("control_plane: {url: 'https://a', ca: routes.yaml}", "control_plane.ca", "it has no certificates"),
        ("state_directory: /proc/state", "state_directory", "cannot be written"),
    ],
)
@pytest.mark.parametrize("here", [True, False])
def test_what_this_machine_lacks(tmp_path: Path, middleware: str, where: str, said: str, here: bool) -> None:
    """It is an error with --here, and a warning without, with its place; nothing is made while it is looked at."""
    (problem,) = [each for each in checked(tmp_path, middleware, here=here) if each.where == where]
    assert problem.file == "middleware.yaml"
    assert problem.severity == ("error" if here else "warning")
    assert said in problem.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["auth.yaml", "middleware.yaml", "routes.yaml"]


def test_what_is_there_is_not_complained_about(tmp_path: Path, redis: RedisServer) -> None:
    """A directory that can be written, a Redis that answers, and a free port."""
    middleware = f"redis: {{url: '{redis.url}'}}\naccess_log: {{output: access.log}}\n"
    assert checked(tmp_path, middleware, here=True) == []


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_is_taken(tmp_path: Path, taken: int) -> None:
    """Exit code 1 with --here, where `serve` would end with 1, too; a warning without it."""
    ports = ("--host", "127.0.0.1", "--port", str(taken), "--admin", "off")
    directory = configured(tmp_path, ROUTES)
    ended = gateway("check", "--here", *ports, config=directory)
    assert ended.returncode == 1
    assert f"error: --port: 127.0.0.1:{taken} cannot be listened on here: Address already in use" in ended.stderr
    assert gateway("serve", *ports, config=directory).returncode == 1
    ended = gateway("check", *ports, config=directory)
    assert (ended.returncode, ended.stdout) == (0, "ok, 1 warning\n")


def test_a_free_port(tmp_path: Path) -> None:
    """A free port gives no warning."""
    ports = ("--host", "127.0.0.1", "--port", str(free_port()), "--admin", "off")
    assert gateway("check", "--here", *ports, config=configured(tmp_path, ROUTES)).stdout == "ok, 0 warnings\n"


def test_a_key_that_has_expired_is_a_warning(tmp_path: Path) -> None:
    """Its place and its time are said; one that still holds is not mentioned."""
    keys = "".join(
        f"  - {{hash: 'sha256:{digit * 64}', expires: {year}-01-01T00:00:00Z}}\n"
        for digit, year in (("a", 2020), ("b", 2999))
    )
    auth = f"schemes: {{keys: {{api_key: {{}}}}}}\nconsumers:\n- name: acme\n  keys:\n{keys}"
    (warning,) = [problem for problem in checked(tmp_path, auth=auth) if "expired" in problem.message]
    assert (warning.file, warning.line, warning.severity) == ("auth.yaml", 5, "warning")
    assert "2020-01-01T00:00:00Z" in warning.message


VARIABLES = "audit_log: {file: audit.jsonl, key: '${NO_SUCH_KEY}'}\ndrain: {window: '${NO_SUCH_WINDOW:-2s}'}\n"


def test_a_variable_that_is_not_set(tmp_path: Path) -> None:
    """It is an error, and with --no-env a warning, while all else is checked as if it were there."""
    assert "NO_SUCH_KEY" not in os.environ
    (error,) = checked(tmp_path, VARIABLES)
    assert (error.severity, error.line) == ("error", 1)
    middleware = VARIABLES + "access_log: {output: logs/access.log}\n"
    found = checked(tmp_path, middleware, variables=False)
    assert [(problem.line, problem.severity) for problem in found] == [(1, "warning"), (3, "warning")]


def test_a_value_that_nothing_can_stand_for(tmp_path: Path) -> None:
    """Where a variable must have a form of its own, what needs it is not checked, which is said; other errors are."""
    found = checked(tmp_path, "redis: {url: '${NO_SUCH_URL}'}\n", variables=False)
    assert [problem.severity for problem in found] == ["warning", "warning"]
    assert "were not checked" in found[1].message
    found = checked(tmp_path, "redis: {url: '${NO_SUCH_URL}'}\ndrain: {window: often}\n", variables=False)
    assert {problem.severity for problem in found} == {"error"}
    assert any(problem.line == 2 for problem in found)
