"""`gateway blocklist`: what the admin API of a running gateway does, from a shell."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any, TypeVar

import click

from gateway.admin.client import ADMIN, ask
from gateway.admin.tables import table
from gateway.json_output import JSON, print_json

F = TypeVar("F", bound=Callable[..., Any])

_KINDS = (
    ("--network", "network", "A network (CIDR) or an address."),
    ("--consumer", "consumer", "The name of a consumer."),
    ("--user-agent", "user_agent", "A pattern of user agents: '*sqlmap*'."),
    ("--path", "path", "A pattern of paths: '*/.git/*'."),
)


def _about(command: F) -> F:
    """The options that say whom an entry is about."""
    for flag, name, text in reversed(_KINDS):
        command = click.option(flag, name, help=text)(command)
    return click.argument("values", nargs=-1, metavar="", expose_value=False, callback=_without_flag)(command)


def _without_flag(context: click.Context, _: click.Parameter, values: tuple[str, ...]) -> None:
    """Refuse a value that does not say what it is, and say how it is written."""
    for value in values:
        pattern = "--path" if value.startswith(("/", "*/")) else "--user-agent"
        flag = pattern if "/" in value or "*" in value else "--consumer"
        with contextlib.suppress(ValueError):
            ip_network(value, strict=False)
            flag = "--network"
        kinds = ", ".join(each for each, _, _ in _KINDS)
        meant = f"{context.command_path} {flag} {shlex.quote(value)}"
        raise click.UsageError(f"say what {value} is, by one of {kinds}: {meant}")


@click.group()
def blocklist() -> None:
    """List, add and lift entries of the blocklist of a running gateway."""


@blocklist.command("list")
@ADMIN
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1), help="How many, at most.")
@JSON
def list_entries(admin: str, limit: int, as_json: bool) -> None:
    """List the active entries, the latest first."""
    answer = ask(admin, "GET", "/blocklist", params={"limit": limit})
    if as_json:
        print_json(answer)
        return
    rows = [(e["kind"], e["value"], e["until"] or "-", e["source"], e["reason"] or "-") for e in answer["entries"]]
    click.echo(table(("KIND", "VALUE", "UNTIL", "SOURCE", "REASON"), rows))
    if answer["count"] > len(answer["entries"]):
        click.echo(f"... and {answer['count'] - len(answer['entries'])} more (--limit)")
    _warn(answer)


@blocklist.command()
@ADMIN
@_about
@click.option("--reason", default="", help="Why.")
@click.option("--for", "duration", metavar="DURATION", help="How long: 30m, 12h. Unset: until it is lifted.")
@click.option("--until", metavar="TIME", help="When it ends: 2026-01-31T12:00:00Z.")
def add(admin: str, reason: str, duration: str | None, until: str | None, **about: str | None) -> None:
    """Block a client."""
    entry = {name: value for name, value in about.items() if value is not None}
    times = {name: value for name, value in (("for", duration), ("until", until)) if value is not None}
    answer = ask(admin, "POST", "/blocklist", json={**entry, **times, "reason": reason})
    entry = answer["entry"]
    click.echo(
        f"blocked: {entry['kind']} {entry['value']}, {'until ' + entry['until'] if entry['until'] else 'for good'}"
    )
    _warn(answer)


@blocklist.command()
@ADMIN
@_about
def lift(admin: str, **about: str | None) -> None:
    """Lift an entry. Entries of middleware.yaml are removed there."""
    given = [(name, value) for name, value in about.items() if value is not None]
    if len(given) != 1:
        raise click.UsageError(f"exactly one of {', '.join(flag for flag, _, _ in _KINDS)} is needed")
    answer = ask(admin, "DELETE", "/blocklist", params={"kind": given[0][0], "value": given[0][1]})
    click.echo(f"lifted: {answer['lifted']['kind']} {answer['lifted']['value']}")
    _warn(answer)


def _warn(answer: dict[str, Any]) -> None:
    if not answer["kept"]:
        click.echo("warning: not written to the state directory yet; the log of the gateway says why", err=True)
    if answer["shared"] is False:
        click.echo("warning: not shared yet; Redis does not answer", err=True)
