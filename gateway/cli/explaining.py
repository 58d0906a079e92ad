"""`gateway explain`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gateway.admin.client import ADMIN, ask
from gateway.cli.options import CONFIG, compiled

_MAX_VALUE = 64 * 1024  # bytes of a header's value in a file


@click.command()
@CONFIG
@click.argument("method")
@click.argument("url")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A request header. A secret's value is @FILE, or @- for standard input; @@ is for a value that begins with @.",
)
@click.option("--client", default="127.0.0.1", show_default=True, help="Address that the request comes from.")
@click.option("--running", is_flag=True, help="Ask the gateway that runs: it knows endpoints, health and breakers.")
@ADMIN
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def explain(
    directory: Path,
    method: str,
    url: str,
    headers: Sequence[str],
    client: str,
    running: bool,
    admin: str,
    as_json: bool,
) -> None:
    """Say which route takes a request and why, which rule would allow or refuse it, and why not the other routes.

    By the files, as if the gateway had just started; with --running, as it stands.
    """
    lines = [_header(header) for header in headers]
    if running:
        sent = [f"{name}: {value}" for name, value in lines]
        wanted = {"method": method, "url": url, "client": client, "header": sent}
        explained = ask(admin, "GET", "/explain", params=wanted)
    else:
        explained = _explained_by_files(directory, method, url, lines, client)
    if as_json:
        click.echo(json.dumps(explained, indent=2))
        return
    for key, value in explained.items():
        if isinstance(value, list):
            click.echo(f"{key}:" if value else f"{key}: -")
            for item in value:
                click.echo(f"  {_line(item)}")
        else:
            click.echo(f"{key}: {value}")


def _explained_by_files(
    directory: Path, method: str, url: str, headers: Sequence[tuple[str, str]], client: str
) -> dict[str, Any]:
    from gateway.explain import explain as run  # noqa: PLC0415

    snapshot = compiled(directory)
    try:
        return asyncio.run(run(snapshot, method.upper(), url, headers, client))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not name.strip() or not colon:
        raise click.BadParameter(f"{text!r} is no header; expected 'NAME: VALUE'", param_hint="-H")
    value = value.strip()
    if value.startswith("@") and not value.startswith("@@"):
        return name.strip(), _contents(value[1:])
    return name.strip(), value.removeprefix("@")


def _contents(source: str) -> str:
    """The one line in a file, or on standard input. It may be a secret: no error shows it."""
    try:
        with click.open_file(source, "rb") as stream:
            data: bytes = stream.read(_MAX_VALUE + 1)
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise click.BadParameter(f"{source} cannot be read: {error.strerror}", param_hint="-H") from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{source} is not UTF-8", param_hint="-H") from None
    if not text.strip() or len(text) > _MAX_VALUE or not text.isprintable():
        size = _MAX_VALUE // 1024
        raise click.BadParameter(f"{source} is not one line of printable text, at most {size} KiB", param_hint="-H")
    return text.strip()


def _line(item: Any) -> str:
    if isinstance(item, dict):
        return f"{item['route']} ({item['pattern']}): {item['why']}"
    return str(item)
