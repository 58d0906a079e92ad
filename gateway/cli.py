"""The command line: serve, check, explain, routes, schema."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gateway.admin.blocklist_commands import blocklist
from gateway.admin.client import ADMIN, ask
from gateway.admin.commands import admin as admin_commands
from gateway.admin.config_commands import config
from gateway.admin.status_commands import status, top
from gateway.admin.tables import table
from gateway.auth.commands import keys
from gateway.http import messages
from gateway.monitor.audit_commands import audit
from gateway.registry.commands import register

CONFIG = click.option(
    "--config",
    "directory",
    envvar="GATEWAY_CONFIG",
    default=".",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of routes.yaml, middleware.yaml and auth.yaml.",
)


_MAX_VALUE = 64 * 1024  # bytes of a header's value in a file


def _made() -> str:
    """Whether the request path runs as it was written, or compiled (see setup.py)."""
    return "interpreted" if (messages.__file__ or "").endswith(".py") else "compiled"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flowmaster-gateway", message=f"gateway %(version)s, {_made()}")
def main() -> None:
    """A self-hosted API gateway."""


main.add_command(keys)
main.add_command(blocklist)
main.add_command(audit)
main.add_command(admin_commands)
main.add_command(config)
main.add_command(status)
main.add_command(top)
main.add_command(register)


@main.command()
@CONFIG
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--admin", default="127.0.0.1:9001", show_default=True, help="Address of the admin API, or off.")
@click.option(
    "--metrics", default="off", show_default=True, help="Address of metrics and health alone, read-only, or off."
)
@click.option("--log-format", type=click.Choice(["json", "console"]), help="Overrides access_log.format.")
@click.option(
    "--resolve",
    envvar="GATEWAY_RESOLVE",
    default="",
    metavar="NAME=ADDRESS,...",
    help="Addresses of host names that the name service need not know.",
)
def serve(
    directory: Path, host: str, port: int, admin: str, metrics: str, log_format: str | None, resolve: str
) -> None:
    """Serve the configuration until SIGTERM."""
    from gateway.config.secrets import KnownSecrets  # noqa: PLC0415  the others start faster without a server
    from gateway.custom_code import run_through  # noqa: PLC0415
    from gateway.monitor.process_log import process_log  # noqa: PLC0415
    from gateway.server.listen import ListenError  # noqa: PLC0415
    from gateway.server.run import ServeOptions  # noqa: PLC0415
    from gateway.server.run import serve as run  # noqa: PLC0415

    secrets = KnownSecrets()
    admin_at, metrics_at = _address(admin, "--admin", 9001), _address(metrics, "--metrics", 9464)
    options = ServeOptions(directory, (host, port), admin_at, metrics_at, log_format, _resolve(resolve), secrets)
    try:
        with process_log(secrets), asyncio.Runner(loop_factory=_new_loop) as runner:
            run_through(runner.get_loop(), run(options))
    except ListenError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _address(text: str, option: str, example: int) -> tuple[str, int] | None:
    if text == "off":
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"expected host:port, such as 127.0.0.1:{example}, or off", param_hint=option)
    return host.strip("[]"), int(port)


def _resolve(text: str) -> dict[str, str]:
    """`a=127.0.0.1,b=10.0.0.2`"""
    pairs = [pair.partition("=")[::2] for pair in text.split(",") if pair.strip()]
    if not all(name.strip() and address.strip() for name, address in pairs):
        raise click.BadParameter("expected NAME=ADDRESS pairs, separated by commas", param_hint="--resolve")
    return {name.strip().lower(): address.strip() for name, address in pairs}


@main.command()
@CONFIG
@click.option("--resolve", envvar="GATEWAY_RESOLVE", default="", metavar="NAME=ADDRESS,...", help="As of serve.")
def check(directory: Path, resolve: str) -> None:
    """Validate the configuration, and warn of what is probably not meant. Exit code 1 on errors."""
    from gateway.check import check as run  # noqa: PLC0415

    gc.disable()  # the process ends before there is anything to collect: a third of the time with many routes
    problems = run(directory, _resolve(resolve))
    errors = [problem for problem in problems if problem.severity == "error"]
    for problem in problems:
        click.echo(f"{problem.severity}: {problem}", err=True)
    if errors:
        click.echo(f"{len(errors)} errors, {len(problems) - len(errors)} warnings: this would not be served", err=True)
        sys.exit(1)
    click.echo(f"ok, {len(problems)} warnings")


@main.command()
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

    snapshot = _snapshot(directory)
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


@main.command()
@CONFIG
def routes(directory: Path) -> None:
    """List the routes as a table."""
    from gateway.config.load import ConfigError, load  # noqa: PLC0415

    try:
        configuration = load(directory, os.environ)
    except ConfigError as error:
        _refuse(error)
    rows = []
    for route in configuration.routes.routes:
        sent = route.rewrite or (f"without {route.strip_prefix}" if route.strip_prefix else "as it is")
        methods = ",".join(route.methods or ("any",))
        target = route.target
        if route.redirect is not None:
            target, sent = f"redirect {route.redirect.status}", route.redirect.to
        rows.append((route.id, methods, ",".join(route.host or ("any",)), route.path, target, sent))
    click.echo(table(("ID", "METHODS", "HOST", "PATH", "TARGET", "SENT AS"), rows))


@main.command()
@click.argument("file", required=False, type=click.Choice(["routes.yaml", "middleware.yaml", "auth.yaml"]))
def schema(file: str | None) -> None:
    """Print the JSON Schema of one file, or of all three by name."""
    from gateway.config.docs.schema import schemas  # noqa: PLC0415

    click.echo(json.dumps(schemas() if file is None else schemas()[file], indent=2))


def _snapshot(directory: Path) -> Any:
    """The configuration, compiled without a server. Ends the command where it has errors."""
    from gateway.check import compile_offline  # noqa: PLC0415
    from gateway.config.load import ConfigError  # noqa: PLC0415

    try:
        return compile_offline(directory)
    except ConfigError as error:
        _refuse(error)


def _refuse(error: Any) -> Any:
    for problem in error.problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(1)


def run() -> None:
    """The command; it ends when it is done. Policies and applications may have left threads, or work for the end of
    the process, that never end: neither is waited for."""
    code: Any = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        click.echo(code, err=True)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    run()
