"""Durations of programs in Go as ours."""

from __future__ import annotations

import re

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001, "ns": 0.000000001}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|us|ns|m|s)")


def duration(text: str) -> str:
    """`1m30s`, or a number of seconds, as `90s`."""
    if text.isdigit():
        return f"{text}s"
    total = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    return f"{total * 1000:g}ms" if total < 1 else f"{total:.10g}s"
