"""Pauses before retries, drawn from zero to a limit that doubles ("full jitter"), as Envoy does."""

from __future__ import annotations

from typing import Final

BASE: Final = 0.025  # seconds
LONGEST: Final = 0.25  # seconds: ten times the base


def full_jitter(retry: int, draw: float, base: float = BASE, longest: float = LONGEST) -> float:
    """Seconds to wait before the `retry`-th retry (from 1). `draw` is drawn from [0, 1)."""
    return draw * min(base * (2.0 ** min(retry, 60) - 1), longest)
