"""`gateway explain`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gateway.admin.client import ADMIN, ask
from gateway.cli.options import CONFIG, compiled
from gateway.json_output import JSON, print_json

EXIT_CODES = {"no route": 3, "refused": 4}
"""Exit codes by outcome; 0 for all others."""

MAX_BODY = 64 * 1024**2  # bytes
MAX_SENT = 16 * 1024  # bytes of a body that a running gateway is asked with: it stands in a URL
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
@click.option(
    "--body",
    metavar="TEXT",
    help="Its body, or the name of a file that has it; also @FILE, @- for standard input, @@ for an @.",
)
@click.option("--running", is_flag=True, help="Ask a running gateway, which knows endpoints, health and breakers.")
@ADMIN
@JSON
@click.pass_context
def explain(
    context: click.Context,
    directory: Path,
    method: str,
    url: str,
    headers: Sequence[str],
    client: str,
    body: str | None,
    running: bool,
    admin: str,
    as_json: bool,
) -> None:
    """Show which route takes a request and why, which rule would allow or refuse it, and why not the other routes.

    By the files, as if the gateway had just started; as it stands with --running, or where --admin says which one to
    ask. Exit code 0: it would be forwarded, redirected or answered, or is undecided. 1: the configuration is wrong. 2:
    the question is. 3: no route takes it, or not with this method. 4: it would be refused.
    """
    lines = [_header(header) for header in headers]
    content = None if body is None else _body(body)
    if running or context.get_parameter_source("admin") is ParameterSource.COMMANDLINE:
        explained = _explained_by_gateway(admin, method, url, lines, client, content)
    else:
        from gateway.explain import explain as run  # noqa: PLC0415  the other commands start faster without it

        snapshot = compiled(directory, as_json=as_json)
        try:
            explained = asyncio.run(run(snapshot, method.upper(), url, lines, client, content))
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    if as_json:
        print_json(explained)
    else:
        click.echo("\n".join(_lines(explained)))
    sys.exit(EXIT_CODES.get(explained.get("outcome", ""), 0))


def _lines(explained: Mapping[str, Any]) -> Iterator[str]:
    for key, value in explained.items():
        if isinstance(value, list):
            yield f"{key}:" if value else f"{key}: -"
            for item in value:
                shown = f"{item['route']} ({item['path']}): {item['why']}" if isinstance(item, dict) else item
                yield f"  {shown}"
        else:
            yield f"{key}: {value}"


def _explained_by_gateway(
    admin: str, method: str, url: str, headers: Sequence[tuple[str, str]], client: str, body: bytes | None
) -> dict[str, Any]:
    sent = [f"{name}: {value}" for name, value in headers]
    wanted: dict[str, Any] = {"method": method, "url": url, "client": client, "header": sent}
    if body is not None:
        try:
            wanted["body"] = body.decode()
        except UnicodeDecodeError:
            raise click.BadParameter("a running gateway is asked with text (UTF-8)", param_hint="--body") from None
        if len(body) > MAX_SENT:
            text = f"a running gateway is asked with at most {MAX_SENT // 1024} KiB; ask the files"
            raise click.BadParameter(text, param_hint="--body")
    explained: dict[str, Any] = ask(admin, "GET", "/explain", params=wanted)
    return explained


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not name.strip() or not colon:
        raise click.BadParameter(f"{text!r} is no header; expected 'NAME: VALUE'", param_hint="-H")
    value = value.strip()
    if not value.startswith("@") or value.startswith("@@"):
        return name.strip(), value.removeprefix("@")
    # The one line in a file, or on standard input. It may be a secret: no error shows it.
    source = value[1:]
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
    return name.strip(), text.strip()


def _body(text: str) -> bytes:
    named = text.removeprefix("@")
    if text.startswith("@@") or (named == text and not _is_file(text)):
        if text.endswith(".json") and text[0] not in '{["':
            click.echo(f"warning: there is no file {text}: it is taken as the body itself", err=True)
        return named.encode()
    try:
        with click.open_file(named, "rb") as stream:
            data: bytes = stream.read(MAX_BODY + 1)
    except OSError as error:
        raise click.BadParameter(f"{named} cannot be read: {error.strerror}", param_hint="--body") from None
    if len(data) > MAX_BODY:
        raise click.BadParameter(f"{named} has more than {MAX_BODY // 1024**2} MiB", param_hint="--body")
    return data


def _is_file(text: str) -> bool:
    try:
        return "\n" not in text and Path(text).is_file()
    except (OSError, ValueError):  # no name of a file: too long, or with a null in it
        return False
