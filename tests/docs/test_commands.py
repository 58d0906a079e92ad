"""docs/commands.md: what it shows is what happens."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli import COMMANDS, main
from tests.docs.samples import Block, blocks, commands, shell
from tests.support import running_gateway

PAGE = (Path(__file__).parent.parent.parent / "docs" / "commands.md").read_text()


def test_the_samples_do_what_they_say(tmp_path: Path) -> None:
    """Each file of the page is written, and each command printed as the page says, one after the other."""
    directory = tmp_path / "config"
    files = {_name(block): block.text for block in blocks(PAGE) if block.language == "yaml"}
    with running_gateway(tmp_path, files["routes.yaml"], auth=files["auth.yaml"]) as gateway:
        environment = {**os.environ, "GATEWAY_ADMIN": f"127.0.0.1:{gateway.admin_port}"}
        for number, block in enumerate(blocks(PAGE)):
            if block.language == "yaml":
                (directory / _name(block)).write_text(block.text)
            for command in commands(block.text):
                where = tmp_path / f"empty{number}" if command.line.startswith("gateway init") else directory
                where.mkdir(exist_ok=True)
                line = command.line.replace("127.0.0.1:9000", f"127.0.0.1:{gateway.port}")
                output = shell(where, line, environment).replace(f"127.0.0.1:{gateway.port}", "127.0.0.1:9000")
                assert command.fits(output), f"{command.line} printed\n{output}"


def test_every_command_is_named() -> None:
    """The page leaves out no command of `gateway --help`."""
    assert set(COMMANDS) - set(re.findall(r"gateway ([a-z-]+)", PAGE)) == set()


def test_commands_that_take_a_directory_are_named() -> None:
    """The row of `--config` has each of them, and none that asks a running gateway only."""
    row = next(line for line in PAGE.splitlines() if line.startswith("| `--config DIR`"))
    named = set(re.findall(r"`([a-z -]+)`", row))
    taking = {name for name in _with_option("--config") if name.partition(" ")[0] not in ("agents", "control-plane")}
    assert named - {"agents", "control-plane"} == taking


def _with_option(option: str) -> Iterator[str]:
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        inner = command.commands if isinstance(command, click.Group) else {"": command}
        for rest, each in inner.items():
            if each is not None and any(option in parameter.opts for parameter in each.params):
                yield f"{name} {rest}".strip()


def _name(block: Block) -> str:
    """Of the file that it shows."""
    return block.text.partition("\n")[0].removeprefix("# ")
