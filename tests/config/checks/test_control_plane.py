"""What is said of the control plane's group."""

from __future__ import annotations

import pytest

from gateway.config.checks.control_plane import in_the_open
from tests.config.support import parsed


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://control.example:9010", True),
        ("http://10.0.0.1", True),
        ("https://control.example", False),
        ("http://127.0.0.1:9010", False),
        ("http://[::1]:9010", False),
        ("http://localhost:9010", False),
    ],
)
def test_a_token_that_others_can_read(url: str, warned: bool) -> None:
    """What goes to another machine is to be encrypted."""
    faults = list(in_the_open(parsed(middleware=f"control_plane: {{url: '{url}'}}")))
    assert [fault.path for fault in faults] == [("control_plane", "url")] * warned
