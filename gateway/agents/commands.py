"""`gateway agents`: the bridge to an agent network, and what sets it up. The rest is imported when a command is run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import click

from gateway.admin.client import ADMIN
from gateway.json_output import JSON, print_json
from gateway.roles import Role
from gateway.seconds_option import Seconds

if TYPE_CHECKING:
    from gateway.agents.daemon import DaemonSocket
    from gateway.agents.handshakes import Peer
    from gateway.agents.role_setup import RoleSetup

T = TypeVar("T")

NICENESS: Final = 10  # beside a gateway on the same cores, it is the bridge that waits

CONFIG = click.option(
    "--config",
    "directory",
    envvar="GATEWAY_CONFIG",
    default=".",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of middleware.yaml and auth.yaml.",
)
ROLE = click.option("--role", required=True, type=click.Choice(get_args(Role)), help="The role of the agent.")
SOCKET = click.option("--socket", metavar="PATH", help="The daemon's socket. Unset: agents.socket of middleware.yaml.")


def _prefix(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    import re  # noqa: PLC0415

    if text is not None and re.fullmatch("[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", text, re.ASCII) is None:
        raise click.BadParameter("expected at most 40 small letters, digits and hyphens, such as acme")
    return text


PREFIX = click.option(
    "--prefix",
    callback=_prefix,
    metavar="TEXT",
    help="What the names of the agents begin with. Unset: agents.prefix of middleware.yaml.",
)
NEEDED_PREFIX = click.option(
    "--prefix", required=True, callback=_prefix, metavar="TEXT", help="What the names of the agents begin with."
)


@click.group()
def agents() -> None:
    """Work with the bridge to an agent network (docs/agents.md)."""


@agents.command()
@click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice(get_args(Role)), help="One or several."
)
@PREFIX
@CONFIG
@SOCKET
@ADMIN
@click.option(
    "--wait", default=5.0, show_default=True, type=Seconds(0, 3600), help="Seconds for the daemon to be there."
)
@click.option("--log-format", type=click.Choice(["json", "console"]), default="json", show_default=True)
def serve(
    roles: tuple[Role, ...],
    prefix: str | None,
    directory: Path,
    socket: str | None,
    admin: str,
    wait: float,
    log_format: str,
) -> None:
    """Bring roles of a gateway onto the agent network, until a signal ends it.

    The gateway is met over `bus: redis`, or by its admin API. Exit code 1 where the daemon is not there in time.
    """
    import sys  # noqa: PLC0415

    import uvloop  # noqa: PLC0415

    os.nice(NICENESS)  # before the imports, which take half a second of a core
    from gateway.agents.serve import ServeOptions, StartError  # noqa: PLC0415
    from gateway.agents.serve import serve as run  # noqa: PLC0415
    from gateway.config.problems import ConfigError  # noqa: PLC0415
    from gateway.config.secrets import KnownSecrets  # noqa: PLC0415
    from gateway.monitor.process_log import process_log  # noqa: PLC0415

    secrets = KnownSecrets()
    options = ServeOptions(
        directory, tuple(dict.fromkeys(roles)), prefix, socket, admin, wait, secrets, dict(os.environ)
    )
    try:
        with (
            process_log(secrets, console=log_format == "console"),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(run(options))
    except StartError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"error: {problem}", err=True)
        sys.exit(1)


@agents.command()
@ROLE
@NEEDED_PREFIX
@click.option("--write", is_flag=True, help="Write it to ~/.pilot/setups/api-gateway-manager.json, for its owner only.")
@click.option("--force", is_flag=True, help="Replace another one, or one that was edited.")
def manifest(role: Role, prefix: str, write: bool, force: bool) -> None:
    """Print the manifest of a role, or write it where agents look for it."""
    from gateway.agents.manifests import NotWritten, manifest_path, manifest_text, write_manifest  # noqa: PLC0415

    text = manifest_text(role, prefix)
    if not write:
        click.echo(text, nl=False)
        return
    path = manifest_path(Path.home())
    try:
        written = write_manifest(path, text, force=force)
    except NotWritten as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"{path} is written" if written else f"{path} is there already")


@agents.command()
@ROLE
@NEEDED_PREFIX
def setup(role: Role, prefix: str) -> None:
    """Print what to do for an agent of this role, with commands as they are today."""
    from gateway.agents.manifests import setup_lines  # noqa: PLC0415

    click.echo("\n".join(setup_lines(role, prefix)))


@agents.command()
@ROLE
@PREFIX
@CONFIG
@SOCKET
@click.option("--wait", default=30.0, show_default=True, type=Seconds(0, 3600), help="Seconds for the others.")
@click.option("--yes", is_flag=True, help="Approve agents whose keys are pinned, without asking; no others.")
def handshake(role: Role, prefix: str | None, directory: Path, socket: str | None, wait: float, yes: bool) -> None:
    """Ask the peers of a role for trust, and approve theirs. Exit code 1 where a handshake is missing afterwards.

    A request is approved only of who has the name of a peer, for the reason of the setup, and with the key that you
    confirm.
    """
    from gateway.agents.handshakes import shake_hands  # noqa: PLC0415

    role_setup = _role_setup(directory, role, prefix, socket)
    settings = role_setup.settings

    def confirm(hostname: str, key: str) -> bool:
        if settings.pinned(hostname) is not None and yes:
            return True
        try:
            return not yes and click.confirm(f"{hostname} asks for trust. Is its key {key}?", default=False)
        except click.Abort:
            return False

    peers = _asking(role_setup, lambda daemon: shake_hands(daemon, settings, confirm, wait, click.echo))
    _show_peers(peers)


@agents.command()
@ROLE
@PREFIX
@CONFIG
@SOCKET
@JSON
def verify(role: Role, prefix: str | None, directory: Path, socket: str | None, as_json: bool) -> None:
    """Check all handshakes of a role. Exit code 1 where one is missing."""
    from gateway.agents.handshakes import look  # noqa: PLC0415

    role_setup = _role_setup(directory, role, prefix, socket)
    _show_peers(_asking(role_setup, lambda daemon: look(daemon, role_setup.settings)), as_json=as_json)


@agents.command()
@click.option("--role", "roles", multiple=True, type=click.Choice(get_args(Role)), help="Only these. Unset: all.")
@CONFIG
@JSON
def status(roles: tuple[Role, ...], directory: Path, as_json: bool) -> None:
    """Show the bridges of this machine: daemon, trust, peers, ages of messages, what was refused and lost.

    Exit code 2 where something does not work, or none runs. Errors of the configuration are said, and stop nothing.
    """
    from gateway.agents.role_setup import state_beside_errors, state_of  # noqa: PLC0415
    from gateway.agents.status import lines, read_all  # noqa: PLC0415

    try:
        state = _config(lambda: state_of(directory))
    except click.ClickException as error:
        error.show()
        state, certain = state_beside_errors(directory)
        guess = "" if certain else ", the default, as state_directory cannot be read"
        click.echo(f"the bridges that run go on; what follows is from {state}{guess}", err=True)
    found = read_all(state, roles or get_args(Role))
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(lines(found)) or "no bridge has run with this configuration; gateway agents serve begins")
    raise SystemExit(0 if found and all(each["works"] for each in found) else 2)


@agents.command()
@click.argument("hostname")
@ROLE
@PREFIX
@CONFIG
@SOCKET
@click.option("--key", help="The key that it must have now, in base64, in place of being asked.")
def repin(hostname: str, role: Role, prefix: str | None, directory: Path, socket: str | None, key: str | None) -> None:
    """Pin the key that an agent has now, in place of the one that was pinned."""
    from gateway.agents.pins import pin  # noqa: PLC0415
    from gateway.agents.trust import key_of, key_text, named_of  # noqa: PLC0415

    role_setup = _role_setup(directory, role, prefix, socket)
    if hostname not in role_setup.settings.peers:
        raise click.ClickException(
            f"{role_setup.settings.hostname} has the peers {', '.join(role_setup.settings.peers)}, and no other"
        )
    if hostname in role_setup.settings.pins:
        raise click.ClickException(f"the key of {hostname} is in agents.pins of middleware.yaml; change it there")
    answer = _asking(role_setup, lambda daemon: daemon.resolve(hostname))
    named = named_of(hostname, answer)
    if named is None or not named.key:
        raise click.ClickException(f"the rendezvous does not say which key {hostname} has")
    former = _pinning(lambda: role_setup.settings.pinned(hostname))
    if key is not None and key_of(key) != named.key:
        raise click.ClickException(f"{hostname} has the key {key_text(named.key)}, and not that one")
    if former == named.key:
        click.echo(f"{hostname} has the key that is pinned, {key_text(named.key)}")
        return
    if key is None:
        click.echo(f"pinned: {key_text(former) if former else 'none'}\nnow:    {key_text(named.key)}")
        click.confirm(f"Is that the key of {hostname}, as its operator says?", abort=True)
    found = named.key
    _pinning(lambda: pin(role_setup.settings.pins_file, hostname, found, replace=True))
    click.echo(f"{hostname} is believed with the key {key_text(named.key)} from now on")


def _pinning(work: Callable[[], T]) -> T:
    """Ends the command where the file of pinned keys cannot be used."""
    from gateway.agents.pins import PinsError  # noqa: PLC0415

    try:
        return work()
    except (PinsError, OSError) as error:
        raise click.ClickException(str(error)) from None


def _config(read: Callable[[], T]) -> T:
    """Ends the command where the configuration has errors."""
    from gateway.agents.role_setup import SetupProblem  # noqa: PLC0415
    from gateway.config.problems import ConfigError  # noqa: PLC0415

    try:
        return read()
    except ConfigError as error:
        raise click.ClickException("\n".join(map(str, error.problems))) from None
    except SetupProblem as error:
        raise click.ClickException(str(error)) from None


def _role_setup(directory: Path, role: Role, prefix: str | None, socket: str | None) -> RoleSetup:
    from gateway.agents.role_setup import role_setup  # noqa: PLC0415

    return _config(lambda: role_setup(directory, role, prefix, socket))


def _asking(role_setup: RoleSetup, ask: Callable[[DaemonSocket], Coroutine[Any, Any, T]]) -> T:
    """The daemon's answer. Ends the command where it is not there."""
    from gateway.agents.daemon import DaemonError, daemon_socket  # noqa: PLC0415
    from gateway.agents.pins import PinsError  # noqa: PLC0415

    async def run() -> T:
        async with daemon_socket(role_setup.socket) as daemon:
            return await ask(daemon)

    try:
        return asyncio.run(run())
    except (DaemonError, PinsError, OSError) as error:  # a daemon that is gone is an OSError, too
        raise click.ClickException(str(error) or "the daemon does not answer") from None


def _show_peers(peers: list[Peer], *, as_json: bool = False) -> None:
    if as_json:
        print_json(
            [
                {
                    "hostname": peer.hostname,
                    "node": None if peer.named is None else peer.named.node,
                    "key": peer.key or None,
                    "mutual": peer.trust is not None and peer.trust.mutual,
                    "problem": peer.problem or None,
                }
                for peer in peers
            ]
        )
    else:
        for peer in peers:
            click.echo(f"{peer.hostname}: {peer.problem or f'trusted, with the key {peer.key}'}")
    raise SystemExit(1 if any(peer.problem for peer in peers) else 0)
