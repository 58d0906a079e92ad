"""`gateway import` as a person runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import gateway

KONG = """\
_format_version: "3.0"
consumers:
- username: acme
  keyauth_credentials:
  - key: a-key-that-nobody-else-knows
services:
- name: users
  url: http://127.0.0.1:9003
  routes:
  - name: users
    paths: [/users]
    plugins:
    - name: key-auth
    - name: no-such-plugin
"""


def test_files_and_report_are_written_once_and_pass_check(tmp_path: Path) -> None:
    """The files pass `check`, the report is printed and written, and nothing that is there is written over."""
    source, output = tmp_path / "kong.yml", tmp_path / "out"
    source.write_text(KONG)
    ended = gateway("import", str(source), "--output", str(output))
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in output.iterdir()) == [
        "auth.yaml",
        "import-report.md",
        "middleware.yaml",
        "routes.yaml",
    ]
    assert ended.stdout == (output / "import-report.md").read_text()
    assert "| 14 | services[0].routes[0].plugins[1] | there is nothing like the plugin no-such-plugin" in ended.stdout
    assert gateway("check", config=output).stdout.startswith("ok")
    (output / "auth.yaml").unlink()
    again = gateway("import", str(source), "--output", str(output))
    assert again.returncode == 1
    assert "routes.yaml and middleware.yaml and import-report.md already" in again.stderr
    assert not (output / "auth.yaml").exists()


def test_secrets_are_hashes_and_never_shown(tmp_path: Path) -> None:
    """A plain key of the original is in no file and in no output."""
    source, output = tmp_path / "kong.yml", tmp_path / "out"
    source.write_text(KONG)
    ended = gateway("import", str(source), "--output", str(output))
    written = "".join(path.read_text() for path in output.iterdir())
    assert "a-key-that-nobody" not in ended.stdout + ended.stderr + written
    assert "sha256:" in written


def test_a_file_that_is_no_configuration_is_refused_with_its_place(tmp_path: Path) -> None:
    """What cannot be read is an error with its place, and leaves no directory."""
    source, output = tmp_path / "kong.yml", tmp_path / "out"
    source.write_text("services: [\n")
    ended = gateway("import", str(source), "--output", str(output))
    assert ended.returncode == 1
    assert "kong.yml:2:1" in ended.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("routes.yaml", "routes:\n- path: /a/*\n  target: a:80\n"),
        ("routes.yaml", "services: {a: {endpoints: [b:80]}}\ngroups: [{id: g, routes: []}]\n"),
        ("routes.yaml", "- paths: [/a, /b]\n  respond: {status: 410}\n"),
        ("middleware.yaml", "rate_limits: {all: {key: [address], limits: [10/s]}}\n"),
        ("auth.yaml", "consumers: []\ndefault: []\n"),
    ],
)
def test_a_file_of_this_gateway_is_known(tmp_path: Path, name: str, text: str) -> None:
    """Nothing is translated, and it is said that nothing needs to be, and what the file is checked with."""
    source = tmp_path / "shop.yaml"
    source.write_text(text)
    ended = gateway("import", str(source), "--output", str(tmp_path / "out"))
    assert ended.returncode == 1
    assert f"this is a {name} of this gateway already: gateway check --config DIRECTORY" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    [
        "services: [{name: a, url: 'http://127.0.0.1:1', routes: [{paths: [/a]}]}]",
        "_format_version: '3.0'\nservices: [{name: a, url: 'http://127.0.0.1:1'}]\n"
        "routes: [{name: a, paths: [/a], service: {name: a}}]",
    ],
)
def test_a_kong_yml_with_our_keys_is_none_of_ours(tmp_path: Path, text: str) -> None:
    """`services` and `routes` are keys of both."""
    (tmp_path / "kong.yml").write_text(text)
    ended = gateway("import", str(tmp_path / "kong.yml"), "--output", str(tmp_path / "out"))
    assert ended.returncode == 0, ended.stderr


def test_what_cannot_be_written_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    """A link that leads nowhere is there already, and a directory below a file cannot be made."""
    source, output = tmp_path / "kong.yml", tmp_path / "out"
    source.write_text(KONG)
    output.mkdir()
    (output / "auth.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    for directory, words in ((output, "has auth.yaml already"), (source / "below", "cannot be written")):
        ended = gateway("import", str(source), "--output", str(directory))
        assert (ended.returncode, ended.stdout) == (1, "")
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr
    assert not (tmp_path / "elsewhere.yaml").exists()
