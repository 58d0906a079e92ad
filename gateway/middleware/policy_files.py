"""A file of custom policies as a module, and what it counts.

Metrics of prometheus_client are in its registry as soon as they are made, and a second one of a name is an error there.
So those of a new version of a file are taken out again until it is served, and then take the place of the former ones;
they end with the file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from gateway.live import Plan

if TYPE_CHECKING:
    from prometheus_client.registry import Collector


class PolicyFile:
    """One version of a file. Raises whatever its code raises."""

    def __init__(self, path: Path, source: bytes, former: Sequence[PolicyFile] = ()) -> None:
        """`former` are other versions that live."""
        self._former = former
        self._counted: list[Collector] = []
        self._registered = False  # what it counts is in the registry
        withdrawn = [each for each in former if each.withdraw()]
        if b"prometheus_client" in source:
            import_module("prometheus_client")  # what it has in the registry itself is none of the file's
        before = _registered()
        try:
            self.module = _execute(path, source)
            self._counted = _own(self.module, _registered() - before)
        except BaseException:
            self._counted = list(_registered() - before)
            raise
        finally:
            self._registered = True
            self.withdraw()
            for each in withdrawn:
                each.publish()

    async def start(self) -> None:
        """It is served from now on: what it counts takes the place of what former versions did."""
        for each in self._former:
            each.withdraw()
        self.publish()

    def retire(self) -> None:
        """No policy uses it any more, or the configuration that was to is refused after all."""
        if self.withdraw():
            for each in self._former:
                each.publish()

    def settle(self) -> None:
        """Commit it: the configuration will be served."""
        self._former = ()

    def publish(self) -> None:
        """Register its metrics."""
        for each in self._counted:
            sys.modules["prometheus_client"].REGISTRY.register(each)
        self._registered = True

    def withdraw(self) -> bool:
        """The opposite; whether it was there."""
        was, self._registered = self._registered, False
        for each in self._counted if was else ():
            sys.modules["prometheus_client"].REGISTRY.unregister(each)
        return was


def policy_file(path: Path, source: bytes, plan: Plan) -> PolicyFile:
    """A new version of a file, beside those that live."""
    former = [
        life.thing
        for key, life in plan.living.items()
        if isinstance(life.thing, PolicyFile) and isinstance(key, tuple) and key[1] == str(path)
    ]
    made = PolicyFile(path, source, former)
    plan.after_adoption(made.settle)
    return made


def _registered() -> frozenset[Collector]:
    """The contents of the registry; the library has no other interface for it."""
    library = sys.modules.get("prometheus_client")
    return frozenset() if library is None else frozenset(library.REGISTRY._collector_to_names)


def _own(module: ModuleType, registered: frozenset[Collector]) -> list[Collector]:
    """The registered metrics of a module, at its top level and in its classes."""
    named = list(vars(module).values())
    for each in vars(module).values():
        if isinstance(each, type) and each.__module__ == module.__name__:
            named += vars(each).values()
    known = {id(each) for each in named}
    return [each for each in registered if id(each) in known]


def _execute(path: Path, source: bytes) -> ModuleType:
    """A module of this source. It is known under one name for each file, which annotations are looked up by."""
    name = "gateway_policy_" + re.sub(r"\W", "_", str(path))
    module = ModuleType(name)
    module.__file__ = str(path)
    code = compile(source, str(path), "exec", dont_inherit=True)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return module
