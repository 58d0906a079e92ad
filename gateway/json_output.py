"""JSON output of commands."""

from __future__ import annotations

import json
from typing import Any

import click

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(data: Any) -> None:
    """Print it as JSON, indented."""
    click.echo(json.dumps(data, indent=2))
