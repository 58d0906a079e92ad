"""What a run of the benchmark found: values that are written as JSON and read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import orjson


@dataclass(slots=True)
class Line:
    """One contender in one scenario: a value for each round."""

    name: str
    values: list[float] = field(default_factory=list)
    count: int = 0  # requests, messages, events or connections that the values are of
    spoiled: str = ""  # why its values do not count: the first thing that failed

    @property
    def counts(self) -> bool:
        """Whether it has something to compare."""
        return bool(self.values) and not self.spoiled

    @property
    def best(self) -> float:
        """The least disturbed round: disturbance only ever adds."""
        return min(self.values)

    @property
    def median(self) -> float:
        """The round in the middle."""
        return median(self.values)


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario."""

    key: str  # the name of it in charts and verdicts
    title: str
    unit: str  # of the values; less is better in all of them
    lines: list[Line]
    note: str = ""  # what contenders do differently

    def line(self, name: str) -> Line | None:
        """The line of a contender that has something to compare."""
        return next((line for line in self.lines if line.name == name and line.counts), None)


@dataclass(frozen=True, slots=True)
class Run:
    """All of it, and on what."""

    day: str
    seconds: float
    machine: dict[str, str]
    versions: dict[str, str]  # by contender; "" where it is not installed
    results: list[Result]
    left_out: dict[str, str] = field(default_factory=dict)  # scenarios without a result, and why

    def result(self, key: str) -> Result | None:
        """A scenario that was run."""
        return next((result for result in self.results if result.key == key), None)


def ratio(run: Run, ours: tuple[str, str], theirs: tuple[str, str]) -> float | None:
    """The ratio of two minima, each of the contender of a scenario; None where one of them is missing."""
    lines = [result.line(name) if (result := run.result(key)) else None for key, name in (ours, theirs)]
    first, second = lines
    return first.best / second.best if first and second and second.best else None


def write(run: Run, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(orjson.dumps(asdict(run), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read(file: Path) -> Run:
    """Raises OSError and ValueError."""
    data = orjson.loads(file.read_bytes())
    results = [Result(**{**result, "lines": _lines(result["lines"])}) for result in data.pop("results")]
    return Run(**data, results=results)


def _lines(lines: Sequence[dict[str, object]]) -> list[Line]:
    return [Line(**line) for line in lines]  # type: ignore[arg-type]
