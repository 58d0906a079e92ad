"""`gateway models`: what models took of a running gateway, what is left of budgets, and what tokens cost."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.admin.client import ADMIN, ask
from gateway.admin.quota_commands import TENANT, about
from gateway.admin.tables import table
from gateway.cli.options import CONFIG, refuse
from gateway.json_output import JSON, print_json

if TYPE_CHECKING:
    from gateway.llm.prices import Price

_BY = click.option(
    "--by",
    multiple=True,
    type=click.Choice(("tenant", "consumer", "model")),
    help="The grouping of the sums; may be repeated. Default: model.",
)
_CONSUMER = click.option("--consumer", metavar="NAME", help="Only this consumer.")


@click.group()
def models() -> None:
    """Tokens, money and budgets of models."""


@models.command()
@ADMIN
@_BY
@_CONSUMER
@JSON
def usage(admin: str, by: tuple[str, ...], consumer: str | None, as_json: bool) -> None:
    """Show the tokens and the money used by models since the gateway started.

    HITS are requests that the cache of the gateway answered, CACHED tokens of input that a provider had cached. No
    COST: no price is known, or, as of sessions in real time, no usage.
    """
    answer = _asked(admin, consumer, by)
    if as_json:
        print_json(answer)
        return
    subjects = by or ("model",)
    columns = ("requests", "cache_hits", "input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")
    rows = [
        (
            *(each[subject] or "-" for subject in subjects),
            *(str(each[name]) for name in columns),
            _cost(each),
        )
        for each in answer["usage"]
    ]
    counted = ("REQUESTS", "HITS", "INPUT", "OUTPUT", "CACHED", "REASONING", "COST")
    click.echo(table((*(subject.upper() for subject in subjects), *counted), rows))
    reserved = answer["reserved"]
    click.echo(f"reserved: {reserved['tokens']} tokens, ${reserved['usd']}, by {reserved['requests']} requests")
    for warning in answer["prices"]["warnings"]:
        click.echo(f"warning: {warning}", err=True)


@models.command()
@ADMIN
@_CONSUMER
@JSON
def budgets(admin: str, consumer: str | None, as_json: bool) -> None:
    """Show usage and rest of budgets: of those with the most usage, or of one consumer."""
    answer = _asked(admin, consumer, ())["budgets"]
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["budget"],
            each["window"],
            caller["caller"],
            *(
                _amount(found, name)
                for name, found in (*((n, caller) for n in ("used", "held", "left")), ("limit", each))
            ),
            each["resets"],
        )
        for each in answer
        for caller in each["callers"]
    ]
    click.echo(table(("BUDGET", "WINDOW", "OF", "USED", "HELD", "LEFT", "LIMIT", "RESETS"), rows))


@models.command()
@ADMIN
@JSON
def estimates(admin: str, as_json: bool) -> None:
    """Show the estimated tokens per byte, by model and route, and the error of the estimates.

    ERROR is how far estimates of input were off, as a share of what was reported, over about the last ten requests:
    100% is twice as much. The first ones to a model, of which nothing was known, are far off.
    """
    answer = _asked(admin, None, ())["estimates"]
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["model"],
            each["route"],
            f"{each['tokens_per_byte']:.3f}",
            f"{each['error']:.1%}",
            str(each["output_p95"]),
            str(each["reports"]),
        )
        for each in answer
    ]
    click.echo(table(("MODEL", "ROUTE", "TOKENS/BYTE", "ERROR", "OUTPUT P95", "REPORTS"), rows))


@models.command()
@click.argument("consumer", required=False)
@TENANT
@ADMIN
@click.option("--budget", metavar="NAME", help="Only the budget of this name.")
@JSON
def reset(admin: str, consumer: str | None, tenant: str | None, budget: str | None, as_json: bool) -> None:
    """Reset a consumer or its tenant, or --tenant, in the current windows of its budgets."""
    answer = ask(admin, "DELETE", "/models/budgets", params=about(consumer, tenant, "budget", budget))
    if as_json:
        print_json(answer)
        return
    for each in answer["reset"]:
        click.echo(f"reset: {each['budget']} ({each['window']}), of which {_amount(each, 'forgiven')} were used")


@models.command()
@CONFIG
@click.argument("names", metavar="[PROVIDER/MODEL]...", nargs=-1)
@JSON
def prices(directory: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Show token prices of the models in models.yaml, or of these, in dollars for a million."""
    from gateway.config.load import ConfigError, load  # noqa: PLC0415  the other commands start faster without it
    from gateway.llm.money import named_backends, prices_of  # noqa: PLC0415

    try:
        configuration = load(directory)
        if configuration.models is None:
            click.echo("error: there are no models: write models.yaml", err=True)
            sys.exit(1)
        found = prices_of(configuration)
    except ConfigError as error:
        refuse(error)
    asked = [(provider, model) for provider, _, model in (name.partition("/") for name in names)]
    shown: list[dict[str, Any]] = [
        {"provider": provider, "model": model, "tiers": _tiers(found.price(provider, model))}
        for provider, model in asked or named_backends(configuration.models)
    ]
    for warning in found.warnings():
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        print_json(shown)
        return
    rows = [
        (each["provider"], each["model"], *(tier or ("unknown", "", "", "", "")))
        for each in shown
        for tier in [tuple(tier.values()) for tier in each["tiers"]] or [()]
    ]
    click.echo(table(("PROVIDER", "MODEL", "ABOVE", "INPUT", "OUTPUT", "CACHED", "WRITTEN"), rows))


def _tiers(price: Price | None) -> list[dict[str, str]]:
    """A row for each tier: from how many tokens of input on, and dollars for a million."""
    return [
        {
            "above": str(above),
            "input": _dollars(rates.input),
            "output": _dollars(rates.output),
            "cache_read": _dollars(rates.cache_read),
            "cache_write": _dollars(rates.cache_write),
        }
        for above, rates in (price.tiers if price is not None else ())
    ]


def _dollars(femto: int) -> str:
    return f"{Decimal(femto).scaleb(-9).normalize():f}"


def _cost(used: Any) -> str:
    """What it cost; `-` where that is not known."""
    unpriced = used["requests"] and used["unpriced"] >= used["requests"]
    is_counted = used["input_tokens"] or used["output_tokens"] or used["cache_hits"]
    return "-" if unpriced or not (is_counted or Decimal(used["cost_usd"])) else f"${used['cost_usd']}"


def _asked(admin: str, consumer: str | None, by: tuple[str, ...]) -> Any:
    params: list[tuple[str, str]] = [("by", each) for each in by]
    return ask(admin, "GET", "/models/usage", params=params + ([] if consumer is None else [("consumer", consumer)]))


def _amount(found: dict[str, Any], name: str) -> str:
    key = next(key for key in found if key.startswith(f"{name}_"))
    return f"${found[key]}" if key.endswith("_usd") else str(found[key])
