"""The command line. Each command is in a file of its group, here or beside what it is about; this is the list."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

import click

from gateway.cli.terminal import guard_terminals

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "init": ("gateway.cli.starting", "init"),
    "serve": ("gateway.cli.serving", "serve"),
    "check": ("gateway.cli.checking", "check"),
    "explain": ("gateway.cli.explaining", "explain"),
    "test": ("gateway.cli.testing", "test"),
    "routes": ("gateway.cli.checking", "routes"),
    "schema": ("gateway.cli.checking", "schema"),
    "import": ("gateway.cli.importing", "import_command"),
    "last": ("gateway.admin.recent_commands", "last"),
    "reload": ("gateway.admin.status_commands", "reload"),
    "status": ("gateway.admin.status_commands", "status"),
    "top": ("gateway.admin.status_commands", "top"),
    "monitor": ("gateway.admin.monitor_commands", "monitor"),
    "alerts": ("gateway.admin.alerts_commands", "alerts"),
    "config": ("gateway.admin.config_commands", "config"),
    "keys": ("gateway.auth.commands", "keys"),
    "blocklist": ("gateway.admin.blocklist_commands", "blocklist"),
    "quota": ("gateway.admin.quota_commands", "quota"),
    "models": ("gateway.cli.models", "models"),
    "admin": ("gateway.admin.commands", "admin"),
    "audit": ("gateway.monitor.audit_commands", "audit"),
    "register": ("gateway.registry.commands", "register"),
    "control-plane": ("gateway.control_plane.commands", "control_plane"),
    "revisions": ("gateway.control_plane.rollout_commands", "revisions"),
    "rollout": ("gateway.control_plane.rollout_commands", "rollout"),
    "agents": ("gateway.agents.commands", "agents"),
    "demo": ("gateway.demo_models.commands", "demo"),
    "completion": ("gateway.cli.completion", "completion"),
}
"""The module of each command, which is imported when it is asked for, and its name there."""


class _Commands(click.Group):
    """All of them. A start imports none but its own: fifty modules fewer."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command


def _print_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from gateway.cli.interpreter import described  # noqa: PLC0415  a start does not ask

        click.echo(f"gateway {version('flowmaster-gateway')}, {described()}")
        context.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version, and what runs it.",
)
def main() -> None:
    """A self-hosted API gateway."""


def run() -> None:
    """The command; it ends when it is done. Policies and applications may have left threads, or work for the end of
    the process, that never end: neither is waited for."""
    guard_terminals()
    # What is checked here may hold secrets, and to look for plugins is to read what every library says of itself.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    code: Any = 0
    try:
        main(prog_name="gateway")
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        click.echo(code, err=True)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader has closed it
            stream.flush()
    os._exit(code or 0)
