"""`gateway keys`: making credentials whose hashes go into auth.yaml."""

from __future__ import annotations

import json
import secrets
import sys
from hashlib import sha256

import click

from gateway.json_output import JSON, print_json

KEY_BYTES = 32  # of randomness
PREFIX = "gw_"  # so that scanners for leaked secrets can know a key


@click.group()
def keys() -> None:
    """Make API keys and hashes of passwords for auth.yaml."""


def _instant(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from gateway.config.values.instants import parse_instant  # noqa: PLC0415  the other commands start faster without it

        try:
            parse_instant(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return value


@keys.command()
@click.option("--consumer", default="NAME", show_default=True, help="Name of the consumer that the key is for.")
@click.option(
    "--not-before", callback=_instant, metavar="TIME", help="The time from which it is valid: 2026-01-31T12:00:00Z."
)
@click.option("--expires", callback=_instant, metavar="TIME", help="The time at which it expires.")
@JSON
def new(consumer: str, not_before: str | None, expires: str | None, as_json: bool) -> None:
    """Make an API key: the key is shown once, and its hash as YAML to paste."""
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    hash_ = "sha256:" + sha256(key.encode()).hexdigest()
    held = {name: at for name, at in (("not_before", not_before), ("expires", expires)) if at}
    if as_json:
        print_json({"consumer": consumer, "key": key, "hash": hash_, **held})
        return
    times = "".join(f"\n    {name}: {at}" for name, at in held.items())
    click.echo(f"The key, shown this once and kept nowhere:\n\n{key}\n\nUnder consumers of auth.yaml:\n")
    click.echo(f"- name: {json.dumps(consumer)}\n  keys:\n  - hash: {hash_}{times}")


@keys.command()
@JSON
def password(as_json: bool) -> None:
    """Make the hash of a password, which is asked for, or read from standard input."""
    from gateway.auth import password as hashing  # noqa: PLC0415

    if sys.stdin.isatty():
        text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    if not text.isprintable() or not text:
        raise click.ClickException("a password is at least one character, and has no control characters")
    hash_ = str(hashing.make(text))
    click.echo(json.dumps({"password": hash_}, indent=2) if as_json else f'password: "{hash_}"')
