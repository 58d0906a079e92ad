"""The directives of nginx.conf, which remember what was looked at, so that the rest can be named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import crossplane

from gateway.config.problems import ConfigError, Problem
from gateway.importing.report import Place, Report

_SHOWN = ("location", "upstream", "server_name", "listen", "limit_req_zone", "map")
"""Directives whose arguments are shown: no other may be known to hold no secret."""

_FIRST = ("proxy_set_header", "add_header", "proxy_hide_header", "set")
"""Those of which the first argument is a name."""

NOT_HERE = "include of a file that is not here"
"""The name of a directive that stands for one."""

_NAMED = "named already"
"""The state of a directive that is in the report already."""


@dataclass(slots=True, eq=False)
class Directive:
    """One directive. `block`: those within it. `became`: its translation; None while it is not handled."""

    name: str
    arguments: tuple[str, ...]
    place: Place
    report: Report
    block: list[Directive] = field(default_factory=list)
    above: Directive | None = None
    became: str | None = None
    by_name: dict[str, list[Directive]] = field(default_factory=dict)
    """Those within it, too: a server may have a thousand locations, each of which asks for what it inherits."""

    def all(self, *names: str) -> list[Directive]:
        """The directives of these names within it, which are looked at by that."""
        known = [name for name in names if name in self.by_name]
        found = (
            [below for below in self.block if below.name in known]
            if len(known) > 1
            else list(self.by_name[known[0]])
            if known
            else []
        )
        for below in found:
            below.became = below.became or ""
        return found

    def first(self, name: str) -> Directive | None:
        """The first of this name within it."""
        return next(iter(self.all(name)), None)

    def levels(self) -> Iterator[Directive]:
        """It, and the directives around it, from the inside out."""
        level: Directive | None = self
        while level is not None:
            yield level
            level = level.above

    def inherited(self, *names: str) -> list[Directive]:
        """Those of the nearest level that has any of these names: how nginx inherits lists of headers and rules."""
        return next((found for level in self.levels() if (found := level.all(*names))), [])

    def one(self, name: str) -> Directive | None:
        """The last of these names at the nearest level that has one."""
        found = self.inherited(name)
        return found[-1] if found else None

    def value(self, name: str, default: str = "") -> str:
        """The first argument of an inherited directive."""
        found = self.one(name)
        return found.arguments[0] if found is not None and found.arguments else default

    @property
    def argument(self) -> str:
        """Its first argument."""
        return self.arguments[0] if self.arguments else ""

    @property
    def options(self) -> dict[str, str]:
        """Its arguments of the form `name=value`; the value of one without `=` is empty."""
        return dict(argument.partition("=")[::2] for argument in self.arguments)

    def said(self, text: str) -> None:
        """Set its translation."""
        self.became = text

    def differs(self, text: str) -> None:
        """It was translated with this difference."""
        self.report.differs(self.place, text)

    def unsaid(self, text: str) -> None:
        """It, and all within it, could not be translated."""
        lines = [self.place.line, *(below.place.line for below in self.walk() if below.place.file == self.place.file)]
        self.report.unsaid(replace(self.place, last=max(lines)), text)
        for directive in (self, *self.walk()):
            directive.became = directive.became or _NAMED

    def ignore(self) -> None:
        """It, and all within it, is done with."""
        self.became = self.became or ""
        for below in self.block:
            below.ignore()

    def walk(self) -> Iterator[Directive]:
        """All directives within it."""
        for below in self.block:
            yield below
            yield from below.walk()

    def rest(self) -> None:
        """Put into the report what became of each directive within it, and what was never looked at."""
        for below in self.block:
            if below.became is None:
                below.unsaid(_REPLACED if below.name in _LISTS else "the gateway has no such setting")
            elif not below.became:
                self.report.needless(below.place)
            elif below.became != _NAMED:
                self.report.said(below.place, below.became)
            below.rest()


_LISTS = ("add_header", "limit_req", "proxy_hide_header", "proxy_set_header")
_REPLACED = "it holds for no location that is forwarded: nginx replaces it where one has others of its own"

MOST_DIRECTIVES = 100_000
LARGEST_FILE = 16 * 2**20
"""In bytes."""


def parse(path: Path, report: Report) -> Directive:
    """The directives of a file and of all that it includes. Raises ConfigError."""
    root = Directive("", (), Place(1, ""), report)
    _Files(path, report).fill(root, path, (), "")
    return root


@dataclass(slots=True)
class _Files:
    """Reads a file, and what it includes; each is read once, and what is included twice counts twice."""

    first: Path
    report: Report
    read: dict[Path, list[Any]] = field(default_factory=dict)
    directives: int = 0

    def fill(self, above: Directive, path: Path, within: tuple[Path, ...], where: str) -> None:
        """Put the directives of a file into one. `within`: the files that it is included by."""
        known = path.resolve()
        if known in within:
            raise ConfigError([Problem(path.name, 1, 1, "", "it includes itself; take that `include` out")])
        if known not in self.read:
            # What crossplane makes of one file; one of `conf.d`, which has no `http` around it, is fine too.
            payload = crossplane.parse(str(path), single=True, check_ctx=False, check_args=False, comments=False)
            problems = [
                Problem(path.name, error.get("line") or 0, 1 if error.get("line") else 0, "", text)
                for error in payload["errors"]
                if (text := str(error["error"]).split(" in /")[0] + "; correct it")
            ]
            if problems:
                raise ConfigError(problems)
            self.read[known] = payload["config"][0]["parsed"]
        self._add(above, self.read[known], (*within, known), where, "" if path == self.first else path.name)

    def _add(self, above: Directive, parsed: list[Any], within: tuple[Path, ...], where: str, file: str) -> None:
        self.directives += len(parsed)
        if self.directives > MOST_DIRECTIVES:
            text = f"with what it includes, it has more than {MOST_DIRECTIVES:,} directives; import its parts"
            raise ConfigError([Problem(self.first.name, 0, 0, "", text)])
        for entry in parsed:
            name = entry["directive"]
            if name == "include" and entry["args"]:
                self._include(above, entry, within, where, file)
                continue
            arguments = tuple(entry["args"])
            shown = " ".join([name, *arguments]) if name in _SHOWN else name
            if name in _FIRST:
                shown = " ".join([name, *arguments[:1]])
            if name == "if":  # what a header is compared with may be a key
                shown = " ".join([name, *arguments[:2]])
            place = Place(entry["line"], f"{where} > {shown}" if where else shown, file)
            directive = Directive(name, arguments, place, above.report, above=above)
            above.block.append(directive)
            above.by_name.setdefault(name, []).append(directive)
            self._add(directive, entry.get("block", []), within, place.where, file)

    def _include(self, above: Directive, entry: Any, within: tuple[Path, ...], where: str, file: str) -> None:
        pattern = str(self.first.parent / entry["args"][0])
        found = sorted(glob(pattern)) if has_magic(pattern) else [pattern]
        for path in map(Path, found):
            if _is_readable(path):
                self.fill(above, path, within, where)
                continue
            place = Place(entry["line"], f"{where} > include" if where else "include", file)
            if "mime.types" in path.name:
                self.report.needless(replace(place, where="include mime.types"))
                continue
            text = "no regular file, or too large" if path.exists() else "not here"
            self.report.unsaid(place, f"this file is {text}, so that it was not read")
            above.block.append(Directive(NOT_HERE, (str(path),), place, above.report, [], above, _NAMED))


def _is_readable(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= LARGEST_FILE
    except (OSError, ValueError):
        return False
