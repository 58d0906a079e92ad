"""`gateway config`: the configurations that a running gateway has served, what changed, and back to one of them."""

from __future__ import annotations

import click

from gateway.admin.client import ADMIN, RELOAD_SECONDS, ask
from gateway.admin.tables import table


@click.group()
def config() -> None:
    """The configurations that a running gateway has served since its start."""


@config.command()
@ADMIN
def history(admin: str) -> None:
    """List them, the newest first."""
    answer = ask(admin, "GET", "/config/history")
    rows = [(each["digest"], each["loaded_at"], each["cause"], str(each["bytes"])) for each in answer["versions"]]
    click.echo(table(("DIGEST", "LOADED", "CAUSE", "BYTES"), rows))
    if answer["rolled_back"]:
        lasts = "`gateway config rollback` lasts until they change, or a gateway starts"
        click.echo(f"rolled back: the files say something else; {lasts}")


@config.command()
@ADMIN
@click.argument("old", required=False)
@click.argument("new", required=False)
def diff(admin: str, old: str | None, new: str | None) -> None:
    """Show the changes from OLD to NEW, without secrets. Unset: from the former configuration to the current one."""
    wanted = {"from": old, "to": new}
    click.echo(
        ask(admin, "GET", "/config/diff", params={key: value for key, value in wanted.items() if value}), nl=False
    )


@config.command()
@ADMIN
@click.argument("digest", required=False)
def rollback(admin: str, digest: str | None) -> None:
    """Serve a former configuration again, until the files change or a reload is requested. Unset: the one before;
    while the files are refused, it must be named, as what is served is the last good one then."""
    params = {"to": digest} if digest else {}
    answer = ask(admin, "POST", "/config/rollback", seconds=RELOAD_SECONDS, params=params)
    now, before = answer["digest"], answer.get("before")
    instead = f", in place of {before}" if before else ""
    click.echo(f"configuration {now} is served{instead}; the files have not been changed: correct them")
