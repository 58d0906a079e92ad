"""`gateway monitor`: throughput, error rates and percentiles, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from gateway.admin.client import ADMIN, ask
from gateway.admin.tables import table
from gateway.json_output import JSON, print_json

_PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")
_SORTS = ("requests", "errors", "error_rate", "p50", "p90", "p95", "p99", "p999", "name")


@click.command()
@ADMIN
@click.option(
    "--by",
    type=click.Choice(("route", "upstream", "endpoint", "tenant")),
    default="route",
    show_default=True,
    help="The kind of subjects to compare; an upstream is a service.",
)
@click.option(
    "--window", type=click.Choice(("10s", "1m", "5m", "1h")), default="1m", show_default=True, help="Up to now."
)
@click.option("--name", help="Only these; * stands for any text.")
@click.option(
    "--sort", type=click.Choice(_SORTS), default="requests", show_default=True, help="Sort in descending order by this."
)
@click.option("--rows", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@JSON
def monitor(admin: str, by: str, window: str, name: str | None, sort: str, rows: int, as_json: bool) -> None:
    """Show rates, errors and latencies of the last seconds to the last hour, by route, service, endpoint or tenant."""
    wanted = {"by": by, "window": window, "name": name, "sort": sort, "limit": str(rows)}
    found = ask(admin, "GET", "/monitor", params={key: value for key, value in wanted.items() if value is not None})
    if as_json:
        print_json(found)
        return
    gateways = "" if found["gateways"] == 1 else f", of {found['gateways']} gateways"
    lines = [f"the last {found['window']} before {found['at']}{gateways}"]
    if found["alone"]:
        lines.append(found["alone"])
    if found["left_out"]:
        lines.append(f"of {found['left_out']} of the least busy, something is not kept: they are too many")
    click.echo("\n".join(lines))
    head = (by.upper(), "REQUESTS/S", "ERRORS", *(each.upper() for each in _PERCENTILES if by != "tenant"))
    rest = [_row(each["name"], each, by) for each in found["subjects"]]
    click.echo(table(head, [_row("(all)", found["all"], by), *rest]))


def _row(name: str, figures: Mapping[str, Any], by: str) -> tuple[str, ...]:
    numbers = (f"{figures['throughput']:.1f}", f"{figures['error_rate']:.2%}")
    if by == "tenant":
        return name, *numbers
    return name, *numbers, *(_duration(figures[f"{each.replace('.', '')}_ms"]) for each in _PERCENTILES)


def _duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.3g} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.3g} s"
