"""`gateway keys`: what it prints can be pasted, and works."""

import subprocess

import yaml

from gateway.auth import password
from tests.cli.support import gateway as cli
from tests.config.support import parsed

from .support import key_hash


def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    return cli("keys", *arguments, given=text or None)


def test_a_new_key_is_printed_with_the_yaml_that_admits_it() -> None:
    """The key once, and its hash in what goes into auth.yaml."""
    printed = run("new", "--consumer", "true: acme", "--expires", "2030-01-01").stdout
    key = next(line for line in printed.splitlines() if line.startswith("gw_"))
    snippet = printed[printed.index("- name") :]
    consumers = parsed(auth="consumers:\n" + snippet).auth.consumers
    assert consumers[0].name == "true: acme"
    assert consumers[0].keys[0].hash == key_hash(key)
    assert consumers[0].keys[0].expires == 1893456000
    assert key not in snippet
    assert len(key) == 46


def test_no_two_keys_are_the_same() -> None:
    """They are random."""
    assert run("new").stdout != run("new").stdout


def test_a_password_becomes_a_hash() -> None:
    """Read from standard input where there is no terminal."""
    printed = yaml.safe_load(run("password", text="secret word\n").stdout)
    assert password.parse(printed["password"]).verify("secret word")


def test_mistakes_are_reported() -> None:
    """Times that are none, passwords that are none."""
    assert "expected a point in time" in run("new", "--expires", "soon").stderr
    assert "at least one character" in run("password", text="\n").stderr
