"""`gateway quota`: what a consumer or tenant has used, and a new beginning."""

from __future__ import annotations

from typing import Any

import click

from gateway.admin.client import ADMIN, ask
from gateway.admin.tables import table
from gateway.json_output import JSON, print_json

TENANT = click.option(
    "--tenant", metavar="NAME", help="The tenant, where auth.yaml does not know it, as one of tokens."
)
_ONLY = click.option("--quota", "only", metavar="NAME", help="Only the quota of this name.")


@click.group()
def quota() -> None:
    """Show and reset quotas of a consumer or tenant in a running gateway."""


@quota.command()
@click.argument("consumer", required=False)
@TENANT
@ADMIN
@_ONLY
@JSON
def show(admin: str, consumer: str | None, tenant: str | None, only: str | None, as_json: bool) -> None:
    """Show usage and rest of the quotas of a consumer, of --tenant, or of a consumer in it."""
    answer = ask(admin, "GET", "/quotas", params=about(consumer, tenant, "quota", only))
    if as_json:
        print_json(answer)
        return
    rows = [
        (each["name"], _which(each), _number(each["used"]), _limit(each), _left(each), each.get("resets") or "-")
        for each in answer["quotas"]
    ]
    click.echo(table(("QUOTA", "OF", "USED", "LIMIT", "LEFT", "RESETS"), rows))


@quota.command()
@click.argument("consumer", required=False)
@TENANT
@ADMIN
@_ONLY
@JSON
def reset(admin: str, consumer: str | None, tenant: str | None, only: str | None, as_json: bool) -> None:
    """Reset the usage of a consumer, of --tenant, or of a consumer in it in the current day or month."""
    answer = ask(admin, "DELETE", "/quotas", params=about(consumer, tenant, "quota", only))
    if as_json:
        print_json(answer)
        return
    for each in answer["reset"]:
        of = _which(each)
        click.echo(f"reset: {each['name']}{'' if of == '-' else f' ({of})'}, of which {each['forgiven']} were used")


def about(consumer: str | None, tenant: str | None, kind: str, only: str | None) -> dict[str, str]:
    """Whom a command is about, and of which quota or budget alone."""
    if consumer is None and tenant is None:
        raise click.UsageError("name a consumer, or a tenant with --tenant")
    asked = {"consumer": consumer, "tenant": tenant, kind: only}
    return {name: value for name, value in asked.items() if value is not None}


def _which(each: dict[str, Any]) -> str:
    return ", ".join(f"{name} {each[name]}" for name in ("tenant", "route") if each.get(name)) or "-"


def _number(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def _limit(each: dict[str, Any]) -> str:
    """With those of groups, where only a token says whether it is in one."""
    return ", ".join([str(each["limit"]), *(f"{group}: {limit}" for group, limit in each.get("tiers", {}).items())])


def _left(each: dict[str, Any]) -> str:
    if "why" in each or each["used"] is None:
        return each.get("why") or "unknown"
    tiers = (f"{group}: {max(0, limit - each['used'])}" for group, limit in each.get("tiers", {}).items())
    return ", ".join([str(each["remaining"]), *tiers])
