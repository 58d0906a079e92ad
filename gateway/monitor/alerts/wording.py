"""Figures in words, as messages and lists show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"))


def length(seconds: float) -> str:
    """A length of time as configurations have it: `90s` and `5m`; with two units where one is not enough: `1h 5m`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g}ms"
    if seconds < 100 and seconds % 60:
        return f"{seconds:.3g}s"
    whole = int(seconds)
    for index, (unit, name) in enumerate(_UNITS):
        if whole >= unit:
            count, rest = divmod(whole, unit)
            below, below_name = _UNITS[index + 1] if index + 1 < len(_UNITS) else (1, "s")
            return f"{count}{name}" + (f" {rest // below}{below_name}" if rest >= below else "")
    return f"{whole}s"


def share(value: float) -> str:
    """A share of 1 as `12.3%`."""
    percent = value * 100
    return f"{percent:.3g}%" if 0 < percent < 99.95 else f"{percent:.0f}%" if percent in (0, 100) else f"{percent:.2f}%"


def rate(value: float) -> str:
    """Requests in a second, as `12.3/s`."""
    return f"{value:,.0f}/s" if value >= 1000 else f"{value:.3g}/s"


def number(value: float) -> str:
    """A count, as `12,345`."""
    return f"{value:,.0f}"


def times(value: float) -> str:
    """How many times as much: `14.4`, `1,000`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


_FIGURES: Final[Mapping[str, tuple[str, Callable[[float], str]]]] = {
    "error_rate": ("error rate", share),
    "throughput": ("throughput", rate),
    "requests": ("requests", number),
    "errors": ("errors", number),
    **{name: (name if name != "p999" else "p99.9", length) for name in ("p50", "p90", "p95", "p99", "p999")},
}


def figure(name: str, value: float) -> str:
    """One figure, as `p99 812ms`."""
    called, shown = _FIGURES[name]
    return f"{called} {shown(value)}"
