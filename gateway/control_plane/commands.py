"""`gateway control-plane`: the commands of the process itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from gateway.control_plane.token_commands import token

EXTRA = "the control plane is not installed; run: pip install 'flowmaster-gateway[control-plane]'"
LEVELS = ("debug", "info", "warning", "error")

_directory = click.option(
    "--config",
    "directory",
    envvar="GATEWAY_CONTROL_PLANE_CONFIG",
    default=".",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of control-plane.yaml and auth.yaml.",
)
_database = click.option(
    "--database",
    envvar="GATEWAY_CONTROL_PLANE_DATABASE",
    metavar="URL",
    help="The database: postgresql://..., or sqlite:///PATH. "
    "Unset: as control-plane.yaml says, or SQLite in the state directory.",
)


@click.group("control-plane")
def control_plane() -> None:
    """The control plane: a process that manages environments, gateways and their configurations."""


control_plane.add_command(token)


@control_plane.command()
@_directory
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=9010, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@_database
@click.option("--migrate", is_flag=True, help="Migrate the database first, also PostgreSQL.")
@click.option("--log-format", type=click.Choice(["json", "console"]), default="json", show_default=True)
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
def serve(
    directory: Path, host: str, port: int, database: str | None, migrate: bool, log_format: str, log_level: str
) -> None:
    """Serve the API until SIGTERM."""
    _needs_extra()
    from gateway.config.secrets import KnownSecrets  # noqa: PLC0415
    from gateway.control_plane.serve import Options  # noqa: PLC0415  only with the extra
    from gateway.control_plane.serve import serve as run  # noqa: PLC0415
    from gateway.monitor.process_log import process_log  # noqa: PLC0415

    secrets = KnownSecrets()
    level = logging.getLevelNamesMapping()[log_level.upper()]
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs each step
    with process_log(secrets, console=log_format == "console", level=level):
        _run(lambda: run(Options(directory, host, port, database, migrate, secrets)))


@control_plane.command()
@_directory
@_database
def migrate(directory: Path, database: str | None) -> None:
    """Migrate the database; make a backup before."""
    _needs_extra()
    from gateway.config.secrets import KnownSecrets  # noqa: PLC0415  only with the extra
    from gateway.control_plane.serve import Options  # noqa: PLC0415
    from gateway.control_plane.serve import migrate as run  # noqa: PLC0415

    async def work() -> None:
        step = await run(Options(directory, "", 0, database, migrate=True, secrets=KnownSecrets()))
        click.echo(f"the database is at step {step}")

    _run(work)


@control_plane.group()
def key() -> None:
    """The key that encrypts the credentials of gateways."""


@key.command()
@_directory
@_database
@click.option(
    "--reseal-only", is_flag=True, help="Create no new key: encrypt all credentials with the first existing one."
)
def rotate(directory: Path, database: str | None, reseal_only: bool) -> None:
    """Encrypt all credentials with a new key, which is put before the former ones.

    A control plane that runs with the same state directory uses it at once.
    """
    _needs_extra()
    from gateway.config.secrets import KnownSecrets  # noqa: PLC0415  only with the extra
    from gateway.control_plane.key_rotation import rotate as run  # noqa: PLC0415
    from gateway.control_plane.serve import Options  # noqa: PLC0415

    async def work() -> None:
        options = Options(directory, "", 0, database, migrate=False, secrets=KnownSecrets())
        click.echo(await run(options, make=not reseal_only))

    _run(work)


def _needs_extra() -> None:
    try:
        import alembic  # noqa: PLC0415, F401
        import fastapi  # noqa: PLC0415, F401
        import sqlalchemy  # noqa: PLC0415, F401
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{EXTRA} ({error})") from None


def _run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it to its end; what a person can correct ends the command with a sentence about it."""
    import uvloop  # noqa: PLC0415

    from gateway.config.problems import ConfigError  # noqa: PLC0415
    from gateway.control_plane.listening import CannotListenError  # noqa: PLC0415
    from gateway.control_plane.serve import StartError  # noqa: PLC0415

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work())
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"error: {problem}", err=True)
        raise SystemExit(1) from None
    except (StartError, CannotListenError) as error:
        raise click.ClickException(str(error)) from None
