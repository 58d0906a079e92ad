"""Times on the command line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from gateway.cli import main

OPTIONS = (
    "agents serve --role router --wait",
    "agents handshake --role router --wait",
    "register --service jobs --address 127.0.0.1:1 --ttl",
    "top --interval",
)


@pytest.mark.parametrize("seconds", ["nan", "-nan", "NaN", "inf", "-inf", "-1"])
@pytest.mark.parametrize("command", OPTIONS)
def test_a_time_is_a_number_of_seconds(command: str, seconds: str) -> None:
    """What is none is refused before anything begins, and the option is named."""
    *arguments, option = command.split()
    done = CliRunner().invoke(main, [*arguments, f"{option}={seconds}"])
    assert (done.exit_code, f"Invalid value for '{option}'" in done.output) == (2, True)
