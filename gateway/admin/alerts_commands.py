"""`gateway alerts`: what fires, whether messages arrive, and what is not to be sent for a while."""

from __future__ import annotations

from typing import Any

import click

from gateway.admin.client import ADMIN, ask
from gateway.admin.tables import table
from gateway.json_output import JSON, print_json
from gateway.plurals import counted


@click.group()
def alerts() -> None:
    """Show alerts of a running gateway, test their senders, silence them."""


@alerts.command("list")
@click.option("--state", type=click.Choice(["firing", "pending", "resolved"]), help="Only those in this state.")
@ADMIN
@JSON
def list_(admin: str, state: str | None, as_json: bool) -> None:
    """List alerts that fire, are pending, or were over in the last hour, and senders and silences. Exit code 2 where
    one fires."""
    answer = ask(admin, "GET", "/alerts", params={} if state is None else {"state": state})
    silences = ask(admin, "GET", "/silences")["silences"]
    if as_json:
        print_json(answer | {"silences": silences})
    else:
        click.echo("\n\n".join(filter(None, (_alerts(answer), _senders(answer["senders"]), _silences(silences)))))
    raise SystemExit(2 if any(each["state"] == "firing" for each in answer["alerts"]) else 0)


@alerts.command()
@click.argument("sender", required=False)
@ADMIN
@JSON
def test(admin: str, sender: str | None, as_json: bool) -> None:
    """Send a test to SENDER, or to all of them. Exit code 1 if one fails."""
    answer = ask(admin, "POST", "/alerts/test", params={} if sender is None else {"sender": sender})
    if as_json:
        print_json(answer)
    else:
        for each in answer["tests"]:
            click.echo(f"{each['sender']}: " + ("sent" if each["sent"] else f"not sent: {each['reason']}"))
    raise SystemExit(0 if all(each["sent"] for each in answer["tests"]) else 1)


@alerts.command()
@click.option("--rule", metavar="PATTERN", help="Alerts of rules with this name; * and ? are wildcards.")
@click.option("--subject", metavar="PATTERN", help="Alerts about this: orders, or route orders.")
@click.option("--severity", metavar="PATTERN", help="Alerts of this severity.")
@click.option("--for", "duration", default="2h", show_default=True, metavar="TIME", help="How long: 30m, 2h, 1d.")
@click.option("--comment", default="", help="Why.")
@click.option("--lift", metavar="ID", help="End this silence instead.")
@ADMIN
@JSON
def silence(admin: str, as_json: bool, lift: str | None, duration: str, comment: str, **patterns: str | None) -> None:
    """Silence alerts for a while, or (--lift) end a silence. At least one pattern is needed; --rule '*' is all."""
    if lift is not None:
        answer = ask(admin, "DELETE", f"/silences/{lift}")
    else:
        given = {name: pattern for name, pattern in patterns.items() if pattern is not None}
        if not given:
            raise click.UsageError("name the alerts: --rule, --subject or --severity; --rule '*' is all")
        seconds = int(duration) if duration.isdecimal() and duration.isascii() else duration
        answer = ask(admin, "POST", "/silences", json=given | {"for": seconds, "comment": comment})
    if as_json:
        print_json(answer)
    elif lift is not None:
        click.echo(f"lifted: {lift}")
    else:
        made = answer["silence"]
        click.echo(f"silenced until {made['until']}: {made['id']} ({counted(made['silences'], 'alert')} now)")


def _alerts(answer: dict[str, Any]) -> str:
    if not answer["alerts"]:
        return "no alert"
    head = ("RULE", "SEVERITY", "STATE", "SUBJECT", "SINCE", "WHAT")
    rows = [
        (
            each["rule"],
            each["severity"],
            each["state"] + (" (silenced)" if each["silenced_by"] else ""),
            f"{each['subject']['kind']} {each['subject']['name']}".strip(),
            each["since"] or "-",
            each["summary"],
        )
        for each in answer["alerts"]
    ]
    more = answer["count"] - len(rows)
    return table(head, rows) + (f"\n... and {more} more" if more > 0 else "")


def _senders(senders: list[dict[str, Any]]) -> str:
    if not senders:
        return "no alert is sent: alerts.send in middleware.yaml is empty"
    head = ("SENDER", "KIND", "SENT", "FAILED", "WAITING", "NOW")
    numbers = ("sent", "failures", "waiting")
    rows = [
        (each["name"], each["kind"], *(str(each[key]) for key in numbers), each["failure"] or "ok") for each in senders
    ]
    return table(head, rows)


def _silences(silences: list[dict[str, Any]]) -> str:
    if not silences:
        return ""
    head = ("SILENCE", "RULE", "SUBJECT", "SEVERITY", "UNTIL", "BY", "WHY")
    keys = ("id", "rule", "subject", "severity", "until", "author", "comment")
    return table(head, [tuple(each[key] or "-" for key in keys) for each in silences])
