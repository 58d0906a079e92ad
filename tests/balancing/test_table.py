"""Each balancer that a configuration can name is there, compiled, and in the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from gateway.balancing.table import BALANCERS
from gateway.config.models.balance import Method

ROOT = Path(__file__).parents[2]


def test_each_name_has_a_balancer() -> None:
    """What `check` accepts can be made, and whatever can be made is accepted."""
    assert set(BALANCERS) == set(get_args(Method))


@pytest.mark.parametrize("name", sorted(BALANCERS))
def test_each_is_documented(name: str) -> None:
    """The table of the page on backends says how it chooses."""
    assert f"\n| `{name}` |" in (ROOT / "docs/backends.md").read_text()


@pytest.mark.parametrize("name", sorted(BALANCERS))
def test_each_is_compiled(name: str) -> None:
    """Every request passes it."""
    module = BALANCERS[name].__module__.removeprefix("gateway.").replace(".", "/")
    assert module in (ROOT / "setup.py").read_text().split()
