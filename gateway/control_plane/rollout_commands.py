"""`gateway rollout`: revisions on their way to gateways, and what gateways run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click

from gateway.admin.tables import table
from gateway.control_plane.client import CONTROL_PLANE, TOKEN, Client, fail
from gateway.control_plane.revision_commands import SHORT, digest_of, print_changes, revisions
from gateway.json_output import JSON, print_json

F = TypeVar("F", bound=Callable[..., Any])

LOOK_SECONDS = 1.0
ACTIVE = ("pending", "running", "paused")
WATCH = "Wait until it ends; exit code 1 if it is not done then."


def _strategy(command: F) -> F:
    """The options that say how a revision is brought to gateways."""
    for option in (
        click.option("--watch", is_flag=True, help="Wait until it ends; exit code 1 if it is not done then."),
        click.option("--timeout", metavar="DURATION", help="The time limit for gateways to apply it; default: 10m."),
        click.option(
            "--min-requests", type=int, help="Requests that canaries must have answered before the rest follows."
        ),
        click.option("--p95", metavar="DURATION", help="The maximal p95 of canaries, such as 500ms."),
        click.option("--error-rate", metavar="PERCENT", help="The maximal error rate of canaries; default: 5%."),
        click.option("--wait", metavar="DURATION", help="How long canaries are watched, such as 5m."),
        click.option("--canary", metavar="NUMBER|PERCENT", help="The number or share of canaries, such as 1 or 10%."),
    ):
        command = option(command)
    return command


def _body(options: dict[str, Any]) -> dict[str, Any]:
    canary = options["canary"]
    guard = {"errorRate": options["error_rate"], "p95": options["p95"], "minRequests": options["min_requests"]}
    body = {
        "canary": int(canary) if canary is not None and canary.isdigit() else canary,
        "wait": options["wait"],
        "timeout": options["timeout"],
        "guard": {key: value for key, value in guard.items() if value is not None} or None,
    }
    return {key: value for key, value in body.items() if value is not None}


@click.group()
def rollout() -> None:
    """Rollouts of revisions to the gateways of an environment."""


@rollout.command()
@CONTROL_PLANE
@TOKEN
@click.argument("environment")
@click.argument("revision")
@_strategy
def start(url: str, token_file: Path | None, environment: str, revision: str, **options: Any) -> None:
    """Roll REVISION out to the gateways of ENVIRONMENT: to canaries first with --canary or --wait."""
    client = Client(url, token_file)
    where = client.environment(environment)
    body = {"revision": digest_of(client, revision), **_body(options)}
    made = client.ask("POST", "environments", where["uuid"], "rollouts", json=body)
    _began(client, made, watch=options["watch"])


@revisions.command()
@CONTROL_PLANE
@TOKEN
@click.argument("source")
@click.argument("environment")
@_strategy
def promote(url: str, token_file: Path | None, source: str, environment: str, **options: Any) -> None:
    """Roll the current revision of the environment SOURCE out to ENVIRONMENT."""
    client = Client(url, token_file)
    where = client.environment(environment)
    made = client.ask("POST", "environments", where["uuid"], "promote", json={"from": source, **_body(options)})
    _began(client, made, watch=options["watch"])


@revisions.command()
@CONTROL_PLANE
@TOKEN
@click.argument("environment")
@click.option("--to", metavar="DIGEST", help="The revision to go to. Unset: the one that was in force before.")
@click.option("--watch", is_flag=True, help=WATCH)
def rollback(url: str, token_file: Path | None, environment: str, to: str | None, watch: bool) -> None:
    """Return all gateways of ENVIRONMENT to a former revision, at once."""
    client = Client(url, token_file)
    where = client.environment(environment)
    made = client.ask("POST", "environments", where["uuid"], "rollback", json={"revision": to} if to else {})
    _began(client, made, watch=watch)


@rollout.command("list")
@CONTROL_PLANE
@TOKEN
@click.argument("environment")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@JSON
def list_(url: str, token_file: Path | None, environment: str, limit: int, as_json: bool) -> None:
    """List the rollouts of an environment, the newest first."""
    client = Client(url, token_file)
    where = client.environment(environment)
    answer = client.ask("GET", "environments", where["uuid"], "rollouts", params={"limit": limit})
    if as_json:
        print_json(answer)
        return
    rows = [
        (each["uuid"], each["revision"][:SHORT], each["state"], each["createdBy"], each["reason"] or "")
        for each in answer["rollouts"]
    ]
    click.echo(table(("ROLLOUT", "REVISION", "STATE", "BY", "REASON"), rows))


@rollout.command()
@CONTROL_PLANE
@TOKEN
@click.argument("which")
@click.option("--watch", is_flag=True, help=WATCH)
@JSON
def status(url: str, token_file: Path | None, which: str, watch: bool, as_json: bool) -> None:
    """Show the state of a rollout. WHICH: its identifier, or the name of an environment for its last one."""
    client = Client(url, token_file)
    found = _find(client, which)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if watch:
        _watch(client, found)


def _steering(name: str, words: str) -> click.Command:
    @rollout.command(name, help=f"{words} WHICH: its identifier, or the name of an environment for its last one.")
    @CONTROL_PLANE
    @TOKEN
    @click.argument("which")
    def steer(url: str, token_file: Path | None, which: str) -> None:
        client = Client(url, token_file)
        _print(client.ask("POST", "rollouts", _find(client, which)["uuid"], name))

    return steer


for _name, _words in (
    ("pause", "Pause a rollout, leaving the gateways as they are."),
    ("resume", "Resume a paused rollout."),
    ("abort", "Roll a rollout back on all gateways that have it."),
    ("approve", "Approve a rollout that another caller began."),
):
    _steering(_name, _words)


@rollout.command()
@CONTROL_PLANE
@TOKEN
@click.argument("environment")
@click.option("--gateway", help="Only this gateway, with the differences.")
@JSON
def drift(url: str, token_file: Path | None, environment: str, gateway: str | None, as_json: bool) -> None:
    """Compare the running and the wanted revisions of the gateways of an environment; exit code 1 if they differ."""
    client = Client(url, token_file)
    where = client.environment(environment)
    found = client.ask("GET", "environments", where["uuid"], "drift")["gateways"]
    if gateway is not None:
        named = [each for each in found if gateway in (each["name"], each["gatewayId"])]
        if not named:
            fail(f"there is no gateway {gateway} in {environment} that takes revisions")
        found = [client.ask("GET", "gateways", named[0]["gatewayId"], "drift")]
    if as_json:
        print_json(found)
    else:
        rows = [
            (each["name"], _short(each["wanted"]), _short(one["revision"]), one["source"] or "-", _drift(one))
            for each in found
            for one in each["instances"]
        ]
        click.echo(table(("GATEWAY", "WANTED", "RUNS", "FROM", "DRIFT"), rows))
        if gateway is not None and found[0]["known"]:
            print_changes(found[0])
    sys.exit(1 if any(each["drift"] for each in found) else 0)


def _short(digest: str | None) -> str:
    return (digest or "-")[:SHORT]


def _drift(instance: dict[str, Any]) -> str:
    return f"since {instance['since']}" if instance["drift"] else "-"


def _find(client: Client, which: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = client.ask("GET", "rollouts", str(UUID(which)))
    except ValueError:
        where = client.environment(which)
        listed = client.ask("GET", "environments", where["uuid"], "rollouts", params={"limit": 1})["rollouts"]
        if not listed:
            fail(f"there was no rollout to {which} yet")
        found = listed[0]
    return found


def _began(client: Client, made: dict[str, Any], *, watch: bool) -> None:
    click.echo(f"rollout {made['uuid']} of {made['revision'][:SHORT]} to {made['environment']}")
    if watch:
        _watch(client, made)


def _print(found: dict[str, Any]) -> None:
    phase = f" ({found['phase']})" if found["state"] == "running" else ""
    reason = f": {found['reason']}" if found["reason"] else ""
    click.echo(f"{found['revision'][:SHORT]} to {found['environment']}: {found['state']}{phase}{reason}")


def _watch(client: Client, found: dict[str, Any]) -> None:
    """Print each change until the end."""
    shown = None
    while True:
        state = (found["state"], found["phase"], found["reason"])
        if state != shown:
            _print(found)
            shown = state
        if found["state"] not in ACTIVE:
            sys.exit(0 if found["state"] == "done" else 1)
        time.sleep(LOOK_SECONDS)
        found = client.ask("GET", "rollouts", found["uuid"])
