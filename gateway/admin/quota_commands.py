"""`gateway quota`: what a consumer has used, and a new beginning."""

from __future__ import annotations

from typing import Any

import click

from gateway.admin.client import ADMIN, ask
from gateway.admin.tables import table
from gateway.json_output import JSON, print_json

_ONLY = click.option("--quota", "only", metavar="NAME", help="Only the quota of this name.")


@click.group()
def quota() -> None:
    """Show and reset quotas of a consumer in a running gateway."""


@quota.command()
@click.argument("consumer")
@ADMIN
@_ONLY
@JSON
def show(admin: str, consumer: str, only: str | None, as_json: bool) -> None:
    """Show usage and rest of a consumer's quotas."""
    answer = ask(admin, "GET", "/quotas", params=_about(consumer, only))
    if as_json:
        print_json(answer)
        return
    rows = [
        (each["name"], _which(each), _number(each["used"]), str(each["limit"]), _left(each), each.get("resets") or "-")
        for each in answer["quotas"]
    ]
    click.echo(table(("QUOTA", "OF", "USED", "LIMIT", "LEFT", "RESETS"), rows))


@quota.command()
@click.argument("consumer")
@ADMIN
@_ONLY
@JSON
def reset(admin: str, consumer: str, only: str | None, as_json: bool) -> None:
    """Reset a consumer's usage in the current day or month."""
    answer = ask(admin, "DELETE", "/quotas", params=_about(consumer, only))
    if as_json:
        print_json(answer)
        return
    for each in answer["reset"]:
        of = _which(each)
        click.echo(f"reset: {each['name']}{'' if of == '-' else f' ({of})'}, of which {each['forgiven']} were used")


def _about(consumer: str, only: str | None) -> dict[str, str]:
    return {"consumer": consumer} | ({} if only is None else {"quota": only})


def _which(each: dict[str, Any]) -> str:
    return ", ".join(f"{name} {each[name]}" for name in ("tenant", "route") if each.get(name)) or "-"


def _number(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def _left(each: dict[str, Any]) -> str:
    return each["why"] if "why" in each else _number(each["remaining"])
