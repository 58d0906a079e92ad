"""`gateway init`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import click

from gateway.cli.new_files import existing, write_new
from gateway.cli.options import CONFIG
from gateway.plurals import counted

if TYPE_CHECKING:
    from gateway.starter.openapi import Description

BACKEND = "http://localhost:3000"


@click.command()
@CONFIG
@click.option("--backend", metavar="URL", help=f"Where requests go. Unset: the server of --from, or {BACKEND}.")
@click.option(
    "--from",
    "description",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An OpenAPI description, in JSON or YAML: a route for each of its paths.",
)
@click.option("--models", is_flag=True, help="A gateway for models: with models.yaml, and without a backend.")
def init(directory: Path, backend: str | None, description: Path | None, *, models: bool) -> None:
    """Write the first files of a configuration, with comments. Existing files are never overwritten."""
    from gateway.starter.files import files, models_files  # noqa: PLC0415  the other commands start faster without these

    if models:
        if backend or description:
            raise click.UsageError("--models is for a gateway without a backend: leave out --backend and --from")
        _begin(directory, models_files(), "1 route to the providers of models.yaml", ())
        return
    described = _described(description)
    if described is not None and not (backend or described.backend):
        _fail("the description names no server with a host; say where it runs with --backend http://localhost:3000")
    target, prefix = _backend(backend or (described and described.backend) or BACKEND)
    routes, key_header = (described.routes, described.key_header) if described else ([], "")
    texts = files(target, routes, prefix, key_header)
    what = f"{counted(len(routes) or 1, 'route')} to {target}{prefix}"
    if closed := sum(route.needs_credential for route in routes):
        what += f"; {closed} of them {'refuses' if closed == 1 else 'refuse'} every request, because the description "
        what += "demands a credential: say who may call them, then remove authorize in routes.yaml"
    _begin(directory, texts, what, described.left_out if described else ())


def _begin(directory: Path, texts: Mapping[str, str], what: str, left_out: Iterable[str]) -> None:
    """Write the files, if they are right, and say what to do next."""
    from gateway.check import check  # noqa: PLC0415

    with TemporaryDirectory() as trial:
        _write(Path(trial), texts)
        problems = check(Path(trial), {})
    for problem in problems:
        click.echo(f"{problem.severity}: {problem}", err=True)
    if any(problem.severity == "error" for problem in problems):
        sys.exit(1)
    _write(directory, texts)
    click.echo(f"wrote {', '.join(texts)} in {directory}: {what}")
    for reason in left_out:
        click.echo(f"left out: {reason}")
    place = "" if directory == Path() else f" --config {quote(str(directory))}"
    click.echo(f"next: gateway serve{place}, and when you have changed something, gateway check{place}")


def _described(path: Path | None) -> Description | None:
    if path is None:
        return None
    from gateway.starter.openapi import MAX_BYTES, DescriptionError, read_description  # noqa: PLC0415

    try:
        with path.open("rb") as stream:  # which may have no end
            described = read_description(stream.read(MAX_BYTES + 1))
    except (OSError, DescriptionError) as error:
        _fail(f"{path}: {error}")
    if not described.routes:
        _fail(f"{path}: it has no path that could be a route" + "".join(f"; {each}" for each in described.left_out[:3]))
    return described


def _backend(url: str) -> tuple[str, str]:
    """A target, and the path that stands before what it is asked for."""
    from pydantic_core import PydanticCustomError  # noqa: PLC0415

    from gateway.config.values.addresses import parse_target  # noqa: PLC0415

    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        target = f"{parts.scheme}://{parts.netloc}"
        parse_target(target)
    except PydanticCustomError as error:
        raise click.BadParameter(error.message(), param_hint="--backend") from None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--backend") from None
    if parts.query or parts.fragment:
        raise click.BadParameter("a backend ends after its path", param_hint="--backend")
    if re.search(r"[^A-Za-z0-9/_.~%!$&'()+,;=:@-]|//", parts.path.rstrip("/")):
        message = (
            "its path is plain text, with single slashes; write %20 for a space, and rewrite in routes.yaml for more"
        )
        raise click.BadParameter(message, param_hint="--backend")
    return target, parts.path.rstrip("/")


def _write(directory: Path, texts: Mapping[str, str]) -> None:
    """Write all of them, or nothing where one is there already."""
    if there := existing(directory, texts):
        _fail(f"already there: {', '.join(there)}. Nothing was written; name another directory with --config")
    try:
        write_new(directory, texts)
    except OSError as error:
        _fail(f"{error.filename or directory} cannot be written: {error.strerror}")


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(1)
