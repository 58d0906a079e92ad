"""What the policies declare of themselves is enough for all that depends on it."""

import importlib
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.models import MiddlewareFile
from gateway.middleware.declaration import Declaration, Rules
from gateway.middleware.table import POLICIES

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "gateway" / "middleware"


def declared() -> Iterator[tuple[str, Declaration]]:
    """Every declaration there is, and the module that it is in."""
    for path in sorted(SOURCES.glob("*.py")):
        module = importlib.import_module(f"gateway.middleware.{path.stem}")
        yield from ((path.stem, value) for value in vars(module).values() if isinstance(value, Declaration))


def test_every_policy_is_in_the_table_once() -> None:
    """A policy without its line there would never be asked."""
    assert sorted(policy.name for _, policy in declared()) == sorted(policy.name for policy in POLICIES)
    assert len({policy.name for policy in POLICIES}) == len(POLICIES)


def test_the_usual_order_is_what_the_policies_ask_for() -> None:
    """`gateway check` would warn of the gateway's own order otherwise, or never, where a name is misspelt."""
    names = [policy.name for policy in POLICIES]
    for index, policy in enumerate(POLICIES):
        assert set(policy.behind) <= set(names[:index])
        assert set(policy.before) <= set(names[index + 1 :])


def test_rules_that_can_stand_alone_are_under_the_name_of_their_policy() -> None:
    """`order` names them so: `rate_limits.NAME`."""
    made_of_rules = {policy.name for policy in POLICIES if isinstance(policy.build, Rules)}
    assert made_of_rules <= MiddlewareFile.model_fields.keys()


def test_what_is_declared_as_compiled_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installation finds in the sources what the declarations say."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    found = {path.stem for path in runpy.run_path("setup.py")["compiled_policies"]()}
    assert found == {module for module, policy in declared() if policy.compiled}
    assert found


@pytest.mark.skipif(os.environ.get("GATEWAY_TESTED") != "compiled", reason="nothing here is compiled")
def test_compiled_policies_are_what_runs() -> None:
    """The compiled gateway does not fall back on the sources."""
    for name, policy in declared():
        file = sys.modules[f"gateway.middleware.{name}"].__file__ or ""
        assert file.endswith(".py") is not policy.compiled
