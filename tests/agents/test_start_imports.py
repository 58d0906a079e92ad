"""What the start of a bridge costs: imports, of which each role has its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

IMPORTED = """
import json, sys
import gateway.agents.serve
from importlib import import_module

import_module("gateway.agents.roles." + sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""

OF_AUTH = ("jwt", "cryptography", "gateway.auth.jwt")
OF_DISCOVERY = ("gateway.upstream.endpoint", "gateway.registry.feedback")
OF_ALERTS = ("gateway.monitor.alerts.senders", "gateway.agents.alert_receiver")


@pytest.mark.parametrize(
    ("role", "not_needed"),
    [
        ("router", (*OF_AUTH, *OF_DISCOVERY, *OF_ALERTS)),
        ("monitor", (*OF_AUTH, *OF_DISCOVERY, *OF_ALERTS)),
        ("discovery", (*OF_AUTH, *OF_ALERTS)),
        ("auth", (*OF_ALERTS, "gateway.registry.feedback")),
    ],
)
def test_a_bridge_imports_nothing_of_other_roles(role: str, not_needed: tuple[str, ...]) -> None:
    """Verifiers, endpoints and senders of alerts are for the roles, and the alerts, that need them."""
    run = subprocess.run([sys.executable, "-c", IMPORTED, role], capture_output=True, text=True, check=True)
    assert [name for name in json.loads(run.stdout) if name.startswith(not_needed)] == []
