"""Tables."""

from __future__ import annotations

from collections.abc import Sequence

from bench.measure import Cost


def table(costs: Sequence[Cost], yardsticks: Sequence[str] = ()) -> str:
    """One line for each proxy; ratios are those of the medians, to the yardsticks, or to the first line."""
    references = [cost for cost in costs if cost.name in yardsticks] or costs[:1]
    heads = "".join(f"{'x ' + reference.name:>12}" for reference in references)
    lines = [f"{'':24}{'min':>9}{'median':>9}{heads}"]
    for cost in costs:
        ratios = "".join(f"{cost.median / reference.median:12.2f}" for reference in references)
        lines.append(f"{cost.name:24}{cost.best:9.1f}{cost.median:9.1f}{ratios}   ({cost.requests} requests)")
    return "\n".join(lines)
