"""`gateway check`, `gateway routes`, `gateway schema`: the files, without serving them."""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

import click

from gateway.admin.tables import table
from gateway.cli.options import CONFIG, RESOLVE, refuse
from gateway.plurals import counted


@click.command()
@CONFIG
@RESOLVE
def check(directory: Path, resolve: dict[str, str]) -> None:
    """Validate the configuration, and warn of what is probably not meant. Exit code 1 on errors."""
    from gateway.check import check as run  # noqa: PLC0415

    gc.disable()  # the process ends before there is anything to collect: a third of the time with many routes
    problems = run(directory, resolve)
    errors = [problem for problem in problems if problem.severity == "error"]
    for problem in problems:
        click.echo(f"{problem.severity}: {problem}", err=True)
    if errors:
        found = f"{counted(len(errors), 'error')}, {counted(len(problems) - len(errors), 'warning')}"
        click.echo(f"{found}: this would not be served", err=True)
        sys.exit(1)
    click.echo(f"ok, {counted(len(problems), 'warning')}")


@click.command()
@CONFIG
def routes(directory: Path) -> None:
    """List the routes as a table."""
    from gateway.config.load import ConfigError, load  # noqa: PLC0415

    try:
        configuration = load(directory, os.environ)
    except ConfigError as error:
        refuse(error)
    rows = []
    for route in configuration.routes.routes:
        sent = route.rewrite or (f"without {route.strip_prefix}" if route.strip_prefix else "as it is")
        methods = ",".join(route.methods or ("any",))
        target = route.target
        if route.redirect is not None:
            target, sent = f"redirect {route.redirect.status}", route.redirect.to
        elif route.respond is not None:
            target, sent = f"respond {route.respond.status}", "-"
        rows.append((route.id, methods, ",".join(route.host or ("any",)), ",".join(route.all_paths), target, sent))
    click.echo(table(("ID", "METHODS", "HOST", "PATH", "TARGET", "SENT AS"), rows))


@click.command()
@click.argument("file", required=False, type=click.Choice(["routes.yaml", "middleware.yaml", "auth.yaml"]))
def schema(file: str | None) -> None:
    """Print the JSON Schema of one file, or of all three by name."""
    from gateway.config.docs.schema import schemas  # noqa: PLC0415

    click.echo(json.dumps(schemas() if file is None else schemas()[file], indent=2))
