"""From `guardrails:` of models.yaml to guardrails that are ready, loaded as custom policies are."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.config.models.llm.guardrails import Guardrail
from gateway.config.problems import Problem
from gateway.context import Context
from gateway.llm.guardrails import LONGEST_WINDOW, WINDOW, Guard
from gateway.middleware.guardrail_settings import written_of
from gateway.middleware.policy_loading import Loading, PolicyError
from gateway.middleware.policy_shapes import wrong_called

_NEEDED = {"input": ("before_model", "on_text"), "output": ("after_model", "on_text"), "stream": ("on_text",)}
_METHODS = ("before_model", "after_model", "on_text")


@dataclass(frozen=True, slots=True)
class _Loading(Loading):
    """One guardrail on its way. Every method raises PolicyError."""

    on: tuple[str, ...] = ()

    def check_class(self, found: type[Any]) -> None:
        for stage in self.on:
            if not any(callable(getattr(found, name, None)) for name in _NEEDED[stage]):
                names = " and no ".join(_NEEDED[stage])
                remedy = f"add one, or take {stage} out of `on`; see docs/writing-middleware.md"
                raise self.fault(f"{found.__name__} has no {names}, which `on: {stage}` needs; {remedy}")
        if "stream" in self.on and inspect.iscoroutinefunction(found.on_text):
            raise self.fault(f"on_text of {found.__name__} must be no `async def`: a stream does not wait for it")

    def try_out(self, policy: Any) -> None:
        for method in _METHODS:
            self.refuse(wrong_called(policy, method, "text"))
        window = getattr(policy, "window", WINDOW)
        if not isinstance(window, int) or not 1 <= window <= LONGEST_WINDOW:
            name = type(policy).__name__
            raise self.fault(f"window of {name} must be a number of characters, from 1 to {LONGEST_WINDOW}")


def load(name: str, config: Guardrail, context: Context) -> Guard:
    """The guardrail of this name. Raises PolicyError."""
    policy = _Loading(written_of(name, config), context, config.on).policy()
    return Guard(
        name,
        policy,
        frozenset(config.on),
        enforced=config.mode == "enforce",
        strict=config.on_failure == "refuse",
        window=getattr(policy, "window", WINDOW),
    )


def guardrails_of(context: Context) -> Mapping[str, Guard]:
    """All of them, by name. Raises PolicyError."""
    models = context.configuration.models
    found: dict[str, Guard] = {}
    problems: list[Problem] = []
    for name, config in models.guardrails.items() if models is not None else ():
        try:
            found[name] = load(name, config, context)
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(*dict.fromkeys(problems))
    return found
