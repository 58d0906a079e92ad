"""`gateway import`: the configuration of another gateway as ours."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote

import click

from gateway.cli.new_files import existing, write_new

REPORT = "import-report.md"


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for routes.yaml, middleware.yaml, auth.yaml, certificates that stand in FILE, and "
    "import-report.md; none of them may exist yet.",
)
def import_command(file: Path, output: Path) -> None:
    """Translate a kong.yml, a dynamic file of Traefik, an nginx.conf or a krakend.json.

    The translation of each line, and lines that are not translated, are printed, and written to import-report.md. Exit
    code 1 where
    the file cannot be read, or nothing in it could be translated.
    """
    from gateway.config.load import ConfigError  # noqa: PLC0415  the other commands start faster without it
    from gateway.importing.importer import import_file, problems_of  # noqa: PLC0415

    try:
        imported = import_file(file)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"error: {problem}", err=True)
        sys.exit(1)
    if problems := problems_of(imported, output):
        for problem in problems:
            click.echo(f"error: the translation is invalid, a bug of this command: {problem}", err=True)
        sys.exit(1)
    text = imported.report.markdown(imported.files)
    contents = imported.files | {REPORT: text}
    if there := existing(output, contents):
        click.echo(f"error: {output} has {' and '.join(there)} already; name another directory", err=True)
        sys.exit(1)
    try:
        write_new(output, contents, imported.private)
    except OSError as error:
        click.echo(f"error: {error.filename} cannot be written: {error.strerror}; name another directory", err=True)
        sys.exit(1)
    click.echo(text, nl=False)
    click.echo(f"\nNext: gateway check --config {quote(str(output))}", err=True)
