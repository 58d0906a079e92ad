"""Which endpoints are considered for a request, how each stands, and why others are not: for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from gateway.upstream.endpoint import Endpoint
from gateway.upstream.service import Upstream

SHOWN: Final = 50  # endpoints, of a service that has more


def not_asked(upstream: Upstream) -> str:
    """Why a service has no endpoint, where no source is asked for them."""
    return "what a source finds, `gateway explain` knows with --running only"


def has_choice(upstream: Upstream, now: float) -> bool:
    """Whether any endpoint may get a request as of now."""
    return any(level.weighted for level, _ in upstream.chosen_from(now))


def considered(upstream: Upstream, now: float, why_none: Callable[[Upstream], str] = not_asked) -> list[str]:
    """A line for each endpoint, those that may be chosen first. `now` is time.perf_counter(); `why_none` says why
    there is no endpoint at all."""
    lines = list(_chosen_from(upstream, now))
    among = {endpoint for level, _ in upstream.chosen_from(now) for endpoint, _ in level.weighted}
    lines += [
        f"{each.label}: not considered, {_why_not(each, now)}" for each in upstream.endpoints if each not in among
    ]
    if not lines:
        return [f"{upstream.name} has no endpoint: {why_none(upstream)}"]
    more = [f"... and {len(lines) - SHOWN} more: /services/{upstream.name}"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more


def _chosen_from(upstream: Upstream, now: float) -> Iterator[str]:
    chosen_from = upstream.chosen_from(now)
    for level, balancer in chosen_from:
        total = sum(weight for _, weight in level.weighted)
        for endpoint, weight in level.weighted:
            parts = [f"weight {weight * 100 / total:.0f}%", balancer.score(endpoint, now)]
            if len(chosen_from) > 1:
                parts.insert(0, f"priority {level.priority} takes {level.load.percent}%")
            if level.load.panic:
                parts.append(f"panic: too few are up, so all are used{_despite(endpoint, now)}")
            yield f"{endpoint.label}: {', '.join(filter(None, parts))}"


def _despite(endpoint: Endpoint, now: float) -> str:
    return f", this one despite {_why_not(endpoint, now)}" if endpoint.health.out(now) is not None else ""


def _why_not(endpoint: Endpoint, now: float) -> str:
    out = endpoint.health.out(now)
    if out is None:
        return "weight 0"
    signal, verdict = out
    return f"{signal.value} says since {now - verdict.since:.0f} s: {verdict.reason}"
