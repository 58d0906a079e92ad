"""`gateway control-plane token`: credentials for those who call the control plane."""

from __future__ import annotations

import json
import secrets
from hashlib import sha256

import click

from gateway.auth.commands import KEY_BYTES, PREFIX
from gateway.json_output import JSON, print_json


@click.group()
def token() -> None:
    """Tokens for callers of the control plane."""


@token.command()
@click.option("--name", default="NAME", show_default=True, help="The name of its holder in the audit log.")
@click.option(
    "--role",
    type=click.Choice(["viewer", "deployer", "admin"]),
    default="viewer",
    show_default=True,
    help="Its role.",
)
@click.option("--environment", "environments", multiple=True, help="An environment; may be repeated. Unset: all.")
@JSON
def new(name: str, role: str, environments: tuple[str, ...], as_json: bool) -> None:
    """Make a token: it is shown once, and its hash and role as YAML to paste."""
    made = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    hash_ = "sha256:" + sha256(made.encode()).hexdigest()
    if as_json:
        print_json({"name": name, "token": made, "hash": hash_, "role": role, "environments": list(environments)})
        return
    where = f"\n  environments: {json.dumps(list(environments))}" if environments else ""
    click.echo(f"The token, shown this once and kept nowhere:\n\n{made}\n\nIn auth.yaml:\n")
    click.echo("schemes:\n  keys:\n    api_key: {header: X-API-Key}\nconsumers:")
    click.echo(f"- name: {json.dumps(name)}\n  keys:\n  - hash: {hash_}\n\nIn control-plane.yaml:\n")
    click.echo(f"roles:\n- role: {role}\n  consumers: [{json.dumps(name)}]{where}\n")
    click.echo("It is sent as Authorization: Bearer TOKEN.")
