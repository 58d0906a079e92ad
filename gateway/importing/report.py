"""The fate of every line of the original: translated, different, or not translated, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Outcome = Literal["said", "differs", "unsaid", "needless"]

_TITLES: dict[Outcome, str] = {
    "unsaid": "Not translated",
    "differs": "Translated with a difference",
    "said": "Translated",
    "needless": "Nothing to write",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is in the original. `file` is empty for the file that was named. Lines count from 1."""

    line: int
    where: str
    file: str = ""
    last: int = 0
    """The last line of it, where it has several."""

    def __str__(self) -> str:
        lines = f"{self.line}-{self.last}" if self.last > self.line else str(self.line)
        return f"{self.file}:{lines}" if self.file else lines


WHOLE = Place(1, "")
"""The file as a whole."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing of the original, and what became of it. The text repeats no value that may be secret."""

    place: Place
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """The required contents of an environment variable, and a sample, if not every text is valid."""

    place: Place
    what: str
    stand_in: str = ""


@dataclass(frozen=True, slots=True)
class Needed:
    """What must be in a file, and why it cannot be used as it is."""

    place: Place
    what: str


@dataclass(slots=True)
class Report:
    """Findings, in the order in which they were made."""

    source: str
    kind: str
    found: dict[Finding, None] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    """Environment variables that what was written needs."""
    files: dict[str, Needed] = field(default_factory=dict)
    """Files that what was written names, and that cannot be used here, by name."""
    directory: Path = Path()
    """Where the original is: its relative paths begin there."""

    def stand_ins(self) -> dict[str, str]:
        """Some value for each variable, each another one: keys and secrets must differ."""
        return {
            name: variable.stand_in or f"stand-in-{number:032d}"
            for number, (name, variable) in enumerate(self.variables.items())
        }

    def needs(self, file: str, place: Place, what: str) -> None:
        """What was written names this file, which is not here, or has not what it must."""
        self.files.setdefault(file, Needed(place, what))

    def said(self, place: Place, text: str) -> None:
        """It is in our files, as `text` says."""
        self._add(Finding(place, "said", text))

    def differs(self, place: Place, text: str) -> None:
        """It is in our files, and does not do quite the same."""
        self._add(Finding(place, "differs", text))

    def unsaid(self, place: Place, text: str) -> None:
        """It is not in our files, for this reason."""
        self._add(Finding(place, "unsaid", text))

    def needless(self, place: Place) -> None:
        """It holds here anyway, or has no meaning for requests."""
        self._add(Finding(place, "needless", "it holds here anyway, or says nothing about requests"))

    def encoded_slashes(self) -> None:
        """The original decodes a path before it chooses, and ours does not."""
        self.differs(WHOLE, "paths with %2F or %5C are refused (400), which a route may allow: allow_encoded_slashes")

    def _add(self, finding: Finding) -> None:
        self.found.setdefault(finding)

    @property
    def findings(self) -> list[Finding]:
        """All of them, each once."""
        return list(self.found)

    def count(self, outcome: Outcome) -> int:
        """How many findings there are of one kind."""
        return sum(finding.outcome == outcome for finding in self.findings)

    def markdown(self, files: Iterable[str]) -> str:
        """The whole report; `files` are those that were written."""
        counts = ", ".join(f"{self.count(outcome)} {title.lower()}" for outcome, title in _TITLES.items())
        parts = [
            f"# Import of {self.source}",
            f"Read as {self.kind}. Written: {', '.join(files)}. Findings: {counts}.",
        ]
        if self.variables:
            lines = [
                f"- `{name}`: {each.what} (line {each.place}, {each.place.where})"
                for name, each in self.variables.items()
            ]
            parts.append("## Set these environment variables\n\n" + "\n".join(lines))
        if self.files:
            lines = [
                f"- `{_plain(name)}`: {_plain(each.what)} (line {each.place}, {each.place.where})"
                for name, each in self.files.items()
            ]
            parts.append(f"## Put these files in place\n\n{_NEEDED}\n\n" + "\n".join(lines))
        for outcome, title in _TITLES.items():
            found = [finding for finding in self.findings if finding.outcome == outcome]
            found.sort(key=lambda finding: (finding.place.file, finding.place.line))
            if rows := [f"| {f.place} | {_cell(f.place.where)} | {_cell(f.text)} |" for f in found]:
                parts.append(
                    f"## {title}\n\n| line | original | {_COLUMN[outcome]} |\n|---|---|---|\n" + "\n".join(rows)
                )
        return "\n\n".join(parts) + "\n"


_COLUMN: dict[Outcome, str] = {
    "unsaid": "why, and what to do",
    "differs": "what is different",
    "said": "ours",
    "needless": "why",
}


_NEEDED = (
    "Until then `gateway check` refuses what was written, and says which it needs. Names without a slash in front are "
    "relative to the directory of this report."
)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")
