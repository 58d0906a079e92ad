"""The command line. Each command is in a file of its group, here or beside what it is about; this is the list."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import click

from gateway.admin.alerts_commands import alerts
from gateway.admin.blocklist_commands import blocklist
from gateway.admin.commands import admin
from gateway.admin.config_commands import config
from gateway.admin.monitor_commands import monitor
from gateway.admin.quota_commands import quota
from gateway.admin.recent_commands import last
from gateway.admin.status_commands import reload, status, top
from gateway.auth.commands import keys
from gateway.cli.checking import check, routes, schema
from gateway.cli.completion import completion
from gateway.cli.explaining import explain
from gateway.cli.importing import import_command
from gateway.cli.models import models
from gateway.cli.serving import serve
from gateway.cli.starting import init
from gateway.cli.testing import test
from gateway.demo_models.commands import demo
from gateway.http import messages
from gateway.monitor.audit_commands import audit
from gateway.registry.commands import register

COMMANDS: tuple[click.Command, ...] = (
    init,
    serve,
    check,
    explain,
    test,
    routes,
    schema,
    import_command,
    last,
    reload,
    status,
    top,
    monitor,
    alerts,
    config,
    keys,
    blocklist,
    quota,
    models,
    admin,
    audit,
    register,
    demo,
    completion,
)


def _made() -> str:
    """Whether the request path runs as it was written, or compiled (see setup.py)."""
    return "interpreted" if (messages.__file__ or "").endswith(".py") else "compiled"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flowmaster-gateway", message=f"gateway %(version)s, {_made()}")
def main() -> None:
    """A self-hosted API gateway."""


for command in COMMANDS:
    main.add_command(command)


def run() -> None:
    """The command; it ends when it is done. Policies and applications may have left threads, or work for the end of
    the process, that never end: neither is waited for."""
    code: Any = 0
    try:
        main(prog_name="gateway")
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        click.echo(code, err=True)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code or 0)
