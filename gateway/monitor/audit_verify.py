"""Is an audit log whole? Finds lines that were changed, removed, added or moved, and an end that was cut off."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway.monitor.audit_chain import GENESIS, Line, Link, Sealer
from gateway.monitor.audit_file import LONGEST_LINE, head_path
from gateway.plurals import counted

Severity = Literal["error", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`number` is that of the line, from 1; 0: it is about the file as a whole."""

    file: Path
    number: int
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.number}" if self.number else str(self.file)
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class _Place:
    file: Path
    number: int

    def finding(self, message: str, severity: Severity = "error") -> Finding:
        return Finding(self.file, self.number, message, severity)


@dataclass(slots=True)
class Verification:
    """One pass over all files of a log. `head`: where it ends; `expected`: hashes known from elsewhere, by number."""

    sealers: Sequence[Sealer]
    head: Link | None
    expected: dict[int, str] = field(default_factory=dict)
    starts_at: int = 1
    first: Link | None = None
    end: Link | None = None
    records: int = 0
    _place: _Place = field(default_factory=lambda: _Place(Path(), 0))
    _met: set[int] = field(default_factory=set)
    _torn: tuple[_Place, bytes] | None = None
    _torn_is_complete: bool = False

    def __post_init__(self) -> None:
        if self.head is not None:
            self.expected = {**self.expected, self.head.number: self.head.hash}

    def run(self, files: Iterable[Path]) -> Iterator[Finding]:
        """Everything that is wrong, and notes of what is not but worth knowing. Raises OSError."""
        for file in sorted(files, key=self._first_number):
            for number, data in enumerate(_lines(file), 1):
                yield from self._check(_Place(file, number), data)
        if self._torn is not None and self._torn_is_complete:
            yield from self._unread()
        elif self._torn is not None:
            cut = "cut short at the end: the gateway was killed, or is writing just now"
            yield self._torn[0].finding(cut, "note")
        end = self.end.number if self.end is not None else 0
        for number in sorted(self.expected.keys() - self._met):
            if number > end:
                yield self._place.finding(
                    f"the log ends here, but {_records(end + 1, number)} missing: the end was cut off"
                )
            elif self.first is not None and number >= self.first.number:
                yield self._place.finding(f"record {number}, which the head or --expect names, is missing")
        if self.head is not None and end > self.head.number:
            more = f"{_records(self.head.number + 1, end)} behind the head"
            yield self._place.finding(f"{more}: the gateway was killed, or is writing just now", "note")

    def _first_number(self, file: Path) -> int:
        for data in _lines(file):
            line = self._read(data)
            if line is not None:
                return line.number
        return 0

    def _read(self, data: bytes) -> Line | None:
        """The parsed line, by the key that fits, if one does."""
        data = data.removesuffix(b"\n")
        lines = [line for line in (sealer.read(data) for sealer in self.sealers) if line is not None]
        return next((line for line in lines if line.intact), lines[0] if lines else None)

    def _check(self, place: _Place, data: bytes) -> Iterator[Finding]:
        line = self._read(data) if data.endswith(b"\n") else None
        if line is None or line.event == "head":
            yield from self._unread()
            self._torn, self._torn_is_complete = (place, data.removesuffix(b"\n")), data.endswith(b"\n")
            return
        yield from self._findings_of_torn(line)
        yield from self._in_place(place, line)
        self.end, self._place = line.link, place
        self.records += 1

    def _findings_of_torn(self, line: Line) -> Iterator[Finding]:
        """A line that is none, in front of this one: the gateway was killed while it wrote, and said so, or else."""
        if self._torn is None:
            return
        place, data = self._torn
        reported = line.event == "torn" and line.record.get("sha256") == hashlib.sha256(data).hexdigest()
        if reported and line.intact:
            self._torn = None
            yield place.finding("cut short when the gateway was killed, as the next line shows", "note")
        else:
            yield from self._unread()

    def _unread(self) -> Iterator[Finding]:
        if self._torn is not None:
            yield self._torn[0].finding("this is no line of the audit log: it was changed or put in")
        self._torn = None

    def _in_place(self, place: _Place, line: Line) -> Iterator[Finding]:
        if not line.intact:
            yield place.finding(f"record {line.number} was changed: its hash is not that of its content")
        if self.end is None:
            self.first = Link(line.number, line.hash)
            if line.number != self.starts_at:
                remedy = f"name the files with the others, too, or accept that with --from {line.number}"
                yield place.finding(f"the log begins with record {line.number}, not {self.starts_at}; {remedy}")
            elif line.number == 1 and line.previous != GENESIS:
                yield place.finding("record 1 follows another line, which is missing")
        elif line.number > self.end.number + 1:
            yield place.finding(f"{_records(self.end.number + 1, line.number - 1)} missing before this line")
        elif line.number <= self.end.number:
            yield place.finding(f"record {line.number} is behind record {self.end.number}: moved, or put in")
        elif line.previous != self.end.hash:
            yield place.finding(f"record {line.number} does not follow from the line before: one of them was replaced")
        wanted = self.expected.get(line.number)
        if wanted is not None:
            self._met.add(line.number)
            if wanted != line.hash:
                yield place.finding(f"record {line.number} is another one than the head, or --expect, says")
        if line.event == "dropped":
            yield place.finding(
                f"{counted(int(line.record.get('count') or 0), 'request')} not recorded: the log was failing", "note"
            )
        elif line.event == "opened" and "problem" in line.record:
            yield place.finding(f"when the gateway started, {line.record['problem']}")


def _records(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while line := stream.readline(LONGEST_LINE):
            yield line


def heads_of(files: Iterable[Path]) -> list[Path]:
    """The heads that stand beside these files."""
    return [head_path(file) for file in files if head_path(file).exists()]


def read_head(path: Path, sealers: Sequence[Sealer]) -> Link | None:
    """Where a log ends; None where the file is damaged, or another key's. Raises OSError."""
    data = path.read_bytes()
    return next((link for link in (sealer.read_head(data) for sealer in sealers) if link is not None), None)
