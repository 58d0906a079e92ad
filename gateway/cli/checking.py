"""`gateway check`, `gateway routes`, `gateway schema`: the files, without serving them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.admin.tables import table
from gateway.cli.options import CONFIG, RESOLVE, address, refuse
from gateway.json_output import JSON, print_json
from gateway.plurals import counted

if TYPE_CHECKING:
    from gateway.config.models import RouteConfig


@click.command()
@CONFIG
@RESOLVE
@click.option("--here", is_flag=True, help="Missing prerequisites of serve on this machine are errors, not warnings.")
@click.option("--no-env", is_flag=True, help="Environment variables that are not set are warnings, and not errors.")
@click.option(
    "--host", default="0.0.0.0", show_default=True, help="With --here: an address of serve that must be free."
)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535), help="The same.")
@click.option("--admin", default="127.0.0.1:9001", show_default=True, help="The same, or off.")
@JSON
def check(
    directory: Path,
    resolve: dict[str, str],
    here: bool,
    no_env: bool,
    host: str,
    port: int,
    admin: str,
    as_json: bool,
) -> None:
    """Validate the configuration, and warn of probable mistakes. Exit code 1 on errors."""
    from gateway.check import Asked, examine  # noqa: PLC0415  the other commands start faster without it
    from gateway.outside.here import Port, gateway_answers  # noqa: PLC0415

    gc.disable()  # the process ends before there is anything to collect: a third of the time with many routes
    admin_at = address(admin, "--admin", 9001)
    ports: list[Port] = [("--port", host, port), *([("--admin", *admin_at)] if admin_at else [])]
    if not here and gateway_answers(host, port):
        ports = []  # the files of a gateway that runs are checked before it is to read them
    found = examine(directory, resolve, Asked(ports, here, variables=not no_env))
    problems = found.problems
    errors = [problem for problem in problems if problem.severity == "error"]
    if as_json:
        shown = {"ok": not errors, "problems": [asdict(problem) for problem in problems]}
        print_json(shown)
        sys.exit(1 if errors else 0)
    for problem in problems:
        click.echo(f"{problem.severity}: {problem}", err=True)
    warnings = counted(len(problems) - len(errors), "warning")
    if errors:
        more = "" if found.complete else "; more may show once these are corrected"
        click.echo(f"{counted(len(errors), 'error')}, {warnings}: this would not be served{more}", err=True)
        sys.exit(1)
    click.echo(f"ok, {warnings}")


@click.command()
@CONFIG
@JSON
def routes(directory: Path, as_json: bool) -> None:
    """List the routes as a table."""
    from gateway.config.load import ConfigError, load  # noqa: PLC0415  the other commands start faster without it

    try:
        configuration = load(directory, os.environ)
    except ConfigError as error:
        refuse(error, as_json=as_json)
    if as_json:
        routes = configuration.routes.routes
        print_json([route.model_dump(mode="json", exclude_defaults=True) for route in routes])
        return
    rows = chain.from_iterable(map(_rows, configuration.routes.routes))
    click.echo(table(("ID", "METHODS", "HOST", "PATH", "TARGET", "SENT AS"), rows))
    if base_path := configuration.routes.base_path:
        unsaid = "base_path" not in configuration.routes.model_fields_set
        remedy = ", unless routes.yaml says otherwise: base_path: / for none" if unsaid else ""
        click.echo(f"all of them also below {base_path} (base_path{remedy})")


PATHS_IN_A_ROW = 4
_NAMES = ("routes.yaml", "middleware.yaml", "auth.yaml", "models.yaml")


@click.command()
@click.argument("file", required=False, type=click.Choice(_NAMES))
def schema(file: str | None) -> None:
    """Print the JSON Schema of one file, or of all four by name."""
    from gateway.config.docs.schema import schemas  # noqa: PLC0415

    print_json(schemas() if file is None else schemas()[file])


def _rows(route: RouteConfig) -> Iterator[tuple[str, ...]]:
    """One, and where there are many paths one more for each of the others."""
    sent = route.rewrite or (f"without {route.strip_prefix}" if route.strip_prefix else "as it is")
    target = route.target
    if route.redirect is not None:
        target, sent = f"redirect {route.redirect.status}", route.redirect.to
    elif route.respond is not None:
        target, sent = f"respond {route.respond.status}", "-"
    methods, hosts = ",".join(route.methods or ("any",)), ",".join(route.host or ("any",))
    if len(route.all_paths) <= PATHS_IN_A_ROW:
        yield route.id, methods, hosts, ",".join(route.all_paths), target, sent
        return
    yield route.id, methods, hosts, route.all_paths[0], target, sent
    yield from (("", "", "", path, "", "") for path in route.all_paths[1:])
