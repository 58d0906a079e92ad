"""Numbers that gateways say: those that can be true."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

LARGEST: Final = 2**53


def number_of(value: object) -> float | None:
    """A finite number that is not negative. None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and 0 <= number <= LARGEST else None


def count_of(value: object) -> int | None:
    """A whole number that is not negative, also as a text of digits. None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    number = number_of(value)
    return None if number is None or number % 1 else int(number)


def count_of_list(document: Mapping[str, Any]) -> int | None:
    """How many a list of the controller has: its `count`, or else its only list's length."""
    if (count := document.get("count")) is not None:
        return count_of(count)
    lists = [each for each in document.values() if isinstance(each, list)]
    return len(lists[0]) if len(lists) == 1 else None
