"""Options that several commands have, and what they read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click

from gateway.json_output import print_json

CONFIG = click.option(
    "--config",
    "directory",
    envvar="GATEWAY_CONFIG",
    default=".",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of routes.yaml, middleware.yaml, auth.yaml and models.yaml.",
)


def addresses(context: click.Context, parameter: click.Parameter, text: str) -> dict[str, str]:
    """`a=127.0.0.1,b=10.0.0.2`"""
    pairs = [pair.partition("=")[::2] for pair in text.split(",") if pair.strip()]
    if not all(name.strip() and address.strip() for name, address in pairs):
        raise click.BadParameter("expected NAME=ADDRESS pairs, separated by commas")
    return {name.strip().lower(): address.strip() for name, address in pairs}


RESOLVE = click.option(
    "--resolve",
    envvar="GATEWAY_RESOLVE",
    default="",
    metavar="NAME=ADDRESS,...",
    callback=addresses,
    help="Addresses of names without DNS, beside those of the file `hosts` in the directory.",
)


def compiled(directory: Path, *, as_json: bool = False) -> Any:
    """The Snapshot of the files, compiled without a server. Ends the command where they have errors."""
    from gateway.check import compile_offline  # noqa: PLC0415  the other commands start faster without these
    from gateway.config.load import ConfigError  # noqa: PLC0415

    try:
        return compile_offline(directory)
    except ConfigError as error:
        refuse(error, as_json=as_json)


def address(text: str, option: str, example: int) -> tuple[str, int] | None:
    """`HOST:PORT`; None: off. Raises BadParameter."""
    if text == "off":
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"expected host:port, such as 127.0.0.1:{example}, or off", param_hint=option)
    return host.strip("[]"), int(port)


def refuse(error: Any, *, as_json: bool = False) -> NoReturn:
    """End the command with the problems of a ConfigError."""
    if as_json:
        print_json({"ok": False, "problems": [asdict(problem) for problem in error.problems]})
    else:
        for problem in error.problems:
            click.echo(f"error: {problem}", err=True)
    raise SystemExit(1)
