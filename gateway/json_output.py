"""What commands print for machines."""

from __future__ import annotations

import json
from typing import Any

import click

JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")


def print_json(data: Any) -> None:
    """Print it as JSON, indented."""
    click.echo(json.dumps(data, indent=2))
