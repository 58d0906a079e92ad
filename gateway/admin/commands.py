"""`gateway admin`: making tokens for the admin port."""

from __future__ import annotations

import json

import click


@click.group()
def admin() -> None:
    """Tokens for the admin port."""


@admin.group()
def token() -> None:
    """Tokens for the admin port."""


@token.command()
@click.option("--name", default="NAME", show_default=True, help="The name of its holder in logs.")
@click.option("--role", type=click.Choice(["read", "write"]), default="read", show_default=True, help="Its permission.")
def new(name: str, role: str) -> None:
    """Make a token: it is shown once, and its hash as YAML to paste."""
    from gateway.admin.tokens import hash_of, new_token  # noqa: PLC0415  the other commands start faster without it

    made = new_token()
    click.echo(f"The token, shown this once and kept nowhere:\n\n{made}\n\nIn middleware.yaml:\n")
    click.echo(f"admin:\n  tokens:\n  - name: {json.dumps(name)}\n    hash: {hash_of(made)}\n    role: {role}")
