"""docs/operating.md: a day of an operator."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from gateway.config.checks.outputs import OWN_DIRECTORIES, OWN_FILES
from tests.docs.links import ROOT
from tests.docs.samples import blocks, commands, shell
from tests.support import GatewayProcess

PAGE = (ROOT / "docs" / "operating.md").read_text()
SECTION = PAGE.partition("\n## Day by day\n")[2].partition("\n## ")[0]


def test_the_samples_do_what_they_say(tmp_path: Path) -> None:
    """Each command of "Day by day" prints what the page shows, one after the other."""
    (directory := tmp_path / "config").mkdir()
    gateway = GatewayProcess(directory, arguments=("--strict",))
    gateway.write("routes: [{path: /old/*, redirect: /new/$1}]\n")
    environment = {**os.environ, "GATEWAY_ADMIN": f"127.0.0.1:{gateway.admin_port}"}
    try:
        for command in (command for block in blocks(SECTION) for command in commands(block.text)):
            if command.line == "gateway serve --strict &":
                gateway.start()
                continue
            output = shell(directory, command.line.replace("127.0.0.1:9000", f"127.0.0.1:{gateway.port}"), environment)
            assert command.fits(output), f"{command.line} printed\n{output}"
    finally:
        gateway.stop()


def test_the_backup_has_all_of_the_state_directory(tmp_path: Path) -> None:
    """The commands of the page copy every key, token and directory, and no socket; it says what of that is secret."""
    (state := tmp_path / "state").mkdir()
    for name in OWN_FILES:
        (state / name).write_text(name)
    for name in OWN_DIRECTORIES:
        (state / name).mkdir()
        (state / name / "token").write_text(name)
    (state / "quotas.sqlite").touch()
    with socket.socket(socket.AF_UNIX) as takeover:
        takeover.bind(str(state / "takeover.socket"))
        section = PAGE.partition("\n### Back up\n")[2].partition("\n## ")[0]
        for command in (command for block in blocks(section) for command in commands(block.text)):
            if "backup" in command.line:
                shell(tmp_path, command.line, dict(os.environ))
    assert {path.name for path in (tmp_path / "backup").iterdir()} == {*OWN_FILES, *OWN_DIRECTORIES, "quotas.sqlite"}
    assert all((tmp_path / "backup" / name / "token").is_file() for name in OWN_DIRECTORIES)
    secrets = section.partition("contains secrets: ")[2]
    assert all(f"`{name}`" in section for name in OWN_FILES)
    assert all(f"`{name}`" in secrets for name in ("admin-token", *OWN_DIRECTORIES))


def test_the_page_about_security_names_the_secrets_that_the_gateway_makes() -> None:
    """All files of the state directory that are secret."""
    page = (ROOT / "docs" / "security.md").read_text()
    assert [name for name in (*OWN_FILES, *OWN_DIRECTORIES) if f"`{name}`" not in page] == []
