"""The other commands, and what all of them do with arguments that are wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.native import plain_request
from tests.cli.support import configured, gateway


def test_routes_are_listed(tmp_path: Path) -> None:
    """One line for each route, under a heading."""
    ended = gateway("routes", config=configured(tmp_path))
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["ID", "METHODS", "HOST", "PATH", "TARGET", "SENT", "AS"]
    assert lines[1].split() == [
        "design",
        "any",
        "any",
        "/v1/process-design/*",
        "127.0.0.1:9003",
        "/api/v1/processes/$1",
    ]
    assert lines[2].split()[:2] == ["pdf", "GET"]
    assert lines[4].split()[-2:] == ["without", "/files"]
    assert lines[5].split()[2] == "*.example.com"


def test_routes_are_listed_with_the_base_path(tmp_path: Path) -> None:
    """Below which they are, too: the default where the file says nothing, and none where it says so."""
    routes = "routes:\n- {path: /a, target: 'b:80'}\n"
    last = gateway("routes", config=configured(tmp_path, routes)).stdout.splitlines()[-1]
    assert last == "all of them also below /api (base_path, unless routes.yaml says otherwise: base_path: / for none)"
    last = gateway("routes", config=configured(tmp_path, f"base_path: /x\n{routes}")).stdout.splitlines()[-1]
    assert last == "all of them also below /x (base_path)"
    assert "base_path" not in gateway("routes", config=configured(tmp_path, f"base_path: /\n{routes}")).stdout


@pytest.mark.parametrize("command", [["routes"], ["explain", "GET", "/x"]])
def test_errors_of_the_configuration_end_a_command(tmp_path: Path, command: list[str]) -> None:
    """Every command says what is wrong in the files, with its place, and ends with 1."""
    ended = gateway(*command, config=configured(tmp_path, "routes:\n- path: x\n  target: y:80\n"))
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: routes.yaml:2:3: routes[0].path: ")
    assert "Traceback" not in ended.stderr


def test_schemas_are_printed() -> None:
    """One file's JSON Schema, or all of them by name."""
    assert set(json.loads(gateway("schema").stdout)) == {"routes.yaml", "middleware.yaml", "auth.yaml", "models.yaml"}
    assert "$schema" in json.loads(gateway("schema", "routes.yaml").stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--admin", "9001"], "expected host:port"),
        (["serve", "--admin", "127.0.0.1:99999"], "expected host:port"),
        (["serve", "--port", "99999"], "--port"),
        (["serve", "--log-format", "xml"], "--log-format"),
        (["check", "--resolve", "a"], "expected NAME=ADDRESS"),
        (["schema", "other.yaml"], "other.yaml"),
        (["explain", "GET"], "URL"),
    ],
)
def test_wrong_arguments_are_reported(arguments: list[str], said: str) -> None:
    """What was expected is said; exit code 2, no traceback."""
    ended = gateway(*arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_version_is_printed() -> None:
    """`gateway --version` says what it is, whether compiled, what reads heads, what runs it, and its build."""
    made = os.environ.get("GATEWAY_TESTED", "interpreted")
    heads = "heads by llhttp" if plain_request is None else "heads in C"
    assert re.fullmatch(
        rf"gateway [0-9.]+, {made}, {heads}, CPython [0-9.]+\S* \(.*PGO.*\)\n", gateway("--version").stdout
    )


def test_what_is_printed_can_be_had_for_machines(tmp_path: Path) -> None:
    """`--json` gives what each command found as JSON, with the same exit code."""
    directory = configured(tmp_path)
    assert [route["id"] for route in json.loads(gateway("routes", "--json", config=directory).stdout)][:2] == [
        "design",
        "pdf",
    ]
    checked = json.loads(gateway("check", "--json", config=directory).stdout)
    assert checked == {"ok": True, "problems": []}
    ended = gateway("keys", "new", "--consumer", "acme", "--expires", "2999-01-01T12:00:00Z", "--json")
    made = json.loads(ended.stdout)
    assert made["hash"] == f"sha256:{sha256(made['key'].encode()).hexdigest()}"
    assert (made["consumer"], made["expires"]) == ("acme", "2999-01-01T12:00:00Z")
    assert json.loads(gateway("keys", "password", "--json", given="secret\n").stdout)["password"]
    broken = gateway("check", "--json", config=configured(tmp_path, "routes:\n- path: x\n  target: y:80\n"))
    (problem,) = json.loads(broken.stdout)["problems"]
    assert (broken.returncode, problem["file"], problem["line"], problem["column"]) == (1, "routes.yaml", 2, 3)
    for command in (["routes"], ["explain", "GET", "/"]):
        ended = gateway(*command, "--json", config=directory)
        assert (ended.returncode, ended.stderr, json.loads(ended.stdout)["problems"]) == (1, "", [problem])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str) -> None:
    """The script for each shell asks `gateway` itself, which answers with its commands and options."""
    assert "_GATEWAY_COMPLETE" in gateway("completion", shell).stdout


def test_commands_of_a_group_are_there_wherever_they_are_written() -> None:
    """A process imports the modules of one command only."""
    printed = gateway("revisions", "--help").stdout
    assert {"diff", "list", "promote", "push", "rollback", "show"} <= set(printed.split())


def test_commands_are_completed() -> None:
    """What bash asks for by that script is answered."""
    asked = {"_GATEWAY_COMPLETE": "bash_complete", "COMP_WORDS": "gateway expl", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "gateway.cli"]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **asked}, check=False)
    assert ended.stdout == "plain,explain\n"
