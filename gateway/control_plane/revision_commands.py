"""`gateway revisions`: configurations on a control plane."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gateway.admin.tables import table
from gateway.control_plane.client import CONTROL_PLANE, TOKEN, Client, fail
from gateway.json_output import JSON, print_json
from gateway.plurals import counted

SHORT = 12  # digits of a digest that are shown


@click.group()
def revisions() -> None:
    """Configurations on a control plane."""


@revisions.command()
@CONTROL_PLANE
@TOKEN
@click.argument("directory", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--message", "-m", default="", help="Its purpose.")
@click.option("--parent", metavar="DIGEST", help="The revision that it was made from.")
@click.option("--check", is_flag=True, help="Only check it there: nothing is kept.")
@JSON
def push(
    url: str, token_file: Path | None, directory: Path, message: str, parent: str | None, check: bool, as_json: bool
) -> None:
    """Check the files of DIRECTORY, and keep them on the control plane as a revision. Gateways do not change by it.

    The group `control_plane` of middleware.yaml belongs to the machine, and is not part of a revision.
    """
    files, left_out = read_directory(directory)
    body: dict[str, Any] = {"files": files, "message": message}
    if parent is not None:
        body["parent"] = parent
    client = Client(url, token_file)
    answer = client.ask("POST", "revisions", *(["check"] if check else []), json=body)
    if as_json:
        print_json(answer)
        return
    if left_out:
        click.echo(
            "note: the group control_plane of middleware.yaml is not part of the revision: each gateway keeps its own",
            err=True,
        )
    for each in answer["warnings"]:
        place = f":{each['line']}:{each['column']}" if each["line"] else ""
        where = f"{each['where']}: " if each["where"] else ""
        click.echo(f"warning: {each['file']}{place}: {where}{each['message']}", err=True)
    what = "ok, would be revision" if check else "revision"
    warnings = f"; {counted(len(answer['warnings']), 'warning')}" if answer["warnings"] else ""
    click.echo(f"{what} {answer['digest'][:SHORT]}: {counted(len(files), 'file')}{warnings}")


def read_directory(directory: Path) -> tuple[dict[str, str], bool]:
    """The texts of the files of a configuration without the group of the machine, and whether there was one. Ends the
    command if there are no files."""
    from gateway.config.files import listed  # noqa: PLC0415  the other commands start faster without it
    from gateway.config.local_sections import FILE, without_local  # noqa: PLC0415
    from gateway.config.regular_files import read_regular  # noqa: PLC0415
    from gateway.config.yaml.text import MAX_BYTES  # noqa: PLC0415

    files, left_out = {}, False
    for name in listed(directory):
        try:
            whole = read_regular(directory / name, MAX_BYTES)
            content = without_local(whole) if name == FILE else whole
            left_out = left_out or content != whole
            if content or name != FILE:
                files[name] = content.decode()
        except FileNotFoundError:
            continue
        except UnicodeDecodeError:
            fail(f"{directory / name} is not UTF-8; save it as UTF-8")
        except (OSError, ValueError) as error:
            fail(f"{directory / name} cannot be used: {getattr(error, 'strerror', None) or error}")
    if not files:
        fail(f"there is no configuration in {directory}; name its directory")
    return files, left_out


@revisions.command("list")
@CONTROL_PLANE
@TOKEN
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@JSON
def list_(url: str, token_file: Path | None, limit: int, as_json: bool) -> None:
    """List them, the newest first."""
    answer = Client(url, token_file).ask("GET", "revisions", params={"limit": limit})
    if as_json:
        print_json(answer)
        return
    rows = [
        (each["digest"][:SHORT], each["createdAt"], each["author"], (each["parent"] or "-")[:SHORT], each["message"])
        for each in answer["revisions"]
    ]
    click.echo(table(("DIGEST", "ADDED", "AUTHOR", "PARENT", "MESSAGE"), rows))


@revisions.command()
@CONTROL_PLANE
@TOKEN
@click.argument("digest")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Directory to write the files to.")
def show(url: str, token_file: Path | None, digest: str, output: Path | None) -> None:
    """Print the files of a revision, or write them to a directory. Instead of DIGEST, the name of an environment stands
    for what is in force there."""
    client = Client(url, token_file)
    answer = client.ask("GET", "revisions", digest_of(client, digest), "files")
    for name, text in answer["files"].items():
        if output is None:
            click.echo(f"# {name}\n{text}", nl=not text.endswith("\n"))
            continue
        path = output / name
        if path.exists():
            fail(f"{path} is there already; name another directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}")


@revisions.command()
@CONTROL_PLANE
@TOKEN
@click.argument("before")
@click.argument("after")
@click.option("--lines", is_flag=True, help="Show the lines of the files instead of keys.")
@JSON
def diff(url: str, token_file: Path | None, before: str, after: str, lines: bool, as_json: bool) -> None:
    """Show the differences between two revisions; exit code 1 if there are any. The name of an environment stands
    for its current revision."""
    client = Client(url, token_file)
    digests = digest_of(client, before), digest_of(client, after)
    answer = client.ask("GET", "revisions", digests[0], "diff", digests[1])
    if as_json:
        print_json(answer)
    elif lines:
        click.echo(answer["text"], nl=False)
    else:
        print_changes(answer)
    sys.exit(1 if answer["text"] else 0)


def print_changes(answer: dict[str, Any]) -> None:
    """The `changes` of an answer, a line for each."""
    for each in answer["changes"]:
        sign = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}.get(each["kind"], " ")
        values = " -> ".join(value for value in (each["before"], each["after"]) if value is not None)
        where = f" {each['where']}" if each["where"] else ""
        click.echo(f"{sign} {each['file']}{where}" + (f": {values}" if values else ""))
    if not answer["changes"]:
        click.echo("only comments or the form of the text differ" if answer["text"] else "the same")
    if answer["truncated"]:
        click.echo("... there is more than is shown")


def digest_of(client: Client, named: str) -> str:
    """A digest as it is, or that which is in force in the environment of this name."""
    if len(named) >= 6 and set(named) <= set("0123456789abcdef"):
        return named
    missing = "{} is neither a revision, of which 6 digits or more are needed, nor an environment"
    environment = client.environment(named, missing)
    found = client.ask("GET", "environments", environment["uuid"], "delivery")["revision"]
    if found is None:
        fail(f"no revision is in force in {environment['name']} yet")
    return str(found)
