"""`gateway serve`."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from pathlib import Path

import click

from gateway.cli.options import CONFIG, RESOLVE, address, refuse
from gateway.roles import ALL, Roles, named, parse_roles
from gateway.server.process_one import leave_process_one


def roles_of(context: click.Context, parameter: click.Parameter, text: str) -> Roles:
    """`router,auth`"""
    try:
        return parse_roles(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@CONFIG
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--admin", default="127.0.0.1:9001", show_default=True, help="Address of the admin API, or off.")
@click.option(
    "--metrics", default="off", show_default=True, help="Address of metrics and health alone, read-only, or off."
)
@click.option(
    "--roles",
    default=named(ALL),
    show_default=True,
    callback=roles_of,
    metavar="ROLE,...",
    help="Roles of this process; a part of them needs bus: redis. See docs/roles.md.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if the configuration has errors at the start.")
@click.option(
    "--takeover", is_flag=True, help="Take over from a running gateway with the same state_directory, if there is one."
)
@click.option(
    "--reuse-port",
    is_flag=True,
    help="Let other gateways listen on the same port (SO_REUSEPORT); see docs/restarting.md.",
)
@click.option(
    "--log-format", type=click.Choice(["json", "console"]), help="Overrides access_log.format, for both logs."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The level of the gateway's own log, on stderr.",
)
@RESOLVE
def serve(
    directory: Path,
    host: str,
    port: int,
    admin: str,
    metrics: str,
    roles: Roles,
    strict: bool,
    takeover: bool,
    reuse_port: bool,
    log_format: str | None,
    log_level: str,
    resolve: dict[str, str],
) -> None:
    """Serve the configuration until SIGTERM."""
    leave_process_one()
    gc.disable()  # until all is imported, of which nothing is garbage: a tenth of the time to the first request
    from gateway.config.hosts_file import read_hosts  # noqa: PLC0415  the others start faster without a server
    from gateway.config.problems import ConfigError  # noqa: PLC0415
    from gateway.config.secrets import KnownSecrets  # noqa: PLC0415
    from gateway.custom_code import run_through  # noqa: PLC0415
    from gateway.monitor.process_log import process_log  # noqa: PLC0415
    from gateway.server.listen import Kind, StartError, Wanted  # noqa: PLC0415
    from gateway.server.run import ServeOptions  # noqa: PLC0415
    from gateway.server.run import serve as run  # noqa: PLC0415

    secrets = KnownSecrets()
    try:
        resolve = read_hosts(directory) | resolve
    except ConfigError as error:
        refuse(error)
    admin_at, metrics_at = address(admin, "--admin", 9001), address(metrics, "--metrics", 9464)
    listen: dict[Kind, Wanted] = {}
    if "router" in roles:
        listen["http"] = Wanted(host, port, "--host", "--port", reuse_port)
    if admin_at is not None:
        listen["admin"] = Wanted(*admin_at, "--admin", "--admin")
    if metrics_at is not None:
        listen["metrics"] = Wanted(*metrics_at, "--metrics", "--metrics")
    level, console = logging.getLevelNamesMapping()[log_level.upper()], log_format == "console"
    try:
        with (
            process_log(secrets, console=console, level=level) as log,
            asyncio.Runner(loop_factory=_new_loop) as runner,
        ):
            options = ServeOptions(directory, listen, log_format, resolve, secrets, log, strict, takeover, roles)
            run_through(runner.get_loop(), run(options))
    except StartError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
