"""The directives of nginx.conf, which remember what was looked at, so that the rest can be named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import crossplane

from gateway.config.problems import ConfigError, Problem
from gateway.importing.report import Place, Report

_SHOWN = ("location", "upstream", "server_name", "listen", "limit_req_zone", "map")
"""Directives whose arguments are shown: no other may be known to hold no secret."""

_FIRST = ("proxy_set_header", "add_header", "proxy_hide_header", "set")
"""Those of which the first argument is a name."""

_NAMED = "named already"
"""What became of a directive that the report has already."""


@dataclass(slots=True, eq=False)
class Directive:
    """One directive. `block`: those within it. `became`: what it is here; None while nobody looked at it."""

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

    def inherited(self, *names: str) -> list[Directive]:
        """Those of the nearest level that has any of these names: how nginx inherits lists of headers and rules."""
        level: Directive | None = self
        while level is not None:
            if found := level.all(*names):
                return found
            level = level.above
        return []

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

    def said(self, text: str) -> None:
        """What it became."""
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
                below.unsaid("the gateway has no such setting")
            elif not below.became:
                self.report.needless(below.place)
            elif below.became != _NAMED:
                self.report.said(below.place, below.became)
            below.rest()


def parse(path: Path, report: Report) -> Directive:
    """The directives of a file and of all that it includes. Raises ConfigError."""
    # What crossplane makes of it; a `conf.d` file, which has no `http` around it, is fine too.
    payload = crossplane.parse(str(path), check_ctx=False, check_args=False, comments=False)
    problems = [
        Problem(Path(error.get("file") or path).name, error.get("line") or 0, 1 if error.get("line") else 0, "", text)
        for config in payload["config"]
        for error in config["errors"]
        if (text := (str(error["error"]).split(" in /")[0] + "; correct it"))
        and "No such file" not in str(error["error"])
    ]
    if problems:
        raise ConfigError(problems)
    root = Directive("", (), Place(1, ""), report)
    _fill(root, payload["config"], 0, (), "")
    for config in payload["config"]:
        for error in config["errors"]:
            if "mime.types" in str(error["error"]):
                report.needless(Place(error.get("line") or 1, "include mime.types"))
            else:
                report.unsaid(
                    Place(error.get("line") or 1, "include"), "this file is not here, so that it was not read"
                )
    return root


def _fill(above: Directive, configs: list[Any], index: int, within: tuple[int, ...], where: str) -> None:
    config = configs[index]
    if index in within:
        raise ConfigError([Problem(Path(config["file"]).name, 1, 1, "", "it includes itself; take that `include` out")])
    file = "" if index == 0 else Path(config["file"]).name
    _add(above, config["parsed"], configs, (*within, index), where, file)


def _add(
    above: Directive, parsed: list[Any], configs: list[Any], within: tuple[int, ...], where: str, file: str
) -> None:
    for entry in parsed:
        name = entry["directive"]
        if name == "include" and "includes" in entry:
            for number in entry["includes"]:
                _fill(above, configs, number, within, where)
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
        _add(directive, entry.get("block", []), configs, within, place.where, file)
