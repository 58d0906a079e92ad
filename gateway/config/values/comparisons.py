"""Comparisons as people write them: `error_rate > 5%`, `status < 500 and duration < 500ms`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Final

from gateway.config.problems import suggest
from gateway.config.values.kinds import refuse
from gateway.config.values.quantities import DURATION_PATTERN, PERCENT_PATTERN, parse_duration, parse_percent

MOST_PARTS: Final = 8

OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {">": gt, ">=": ge, "<": lt, "<=": le}

_PART: Final = r"([A-Za-z_][A-Za-z0-9_]*)\s*(>=|<=|>|<)\s*(\S+)"
_AND: Final = r"\s+and\s+"
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A name, how it is compared, and with what: shares as fractions of 1, durations in seconds."""

    name: str
    operator: str
    value: float
    written: str  # the value as it stands in the file

    def holds(self, value: float) -> bool:
        """Whether it is true of this value."""
        return OPERATORS[self.operator](value, self.value)


@dataclass(frozen=True, slots=True)
class Unit:
    """The right side of a comparison with a name: its pattern, its conversion to a number, and an example."""

    pattern: re.Pattern[str]
    parse: Callable[[str], float]
    example: str


SHARE: Final = Unit(re.compile(PERCENT_PATTERN, re.ASCII), lambda text: parse_percent(text) / 100, "5%")
DURATION: Final = Unit(re.compile(DURATION_PATTERN, re.ASCII), parse_duration, "800ms")
NUMBER: Final = Unit(_NUMBER, float, "100")
RATE: Final = Unit(
    re.compile(rf"{_NUMBER.pattern}(/s)?", re.ASCII), lambda text: float(text.removesuffix("/s")), "10/s"
)


def parse_comparisons(text: str, units: Mapping[str, Unit], example: str) -> tuple[Comparison, ...]:
    """One or several, joined by `and`. `units`: what each name is compared with."""
    parts = re.split(_AND, text.strip()) if len(text) <= 500 else []
    if not 1 <= len(parts) <= MOST_PARTS:
        raise refuse(f"expected at most {MOST_PARTS} comparisons such as {example}, joined by and")
    return tuple(_parsed(part, units, example) for part in parts)


def _parsed(part: str, units: Mapping[str, Unit], example: str) -> Comparison:
    match = re.fullmatch(_PART, part, re.ASCII)
    if match is None:
        raise refuse(f"expected a comparison such as {example}: a name, one of > >= < <=, and a value")
    name, operator, written = match[1], match[2], match[3]
    unit = units.get(name)
    if unit is None:
        likely = suggest(name, list(units))
        hint = f'; did you mean "{likely}"?' if likely else ""
        raise refuse(f"unknown name; expected one of {', '.join(units)}", hint)
    if unit.pattern.fullmatch(written) is None:
        raise refuse(f"{name} is compared with a value such as {unit.example}, with its unit")
    return Comparison(name, operator, unit.parse(written), written)
