"""Explains a request to a model, for `gateway explain`, with the same parsing and choosing that serves it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.config.models.llm.routing import ModelRouting
from gateway.errors import GatewayError
from gateway.http import Decision, Exchange
from gateway.llm.affinity import Origin
from gateway.llm.choosing import Ask, Candidate, Choice
from gateway.llm.failover import Failover
from gateway.llm.speaking import ModelError
from gateway.upstream.layers import Refusing, layers

_WHOLE: Final = {"input": "the request", "output": "the answer"}
_STREAMED: Final = {"input": "the request", "stream": "the stream"}


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision. Nothing is reserved, counted or sent."""

    ask: Ask
    choice: Choice
    budgets: Sequence[Decision]
    origin: Origin | None = None  # who has made what the request refers to, and is the only one to be asked
    brings_thinking: bool = False  # which somebody has signed

    @property
    def refusal(self) -> str | None:
        """Why a budget would refuse it; None where none would."""
        denied = (decision for decision in self.budgets if decision.verdict == "deny")
        return next((f"{decision.rule}: {decision.reason}" for decision in denied), None)


def described(
    decided: Decided, failover: Failover, routing: ModelRouting, exchange: Exchange, *, running: bool
) -> dict[str, Any]:
    """As plain data, with what is going on with each candidate. `running`: by the process that serves, which remembers
    who made what."""
    ask, choice = decided.ask, decided.choice
    rule = "none holds: the default profile"
    if choice.rule is not None:
        when = routing.rules[choice.rule].when.model_dump(mode="json", exclude_defaults=True)
        rule = f"{choice.rule} ({orjson.dumps(when).decode()})"
    said: dict[str, Any] = {
        "api": ask.api,
        "model": ask.model,
        "estimated_tokens": ask.input_tokens,
        "model_rule": rule,
        "profile": choice.profile.name,
        "candidates": [candidate.backend for candidate in choice.candidates],
        "left_out": [f"{left.provider}: {left.reason}" for left in choice.left_out],
    }
    if decided.origin is not None:
        said["made_by"] = f"{decided.origin.provider}: it made what the request refers to, and no other one is asked"
    elif decided.brings_thinking and not running:
        said["made_by"] = "it would go to whoever signed its thinking, which the running gateway may know (--running)"
    if choice.overflowed:
        said["overflowed"] = [f"{name} takes fewer tokens" for name in choice.overflowed]
    if looking := list(_looking(decided)):
        said["guardrails"] = looking
    now = [line for candidate in choice.candidates for line in _now(candidate, failover, exchange)]
    budgets = [f"{decision.verdict} {decision.rule}: {decision.reason}" for decision in decided.budgets]
    return said | {"budgets": budgets, "now": now}


def _looking(decided: Decided) -> Iterator[str]:
    """The guardrails that would check the request or its answer, and what of it."""
    stages = _STREAMED if decided.ask.stream else _WHOLE
    for guard in decided.choice.profile.guards:
        checked = " and ".join(name for stage, name in stages.items() if stage in guard.on)
        if checked:
            mode = "" if guard.enforced else ", in shadow mode"
            yield f"{guard.name} checks {checked}{mode}"


def refused(error: GatewayError) -> str:
    """The refusal, as the client would get it."""
    sentence = error.public_detail if isinstance(error, ModelError) else error.detail
    return f"{error.kind.status}: {sentence}"


def _now(candidate: Candidate, failover: Failover, exchange: Exchange) -> Iterator[str]:
    """Reasons against one candidate, at present."""
    provider = failover.providers[candidate.provider]
    named = f"{candidate.provider}/{candidate.model}"
    if candidate.translated:
        yield f"{named}: the request is translated"
    for key in provider.keys:
        left, why = failover.left_alone(candidate, key)
        if left:
            of_key = f", key {key.fingerprint}" if len(provider.keys) > 1 else ""
            yield f"{named}{of_key}: left alone for {left:.0f} s more: {why}"
    moment = time.perf_counter()
    for layer in layers(provider.handler, exchange):
        if isinstance(layer, Refusing) and (refusal := layer.refusal(exchange, moment)) is not None:
            yield f"{named}: {refusal}"


def left_out(exchange: Exchange) -> dict[str, Any]:
    """Which providers do not offer a model, and why."""
    record = exchange.model
    if record is None or not record.left_out:
        return {}
    names = [f"{left.provider}: {left.reason}" for left in record.left_out]
    return {"model": record.asked or "one that is not offered", "profile": record.profile, "left_out": names}
